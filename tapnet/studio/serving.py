"""The studio as a process: an address, workers, videos that are looked for, a clean end."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from tapnet.annotation.project import Project
from tapnet.progress import Progress
from tapnet.studio.app import create_app
from tapnet.studio.context import Studio
from tapnet.studio.options import LOOPBACK, Options
from tapnet.studio.probing import SUFFIXES

TELL_SECONDS = 5  # until the address is told while videos are still being added
CLOSE_SECONDS = 2  # for answers that are under way when the server stops

_log = logging.getLogger("tapnet.studio")


def serve(
    options: Options,
    host: str,
    port: int,
    only: Path | None = None,
    ready: Callable[[str], None] = lambda address: None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Serves until Ctrl-C or SIGTERM; `ready` is called with the address, once it answers.

    Videos of the folder (only the one of `only`, where given) are added while it serves. With a
    PEM `certificate`, and its `key` where that is another file, it speaks HTTPS only. Raises
    ValueError when the port is taken or the certificate cannot be used, and what `Project.open`
    raises.
    """
    _check_certificate(certificate, key)
    Project.open(options.folder, options.database).close()  # says now what is wrong with it
    with _listen(host, port) as listener:
        app = create_app(options)
        server = _Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=CLOSE_SECONDS,
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )
        scheme = "https" if certificate else "http"
        address = f"{scheme}://{place_of(listener, host)}"
        server.began = lambda: _begin(app.state.studio, only, address, ready)
        server.ends = lambda: app.state.studio.hub.close()
        signal.signal(signal.SIGTERM, _exit)  # uvicorn raises it again when all is closed
        server.run([listener])


class _Server(uvicorn.Server):
    """Says when it answers, and when it is asked to stop: streams of events do not end else."""

    began: Callable[[], None]
    ends: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.began()

    def handle_exit(self, sig: int, frame: Any) -> None:
        if self.started:
            self.ends()
        super().handle_exit(sig, frame)


def is_loopback(host: str) -> bool:
    return host in LOOPBACK


def place_of(listener: socket.socket, host: str) -> str:
    """HOST:PORT where browsers find it: by the name of this machine, when it listens everywhere."""
    host = socket.gethostname() if host in ("0.0.0.0", "::") else host
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{listener.getsockname()[1]}"


def _check_certificate(certificate: Path | None, key: Path | None) -> None:
    if certificate is None:
        if key:
            raise ValueError(f"key: {key} is of no use alone; give its --certificate as well")
        return
    for path in (certificate, key or certificate):
        if not path.is_file():
            raise FileNotFoundError(2, "expected a PEM file; check the name", str(path))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(
            f"{certificate}: expected a PEM certificate and its key ({error}); if the key is in a "
            "file of its own, give that with --key"
        ) from error


def _listen(host: str, port: int) -> socket.socket:
    """A socket on the port, 0 = one that is free. Raises ValueError that says what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends without delay (TCP_NODELAY) only where the protocol is stated: 40 ms an answer
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # where it would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"port {port} of {host} is taken, perhaps by another studio; stop that one, or "
                f"choose another with --port {port + 1}"
            ) from error
        raise ValueError(f"{host}: cannot listen there ({error.strerror}); check --host") from error
    except OverflowError as error:
        raise ValueError(f"port: expected 0 to 65535, got {port}") from error
    return listener


def _begin(studio: Studio, only: Path | None, address: str, ready: Callable[[str], None]) -> None:
    """Adds the videos in the background; tells the address when they are there, or soon."""
    told = threading.Lock()

    def tell(opened: str = "") -> None:
        if told.acquire(blocking=False):
            ready(f"{address}/{opened}")

    def work() -> None:
        soon = threading.Timer(TELL_SECONDS, tell)
        soon.daemon = True
        soon.start()
        added = _add(studio, [only] if only else list(_videos(studio.options.folder)))
        tell(f"#video={added[0]}" if only and added else "")
        for video in studio.project.videos():  # what a kill left undone
            studio.project.enqueue("assist", video.id, {}, studio.local_user)
        studio.changed()

    threading.Thread(target=work, name="videos", daemon=True).start()


def _add(studio: Studio, paths: list[Path]) -> list[int]:
    """Numbers of the videos; files that are none are left out."""
    added = []
    with Progress("looking at the videos of the folder", "videos") as progress:
        for done, path in enumerate(paths, start=1):
            try:
                added.append(studio.project.add_video(path).id)
                studio.changed()
            except (ValueError, OSError) as error:
                _log.warning("left out: %s", error)
            progress(done, len(paths))
    return added


def _videos(folder: Path) -> Iterator[Path]:
    """Files that look like videos, in their order; nothing hidden."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if not hidden and path.suffix.lower() in SUFFIXES and path.is_file():
            yield path


def _exit(number: int, frame: Any) -> None:
    raise SystemExit(0)
