"""Transactions on SQLite and PostgreSQL that are durable, in order, and fail with a clear message.

On SQLite one thread writes at a time, by BEGIN IMMEDIATE. On PostgreSQL a few threads of each
process do, in turns, side by side but for the moment in which their events are numbered. So ids of
events become visible in their order: whoever read one has seen, or can see, all before it.
"""

from __future__ import annotations

import errno
import json
import selectors
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path as File
from typing import Any, cast

try:
    import sqlalchemy as sa
    from sqlalchemy import URL
    from sqlalchemy import event as hooks
    from sqlalchemy.exc import (
        ArgumentError,
        DBAPIError,
        DisconnectionError,
        IntegrityError,
        NoSuchModuleError,
    )
    from sqlalchemy.exc import TimeoutError as PoolTimeout
except ImportError as error:
    raise ImportError(
        "annotation projects are kept by SQLAlchemy: pip install 'tapnet[studio]'"
    ) from error

from tapnet.annotation import schema

BUSY_SECONDS = 30  # to wait for another writer
WRITERS = 3  # threads of a process that write to a server at once
LOOK_MS = 4  # for which SQLite looks every one or two milliseconds whether it may write
_LOCKS = {"create": 74617001, "claim": 74617002, "events": 74617003}  # numbers of our own
_EXAMPLES = "sqlite:////folder/studio.sqlite or postgresql+psycopg://user:password@host/name"
_LOCKED_INSERT = sa.text(  # in one statement: while the lock is held, all others wait
    f"WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock({_LOCKS['events']})) "
    "INSERT INTO events (video_id, kind, data, time) "
    "SELECT CAST(:video_id AS BIGINT), :kind, :data, CAST(:time AS DOUBLE PRECISION) FROM held"
)
_SQLITE = {  # primary result code: errno, what it means
    5: (errno.EBUSY, "the database was busy with others for too long; try again"),
    8: (errno.EROFS, "the database cannot be written; check the rights of its file and folder"),
    10: (errno.EIO, "the disk of the database fails; what was saved before is whole"),
    13: (errno.ENOSPC, "no space left for the database; free some: what was saved before is whole"),
    14: (errno.ENOENT, "the database cannot be opened; check its folder, and the space on it"),
}


class Transaction:
    """Statements that happen together or not at all, and the events that tell of them."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.now = time.time()
        self._events: list[dict[str, Any]] = []

    def execute(self, statement: sa.Executable, rows: Any = None) -> sa.CursorResult:
        """The result of a statement, or of many rows given to one."""
        return self.connection.execute(statement, rows)

    def tell(self, video_id: int, kind: str, data: dict[str, Any]) -> None:
        """An event, written when the transaction ends."""
        self._events.append(
            {"video_id": video_id, "kind": kind, "data": json.dumps(data), "time": self.now}
        )

    def lock(self, what: str) -> None:
        """Waits until no other transaction holds this lock, and holds it to the end."""
        if self.connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
            self.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCKS[what])))

    def write_events(self) -> None:
        """The lock on them is the last one that is taken, so nobody waits in a circle."""
        if not self._events:
            return
        if self.connection.dialect.name == "postgresql":
            self.execute(_LOCKED_INSERT, self._events)
        else:
            self.execute(schema.events.insert(), self._events)


class Turns:
    """A lock for `places` threads, got in the order in which they asked: none waits for ever."""

    def __init__(self, places: int = 1) -> None:
        self._state, self._free = threading.Lock(), places
        self._waiting: deque[threading.Lock] = deque()

    @contextmanager
    def mine(self, seconds: float) -> Iterator[bool]:
        """Whether it was got within that time; held for the block."""
        got = self._acquire(seconds)
        try:
            yield got
        finally:
            if got:
                self._release()

    def _acquire(self, seconds: float) -> bool:
        with self._state:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=seconds):
            return True
        with self._state:
            if turn not in self._waiting:  # handed over at the last moment
                return True
            self._waiting.remove(turn)
            return False

    def _release(self) -> None:
        with self._state:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class Database:
    """Connections to the database of a project, shared by the threads of a process."""

    def __init__(self, url: str | URL) -> None:
        self._engine = _engine(url)
        self.is_sqlite = self._engine.dialect.name == "sqlite"
        self.name = self._engine.url.render_as_string(hide_password=True)
        self._writers = Turns(
            1 if self.is_sqlite else WRITERS
        )  # among threads; among processes SQLite polls
        with _clear_errors(self.name):
            self._create()

    def close(self) -> None:
        self._engine.dispose()

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """One state of the database, for as long as the block lasts."""
        return self._connected("REPEATABLE READ")

    def glancing(self) -> AbstractContextManager[sa.Connection]:
        """For one statement: no transaction is begun for it."""
        return self._connected("AUTOCOMMIT")

    @contextmanager
    def _connected(self, level: Any) -> Iterator[sa.Connection]:
        """With an isolation level of PostgreSQL; each transaction of SQLite sees one state."""
        with _clear_errors(self.name), self._engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(isolation_level=level)
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A transaction, on disk when the block has ended well, undone when it raises.

        Raises OSError when it cannot be written, and IntegrityError.
        """
        with _clear_errors(self.name), self._one_writer(), self._engine.connect() as connection:
            if self.is_sqlite:
                connection = connection.execution_options(writes=True)
            with connection.begin():
                transaction = Transaction(connection)
                yield transaction
                transaction.write_events()

    @contextmanager
    def _one_writer(self) -> Iterator[None]:
        with self._writers.mine(BUSY_SECONDS) as got:
            if not got:
                raise OSError(*_SQLITE[5], self.name)
            yield

    def _create(self) -> None:
        with self.writing() as transaction:
            transaction.lock("create")  # two processes may start at once
            schema.tables.create_all(transaction.connection)
            found = transaction.execute(sa.select(schema.meta.c.version)).scalar()
            if found is None:
                transaction.execute(schema.meta.insert().values(version=schema.VERSION))
            elif found != schema.VERSION:
                raise ValueError(
                    f"{self.name}: expected a database of version {schema.VERSION}, got version "
                    f"{found}; open it with the tapnet that made it"
                )


def _engine(url: str | URL) -> sa.Engine:
    try:
        made = sa.make_url(url)
        kind = made.get_backend_name()
        if kind not in ("sqlite", "postgresql") or made.database in (None, "", ":memory:"):
            raise ArgumentError("a database in a file or on a PostgreSQL server is needed")
        if kind == "sqlite":
            return _sqlite(made)
        engine = sa.create_engine(
            made.set(drivername="postgresql+psycopg"),
            pool_size=40,
            max_overflow=10,
            connect_args={"options": "-c synchronous_commit=on", "connect_timeout": 10},
        )
        _replace_ended(engine)
        return engine
    except (ArgumentError, NoSuchModuleError) as error:
        raise ValueError(f"database: expected a URL such as {_EXAMPLES}, got {url!r}") from error
    except ModuleNotFoundError as error:  # psycopg
        raise ImportError(
            f"PostgreSQL is spoken to by {error.name}: pip install 'tapnet[studio]'"
        ) from error


def _replace_ended(engine: sa.Engine) -> None:
    """Where the server ended a connection that waits for use, another one is made.

    The server says so on its own, so there is something to read; asking it would take time.
    """

    @hooks.listens_for(engine, "checkout")
    def _(connection: Any, _record: Any, _proxy: Any) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            if selector.select(0):
                raise DisconnectionError


def _sqlite(url: URL) -> sa.Engine:
    home = File(str(url.database)).parent
    home.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds hashes of passwords
    engine = sa.create_engine(
        url, pool_size=40, max_overflow=30, connect_args={"timeout": BUSY_SECONDS}
    )

    @hooks.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # no BEGIN but ours, below
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @hooks.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("writes"):
            _begin_writing(connection)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _begin_writing(connection: sa.Connection) -> None:
    """Waits for its turn among processes; SQLite itself looks every 0.1 s only, after a while."""
    driver = cast(sqlite3.Connection, connection.connection.dbapi_connection)
    end = time.monotonic() + BUSY_SECONDS
    driver.execute(f"PRAGMA busy_timeout={LOOK_MS}")
    try:
        while time.monotonic() < end:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    break
            else:
                return
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # for the error
    finally:
        driver.execute(f"PRAGMA busy_timeout={1000 * BUSY_SECONDS}")


@contextmanager
def _clear_errors(name: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except PoolTimeout as error:
        raise OSError(*_SQLITE[5], name) from error
    except DBAPIError as error:
        known = _meaning(error)
        if known is None:
            raise
        raise known(name) from error


def _meaning(error: DBAPIError) -> Any:
    """From the name of the database to the error that tells what happened, if that is known."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        if code & 0xFF in (11, 26):
            return lambda name: ValueError(f"{name}: not a database, or damaged: {error.orig}")
        known = _SQLITE.get(code & 0xFF)
        return known and (lambda name: OSError(*known, name))
    state = getattr(error.orig, "sqlstate", None)
    if state == "53100":
        return lambda name: OSError(*_SQLITE[13], name)
    if state is not None and state[:2] in ("40", "55"):  # two waited for each other, or too long
        return lambda name: OSError(*_SQLITE[5], name)
    if error.connection_invalidated or state is None or state[:2] in ("08", "53", "57"):
        why = " ".join(str(error.orig).split())
        return lambda name: ConnectionError(f"{name}: the database does not answer: {why}")
    return None
