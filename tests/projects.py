"""Annotation projects for tests: a small video in a folder, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path as File
from typing import Any

import numpy as np
import pytest

FRAMES, HEIGHT, WIDTH = 20, 48, 64


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str | None:
    """The URL of an empty database, None = the project's own SQLite file."""
    if request.param == "sqlite":
        return None
    from postgres import new_database

    return new_database(durable=False)


@pytest.fixture
def project(tmp_path: File, database: str | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty project with the file clip.mp4 in its folder; passwords cost little."""
    from tapnet.annotation import people
    from tapnet.annotation.project import Project

    monkeypatch.setattr(people, "_COST", (2**12, 8, 1))
    put_video(tmp_path / "clip.mp4")
    opened = Project.open(tmp_path, database)
    yield opened
    opened.close()


def put_video(path: File) -> None:
    """A video of FRAMES frames of HEIGHT x WIDTH."""
    path.write_bytes(_video())


@functools.cache
def _video() -> bytes:
    from tapnet.video import write

    noise = np.random.default_rng(0).integers(0, 255, (FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    folder = File(tempfile.mkdtemp())
    write(folder / "clip.mp4", noise, 25)
    content = (folder / "clip.mp4").read_bytes()
    shutil.rmtree(folder)
    return content
