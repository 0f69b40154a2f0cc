"""What every part of a project has: its folder and its database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path as File
from typing import Any

from tapnet.annotation.database import Database


class Part:
    """One subject of a project's calls; `Project` is all of them together."""

    folder: File  # of the videos, absolute
    _database: Database


def moment(seconds: float) -> datetime:
    """The time that the database keeps as seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def found(row: Any, what: str, number: Any) -> Any:
    """`row`, or KeyError when there is none."""
    if row is None:
        raise KeyError(f"no {what} {number} in this project")
    return row
