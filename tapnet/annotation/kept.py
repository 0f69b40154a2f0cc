"""What was worked out of frames, kept on disk: the next click need not wait for it.

Arrays are found by what they were made of, the pixels of frames and the weights of a model, so they
are never out of date. Those that were used least lately go when there are too many. What cannot be
written or read is made again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from tapnet.pickles import UNREADABLE

MOST_BYTES = 2 << 30  # in a folder
SPARE_BYTES = 1 << 30  # of the disk stay free
LOOK_BYTES = 64 << 20  # are written between two looks at how many there are
TORN_SECONDS = 600.0  # after which a file that is not whole is of a process that was killed

Arrays = tuple[np.ndarray, ...]


class Anew:
    """Keeps nothing."""

    def arrays(self, parts: Iterable[str | np.ndarray], make: Callable[[], Arrays]) -> Arrays:
        """What `make` makes of `parts`, a name and all that it depends on."""
        return make()


class Kept(Anew):
    """Keeps what was made in files of a folder, which processes may share."""

    def __init__(self, folder: Path, most: int = MOST_BYTES) -> None:
        self._folder, self._most = folder, most
        self._unlooked = LOOK_BYTES  # bytes written since the last look

    def arrays(self, parts: Iterable[str | np.ndarray], make: Callable[[], Arrays]) -> Arrays:
        key = key_of(parts)
        path = self._folder / key[:2] / f"{key}.npz"
        found = _read(path)
        if found is None:
            found = make()
            with suppress(OSError):  # a full disk, say
                self._write(path, found)
        return found

    def _write(self, path: Path, arrays: Arrays) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self._folder).free < SPARE_BYTES:
            return
        handle, name = tempfile.mkstemp(".torn", dir=path.parent)
        try:
            with open(handle, "wb") as file:  # not synced: what a crash tears is made again
                np.savez(file, *arrays)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
        self._unlooked += sum(array.nbytes for array in arrays)
        if self._unlooked >= LOOK_BYTES:
            self._unlooked = 0
            self._make_room()

    def _make_room(self) -> None:
        found = []
        for path in self._folder.glob("*/*"):
            with suppress(OSError):  # another process made room
                state = path.stat()
                torn = path.suffix == ".torn" and time.time() - state.st_mtime > TORN_SECONDS
                found.append((0 if torn else state.st_mtime, state.st_size, path))
        total = sum(size for _, size, _ in found)
        for used, size, path in sorted(found):
            if used and total <= self._most:
                break
            with suppress(OSError):
                path.unlink()
            total -= size


def key_of(parts: Iterable[str | np.ndarray]) -> str:
    """One for equal parts only."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, str):
            digest.update(f"{len(part)} {part}".encode())
        else:
            digest.update(f"{part.dtype} {part.shape} ".encode())
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def _read(path: Path) -> Arrays | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = tuple(file[f"arr_{i}"] for i in range(len(file.files)))
        os.utime(path)
    except (*UNREADABLE, ValueError, KeyError):
        return None
    return found
