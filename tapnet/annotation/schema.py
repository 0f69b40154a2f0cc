"""The tables of a project, in SQLite and in PostgreSQL.

Times are seconds since 1970 (UTC), JSON is text, arrays are their little-endian bytes.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

VERSION = 1  # of these tables; a database of another version is refused

tables = MetaData()
_BIG = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by INTEGER alone


def _key() -> Column:
    return Column("id", _BIG, primary_key=True)


def _to(column: str, *, null: bool = False) -> Column:
    name = column.split(".", maxsplit=1)[0].removesuffix("s") + "_id"
    return Column(name, _BIG, ForeignKey(column), nullable=null)


def _of_one(name: str) -> Column:
    """A key that is the id of another table's row too."""
    return Column(name, _BIG, ForeignKey(f"{name.removesuffix('_id')}s.id"), primary_key=True)


def _path() -> list[Column]:
    return [
        Column("start", Integer, nullable=False),
        Column("xy", LargeBinary, nullable=False),  # float32 [n, 2]
        Column("visible", LargeBinary, nullable=False),  # uint8 [n], 0 or 1
        Column("confidence", LargeBinary, nullable=False),  # float32 [n]
    ]


meta = Table("meta", tables, Column("version", Integer, primary_key=True))

users = Table(
    "users",
    tables,
    _key(),
    Column("name", String(100), nullable=False),
    Column("role", String(20), nullable=False),
    Column("password", Text),  # as people.py writes it; none = nobody logs in by it
    Column("removed", Boolean, nullable=False, default=False),
)
Index(
    "users_name",
    users.c.name,
    unique=True,
    sqlite_where=users.c.removed == false(),
    postgresql_where=users.c.removed == false(),
)

sessions = Table(
    "sessions",
    tables,
    Column("hash", String(64), primary_key=True),  # SHA-256 of the token
    _to("users.id"),
    Column("expires", Double, nullable=False),
)

videos = Table(
    "videos",
    tables,
    _key(),
    Column("path", Text, nullable=False),  # relative to the folder, with /
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("fps", Double, nullable=False),
    Column("times", LargeBinary, nullable=False),  # float64 [frames]
    Column("playable", Boolean, nullable=False),
    Column("size", BigInteger, nullable=False),  # bytes of the file when it was read
    Column("modified", Double, nullable=False),
    Column("added", Double, nullable=False),
    Column("removed", Boolean, nullable=False, default=False),
)
Index(
    "videos_path",
    videos.c.path,
    unique=True,
    sqlite_where=videos.c.removed == false(),
    postgresql_where=videos.c.removed == false(),
)

tracks = Table(
    "tracks",
    tables,
    _key(),
    _to("videos.id"),
    Column("version", Integer, nullable=False),
    Column("content", Text, nullable=False),
    Column("stage", String(20), nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("changed_by", String(100), nullable=False),
    Index("tracks_video", "video_id"),
)

edits = Table(  # one row for each version of each track
    "edits",
    tables,
    _key(),
    _to("tracks.id"),
    Column("version", Integer, nullable=False),
    _to("users.id"),
    Column("by", String(100), nullable=False),
    Column("time", Double, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("stage", String(20), nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("content", Text, nullable=False),
    Column("edit_id", String(100), nullable=False),
    Column("place", Integer, nullable=False),  # among the tracks that one edit made
    UniqueConstraint("track_id", "version"),
    UniqueConstraint("edit_id", "place"),
)

paths = Table(
    "paths",
    tables,
    _of_one("track_id"),
    Column("version", Integer, primary_key=True),
    Column("complete", Boolean, nullable=False),
    *_path(),
)

imports = Table("imports", tables, _of_one("track_id"), *_path())  # as they came

passes = Table(  # the version that a pass over a track ended with
    "passes",
    tables,
    _of_one("track_id"),
    Column("stage", String(20), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("by", String(100), nullable=False),
    Column("time", Double, nullable=False),
)

suggestions = Table(
    "suggestions", tables, _of_one("video_id"), Column("content", Text, nullable=False)
)

tasks = Table(
    "tasks",
    tables,
    _key(),
    _to("videos.id"),
    _to("users.id"),
    Column("stage", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("note", Text, nullable=False),
    Column("changed_at", Double, nullable=False),
    UniqueConstraint("video_id", "user_id", "stage"),
)

jobs = Table(
    "jobs",
    tables,
    _key(),
    Column("kind", String(40), nullable=False),
    _to("videos.id"),
    Column("settings", Text, nullable=False),
    Column("hash", String(64), nullable=False),  # of kind, video and settings
    Column("state", String(20), nullable=False),
    Column("done", Integer, nullable=False, default=0),
    Column("total", Integer, nullable=False, default=0),
    Column("message", Text, nullable=False, default=""),
    Column("result", Text),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("ended", Double),
    Column("by", String(100), nullable=False),
    Column("worker", String(200)),
    Column("heard", Double),  # when the worker last told of itself
    Column("tries", Integer, nullable=False, default=0),
    Index("jobs_state", "state", "video_id"),
)
Index(
    "jobs_queued",
    jobs.c.hash,
    unique=True,
    sqlite_where=text("state = 'queued'"),
    postgresql_where=text("state = 'queued'"),
)

events = Table(
    "events",
    tables,
    _key(),
    _to("videos.id"),
    Column("kind", String(20), nullable=False),
    Column("data", Text, nullable=False),
    Column("time", Double, nullable=False),
    CheckConstraint("id > 0"),
    Index("events_video", "video_id", "id"),
    sqlite_autoincrement=True,  # an id is never given twice
)
