"""What every request works with: the studio that runs, and checked values."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Path, Request
from pydantic import AfterValidator, Field

from tapnet.annotation.project import Project
from tapnet.annotation.records import PRIVATE
from tapnet.studio.events import Hub
from tapnet.studio.filling import Filling
from tapnet.studio.frames import FrameServer
from tapnet.studio.options import Options
from tapnet.studio.uploads import Uploads
from tapnet.studio.workers import Workers

if TYPE_CHECKING:
    from tapnet.annotation.records import User
    from tapnet.studio.access import Failures


@dataclass
class Studio:
    """The parts of a server that runs."""

    options: Options
    project: Project
    frames: FrameServer
    uploads: Uploads
    hub: Hub
    workers: Workers
    filling: Filling
    secret: bytes
    local_user: User
    failures: Failures
    checking: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(2))
    _aside: set[asyncio.Future] = field(default_factory=set)

    def aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Does `work` on the event loop without waiting for it."""
        task = asyncio.ensure_future(work)
        self._aside.add(task)  # the loop itself would forget it
        task.add_done_callback(self._aside.discard)

    def close(self) -> None:
        """Stops everything; jobs that run go back into the queue."""
        self.hub.close()
        self.filling.close()
        self.workers.stop()
        self.frames.close()
        self.hub.join()
        self.project.close()

    def changed(self) -> None:
        """Tells listeners and workers that there is something new in the project."""
        self.hub.wake()
        self.workers.wake()


async def _running(request: Request) -> Studio:
    return request.app.state.studio


def _printable(text: str) -> str:
    if not text.isprintable():  # line breaks, control characters, lone surrogates
        raise ValueError("expected one line of printable text")
    return text


def check_lines(text: str) -> str:
    """`text` of several lines. ValueError for what databases do not keep."""
    for line in text.splitlines():
        _printable(line.replace("\t", " "))
    return text


Studying = Annotated[Studio, Depends(_running)]
ID_LIMIT = 2**31 - 1  # of PostgreSQL's integers
Number = Annotated[int, Field(ge=1, le=ID_LIMIT)]
Id = Annotated[int, Path(ge=1, le=ID_LIMIT)]
Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]


def secret_of(folder: File) -> bytes:
    """A secret that stays the same over restarts, readable by its owner alone."""
    path = folder / PRIVATE / "secret"
    path.parent.mkdir(exist_ok=True)
    try:
        with open(path, "xb", opener=_private) as file:
            file.write(secrets.token_bytes(32))
    except FileExistsError:
        pass
    secret = path.read_bytes()
    if len(secret) != 32:
        raise ValueError(f"{path}: expected 32 bytes, got {len(secret)}; remove the file")
    return secret


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
