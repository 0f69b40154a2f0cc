"""How a studio is set up, and the limits it keeps."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = ("127.0.0.1", "localhost", "::1")
UPLOADS = "uploads"  # in the folder: videos that came through the browser

MAX_BODY = 16 << 20  # bytes of a request that is read whole
MAX_CHUNK = 32 << 20  # bytes of an upload in one request
MAX_PIXELS = 36_000_000  # of a frame: 8192 x 4320
MAX_FRAMES = 2_000_000  # of a video: 18 hours at 30 a second
MAX_CONTENTS = 1024  # tracks made by one request
DECODER_MEMORY = 4 << 30  # bytes that a process which reads a stranger's file may fill


@dataclass(frozen=True)
class Options:
    """What `tapnet studio` was told."""

    folder: Path  # of the videos
    database: str | None = None  # URL; None: a SQLite file in the folder
    login: bool = False  # False: whoever reaches the server is its local user
    workers: int = 2  # processes that compute paths; one more writes files
    max_upload: int = 4 << 30  # bytes


def limit_memory(size: int) -> None:
    """From now on this process fails to get more than `size` bytes; where the system has limits."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
        given = size if kind == resource.RLIMIT_DATA else 4 * size  # addresses cost nothing yet
        with contextlib.suppress(ValueError, OSError):  # a lower limit is set already
            resource.setrlimit(kind, (given, given))
