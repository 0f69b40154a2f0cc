"""Which trackers are ready, asked in a process of its own: the server does not load torch."""

from __future__ import annotations

import functools
import json
import subprocess
import sys


@functools.cache
def ready() -> dict[str, bool]:
    """Trackers that need no other weights: name -> whether it works online; the default first."""
    done = subprocess.run(
        [sys.executable, "-m", "tapnet.studio.trackers"],
        stdout=subprocess.PIPE,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _look() -> dict[str, bool]:
    from tapnet.tracker import DEFAULT, choices, load

    names = sorted(choices(), key=lambda name: (name != DEFAULT, name))
    return {name: bool(load(name).model.online) for name in names}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_look()) + "\n")
