"""A real PostgreSQL server for tests, where its programs are installed (Debian: postgresql).

A test that takes the fixture `postgres` gets the URL of an empty database of its own:

    from postgres import postgres  # noqa: F401
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

_SECONDS = 30  # to start or to stop
_numbers = itertools.count()


@pytest.fixture
def postgres() -> str:
    """The URL of an empty database: postgresql+psycopg://..."""
    return new_database()


def new_database(*, durable: bool = True) -> str:
    """The URL of an empty database on a server of this process, which is started when needed.

    Without `durable` the server does not wait for the disk: for tests that do not take the machine
    down, several times as fast. Skips the test where there is no server to start.
    """
    psycopg = pytest.importorskip("psycopg")
    folder = _server(durable)
    name = f"test_{next(_numbers)}"
    with psycopg.connect(f"host={folder} user=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://postgres@/{name}?host={folder}"


def initdb() -> str:
    """PostgreSQL's program that makes a server. Skips the test where it is not installed."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(programs[-1]) if programs else shutil.which("initdb")
    if found is None:
        pytest.skip("PostgreSQL is not installed: no initdb in /usr/lib/postgresql/*/bin or PATH")
    return found


@functools.cache
def _server(durable: bool) -> Path:
    """The folder of the socket of a running server, which ends with this process."""
    found = initdb()
    owner: dict[str, object] = {}
    if os.getuid() == 0:  # the server refuses to run as root
        try:
            entry = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        owner = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: names of sockets have 107 characters
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if owner:
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    data = folder / "data"
    subprocess.run(
        [found, "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync"],
        check=True,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        timeout=_SECONDS,
        **owner,  # type: ignore[call-overload]
    )
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            [
                str(Path(found).with_name("postgres")),
                *("-D", data, "-k", folder),
                *("-c", "listen_addresses=", "-c", "shared_buffers=16MB"),
                *("-c", f"fsync={'on' if durable else 'off'}"),
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
            **owner,  # type: ignore[call-overload]
        )
    atexit.register(_stop, server)
    _wait(server, folder)
    return folder


def _wait(server: subprocess.Popen, folder: Path) -> None:
    import psycopg

    end = time.monotonic() + _SECONDS
    while True:
        try:
            psycopg.connect(f"host={folder} user=postgres").close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                log = (folder / "log").read_text(errors="replace")
                raise RuntimeError(f"PostgreSQL did not start:\n{log}") from None
            time.sleep(0.05)


def _stop(server: subprocess.Popen) -> None:
    server.send_signal(2)  # a fast shutdown: open sessions are ended
    try:
        server.wait(_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
