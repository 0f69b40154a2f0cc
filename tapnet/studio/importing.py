"""Imports a file of tracks for the server, in a process that has little memory and less time.

    python -m tapnet.studio.importing FOLDER DATABASE VIDEO USER FILE

prints {"tracks": [...]} or {"error": sentence}; DATABASE may be empty.
"""

from __future__ import annotations

import json
import sys

from tapnet.annotation.project import Project
from tapnet.studio.options import DECODER_MEMORY, limit_memory


def main(folder: str, database: str, video: str, user: str, file: str) -> dict[str, object]:
    """What is printed."""
    try:
        project = Project.open(folder, database or None)
        made = project.import_tracks(int(video), file, project.user(int(user)))
        return {"tracks": [track.to_json() for track in made]}
    except (ValueError, KeyError, OSError) as error:
        return {"error": " ".join(str(error.args[0] if error.args else error).split())}
    except MemoryError:
        return {"error": "the file asks for more memory than tracks may; cut it in parts"}


if __name__ == "__main__":
    limit_memory(DECODER_MEMORY)
    sys.stdout.write(json.dumps(main(*sys.argv[1:])) + "\n")
