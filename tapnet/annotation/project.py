"""The work of a team on a folder of videos, kept in a database: no edit lost, none overwritten."""

from __future__ import annotations

import json
from pathlib import Path as File

from tapnet.annotation.checking import check_export
from tapnet.annotation.database import URL, Database
from tapnet.annotation.jobs import Jobs
from tapnet.annotation.part import moment
from tapnet.annotation.passes import Passes
from tapnet.annotation.people import People
from tapnet.annotation.records import PRIVATE, Conflict, Event
from tapnet.annotation.schema import events
from tapnet.annotation.transfer import Transfer

__all__ = ["Conflict", "Project", "check_export"]


class Project(Transfer, Passes, Jobs, People):
    """Videos of a folder, and all that people and workers do with them.

    Every call is synchronous and may come from any thread or process. What changes something is
    one transaction, on disk when the call returns, and writes its event. Raises ValueError for what
    a caller got wrong, KeyError for an id that is not there, `Conflict`, and OSError when the
    database cannot be read or written: a full disk, a server that is away.
    """

    def __init__(self, folder: File, database: Database) -> None:
        self.folder, self._database = folder, database

    @classmethod
    def open(cls, folder: str | File, database: str | None = None) -> Project:
        """The project in a folder of videos; its tables are created where they are missing.

        `database` is a URL, sqlite:///... or postgresql+psycopg://...; default: the SQLite file
        .tapnet/studio.sqlite in the folder. Raises ValueError for a folder that is none and for a
        database of another kind or version, OSError.
        """
        folder = File(folder).resolve()
        if not folder.is_dir():
            raise ValueError(f"{folder}: expected a folder of videos; create it or choose another")
        file = str(folder / PRIVATE / "studio.sqlite")
        return cls(folder, Database(database or URL.create("sqlite", database=file)))

    def close(self) -> None:
        """Ends the connections to the database."""
        self._database.close()

    def events(self, after: int, video_id: int | None = None, limit: int = 500) -> list[Event]:
        """What changed after that event, of a video or of all, `limit` events at most, in order.

        No event appears later with a number below one that was read.
        """
        rows = events.select().where(events.c.id > after).order_by(events.c.id).limit(limit)
        if video_id is not None:
            rows = rows.where(events.c.video_id == video_id)
        with self._database.glancing() as read:
            return [
                Event(row.id, row.video_id, row.kind, json.loads(row.data), moment(row.time))
                for row in read.execute(rows)
            ]

    def newest_event(self) -> int:
        """The number of the newest event, 0 when there is none."""
        rows = events.select().with_only_columns(events.c.id).order_by(events.c.id.desc())
        with self._database.glancing() as read:
            return read.execute(rows.limit(1)).scalar() or 0
