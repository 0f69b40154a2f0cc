"""A studio in the process of a test, and small videos whose frames can be told apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from tapnet import video
from tapnet.studio.app import create_app
from tapnet.studio.options import Options

SIZE = 48, 64  # height, width
FRAMES = 20


def make_video(path: Path, frames: int = FRAMES, size: tuple[int, int] = SIZE) -> Path:
    """Frame n is a grey of 10 + 11 n."""
    grey = (np.full((*size, 3), 10 + 11 * n % 240, np.uint8) for n in range(frames))
    video.write(path, grey, 25.0)
    return path


class Client(TestClient):
    """Sends the token of who it is with everything."""

    def log_in(self, **credentials: str) -> Any:
        """As somebody, or as the local user."""
        asked = self.post("/api/login", json=credentials) if credentials else self.get("/api/me")
        self.headers["x-csrf"] = asked.json().get("csrf", "")
        return asked


@contextmanager
def running(folder: Path, **options: Any) -> Iterator[Client]:
    """A client of a studio on that folder, without workers."""
    app = create_app(Options(folder, **{"workers": 0, **options}))
    with Client(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        client.log_in()
        yield client


def add_video(client: Client, path: Path) -> int:
    """The number of the video in the studio."""
    return client.app.state.studio.project.add_video(path).id


def content(*clicks: tuple[int, float, float], **more: Any) -> dict[str, Any]:
    """Of a track with clicks (frame, x, y)."""
    made = [{"frame": t, "x": x, "y": y} for t, x, y in clicks]
    return {"clicks": made, "assist": "linear", **more}
