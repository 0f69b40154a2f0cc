"""Videos that come through the browser: in parts, from where they stopped, looked at, then kept."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import threading
import time
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tapnet.annotation.records import PRIVATE
from tapnet.files import replacing
from tapnet.studio.options import MAX_CHUNK, UPLOADS
from tapnet.studio.probing import CONTAINERS, Found, probe

KEPT_SECONDS = 7 * 24 * 3600  # an upload that nobody goes on with
MOST_UNFINISHED = 100
SPARE_BYTES = 256 << 20  # of the disk, left for the database
LONGEST_NAME = 120  # characters


@dataclass(frozen=True)
class Upload:
    """A file on its way."""

    id: str
    name: str  # as the browser says
    size: int  # bytes, when it is whole
    user: str
    offset: int  # bytes that are on disk


class OutOfStep(Exception):
    """The part does not begin where the last one ended."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"Upload-Offset: expected {offset}, the bytes that are here; go on there")
        self.offset = offset


class Uploads:
    """Parts lie in the private folder of the project; whole videos in its folder `uploads`."""

    def __init__(self, folder: Path, max_size: int) -> None:
        self._folder, self._max_size = folder, max_size
        self._parts = folder / PRIVATE / UPLOADS
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, name: str, size: int, user: str) -> Upload:
        """A new upload. Raises ValueError for a size that is not taken."""
        if not 0 < size <= self._max_size:
            raise ValueError(
                f"size: expected 1 to {self._max_size} bytes, got {size}; "
                "cut the video, or raise --max-upload"
            )
        self._parts.mkdir(parents=True, exist_ok=True)
        self._clean()
        free = shutil.disk_usage(self._parts).free - SPARE_BYTES
        if size > free:
            raise ValueError(
                f"size: expected {max(0, free) >> 20} MB at most, what is free on the disk of the "
                f"server, got {size >> 20} MB; free some space"
            )
        if len(list(self._parts.glob("*.json"))) >= MOST_UNFINISHED:
            raise ValueError(f"expected {MOST_UNFINISHED} unfinished uploads at most; finish some")
        number = uuid.uuid4().hex
        self._part(number).touch()
        with replacing(self._parts / f"{number}.json") as temporary:
            temporary.write_text(json.dumps({"name": name, "size": size, "user": user}))
        return self.get(number)

    def get(self, number: str) -> Upload:
        """Raises KeyError when there is none of that number."""
        path = self._parts / f"{number}.json"
        if not re.fullmatch("[0-9a-f]{32}", number) or not path.is_file():
            raise KeyError(f"expected an upload that was begun, got {number!r}; begin again")
        try:
            offset = self._part(number).stat().st_size
        except FileNotFoundError:
            raise KeyError("the upload was finished or removed; begin again") from None
        return Upload(id=number, offset=offset, **json.loads(path.read_text()))

    @contextmanager
    def writing(self, number: str, offset: int) -> Iterator[Part]:
        """The file to append to, which ends at `offset`. One writer at a time.

        What was appended is on disk when the block ends, and stays also if it ends by an error.
        """
        with self._alone(number):
            upload = self.get(number)
            if offset != upload.offset:
                raise OutOfStep(upload.offset)
            with open(self._part(number), "ab") as file:
                try:
                    yield Part(file.fileno(), offset, min(upload.size, offset + MAX_CHUNK))
                finally:
                    os.fsync(file.fileno())

    def finish(self, number: str) -> Path:
        """Where the video lies now. Raises ValueError, and drops the upload, if it is none."""
        with self._alone(number):
            upload = self.get(number)
            if upload.offset != upload.size:
                raise ValueError(
                    f"expected {upload.size} bytes, {upload.offset} are here; send the rest first"
                )
            try:
                found = probe(self._part(number))
                return self._keep(upload, found)
            finally:
                self._drop(number)

    def _keep(self, upload: Upload, found: Found) -> Path:
        folder = self._folder / UPLOADS
        folder.mkdir(exist_ok=True)
        for path in _free_names(folder, safe_name(upload.name, found.container)):
            with contextlib.suppress(FileExistsError):
                path.open("xb").close()
                os.replace(self._part(upload.id), path)
                return path
        raise AssertionError("names do not end")

    @contextmanager
    def _alone(self, number: str) -> Iterator[None]:
        with self._lock:
            if number in self._busy:
                raise ValueError("expected one request at a time for an upload; wait for the other")
            self._busy.add(number)
        try:
            yield
        finally:
            self._busy.discard(number)

    def _part(self, number: str) -> Path:
        return self._parts / f"{number}.part"

    def _drop(self, number: str) -> None:
        self._part(number).unlink(missing_ok=True)
        (self._parts / f"{number}.json").unlink(missing_ok=True)

    def _clean(self) -> None:
        for path in self._parts.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                newest = max(path.stat().st_mtime, self._part(path.stem).stat().st_mtime)
                if newest < time.time() - KEPT_SECONDS:
                    self._drop(path.stem)


@dataclass
class Part:
    """An open file that takes bytes up to an end."""

    descriptor: int
    offset: int
    end: int

    def append(self, content: bytes) -> None:
        """Raises ValueError when it is more than was announced."""
        if self.offset + len(content) > self.end:
            raise ValueError(
                f"expected {self.end} bytes at most with this part, got more; "
                "send what was announced, in smaller parts"
            )
        while content:
            written = os.write(self.descriptor, content)
            self.offset, content = self.offset + written, content[written:]


def safe_name(name: str, container: str) -> str:
    """A file name in one folder, with a suffix that fits the container; whatever `name` is."""
    stem, _, suffix = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1]).rpartition(".")
    if not stem:
        stem, suffix = suffix, ""
    kept = "".join(c if c.isalnum() or c in " ._-()" else "_" for c in stem).strip(" .")
    while len(kept.encode()) > LONGEST_NAME:
        kept = kept[:-1]
    fitting = CONTAINERS[container]
    suffix = f".{suffix.lower()}"
    return f"{kept or 'video'}{suffix if suffix in fitting else fitting[0]}"


def _free_names(folder: Path, name: str) -> Iterator[Path]:
    yield folder / name
    path, number = Path(name), 2
    while True:
        yield folder / f"{path.stem} ({number}){path.suffix}"
        number += 1
