"""A studio that really runs: `tapnet studio` as a process, on a port of its own."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx

START_SECONDS = 60


class Server:
    """`with Server(folder, "--workers", "0") as server: server.get("/api/videos")`."""

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        self._command = [sys.executable, "-m", "tapnet", "studio", str(folder)]
        self._command += ["--no-browser", *options]
        self.port = port
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it and waits for its address. The first port is kept by later starts."""
        self.process = subprocess.Popen(
            [*self._command, "--port", str(self.port)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        )
        said: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=_read, args=[self.process.stdout, said], daemon=True).start()
        try:
            line = said.get(timeout=START_SECONDS)
        except queue.Empty:
            self.kill()
            raise AssertionError(f"no address in {START_SECONDS} s") from None
        found = re.search(r"(https?://\S+:(\d+))/", line)
        if not found:
            self.kill()
            raise AssertionError(f"expected an address, got {line!r}")
        self.address, self.port = found[1], int(found[2])
        self.opened = re.search(r"https?://\S+", line)[0]  # type: ignore[index]

    def stop(self) -> int:
        """SIGTERM, as a system does; the exit code. Kills what does not end."""
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """kill -9 of the server; its workers notice by themselves."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def client(self, **more: Any) -> httpx.Client:
        """A client that sends the token with everything."""
        token = httpx.get(f"{self.address}/api/me", timeout=30).json()["csrf"]
        headers = {"x-csrf": token}
        return httpx.Client(base_url=self.address, timeout=30, headers=headers, **more)


def wait_until(done: Any, seconds: float = 20) -> Any:
    """What `done()` returns, once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := done():
            return found
        time.sleep(0.03)
    raise AssertionError(f"not within {seconds} s")


def _read(lines: Any, said: queue.SimpleQueue[str]) -> None:
    for line in lines:
        said.put(line)
    said.put("")
