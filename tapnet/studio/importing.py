"""Imports a file of tracks for the server, in a process that has little memory and less time.

    python -m tapnet.studio.importing FOLDER DATABASE VIDEO USER FILE

prints {"tracks": [...]} or {"error": sentence}; DATABASE may be empty.
"""

from __future__ import annotations

import sys
from typing import Any

from tapnet.annotation.project import Project
from tapnet.studio.apart import answer, told


def main(folder: str, database: str, video: str, user: str, file: str) -> dict[str, Any]:
    """What is printed."""

    def work() -> dict[str, Any]:
        project = Project.open(folder, database or None)
        made = project.import_tracks(int(video), file, project.user(int(user)))
        return {"tracks": [track.to_json() for track in made]}

    return told(work, "the file asks for more memory than tracks may; cut it in parts")


if __name__ == "__main__":
    answer(lambda: main(*sys.argv[1:]))
