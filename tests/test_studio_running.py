"""A studio that really runs: paths appear, events arrive, work survives, everything ends."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest
from studio_app import content, make_video
from studio_server import Server, wait_until

from tapnet import video
from tapnet.annotation.content import Path as Line
from tapnet.annotation.project import Project
from tapnet.tracks import Tracks

WAIT = 120  # seconds for a worker, which imports torch: many in a machine that is busy


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "clip.mp4")
    return folder


@pytest.fixture(scope="module")
def server(folder):
    with Server(folder, "--workers", "1") as server:
        yield server


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


class Listener:
    """What one page hears, in a thread of its own."""

    def __init__(self, server: Server, **params: object) -> None:
        self.events: list[tuple[str, dict, float]] = []
        self._client = httpx.Client(base_url=server.address, timeout=20)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, args=[params], daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        wait_until(lambda: self.events)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _listen(self, params: dict) -> None:
        with self._client.stream("GET", "/api/events", params=params) as stream:
            kind = ""
            for line in stream.iter_lines():
                name, _, text = line.partition(": ")
                kind = text if name == "event" else kind
                if name == "data":
                    self.events.append((kind, json.loads(text), time.monotonic()))
                if self._over.is_set():
                    return

    def of(self, kind: str) -> list[dict]:
        return [data for name, data, _ in self.events if name == kind]


def create(client: httpx.Client, *contents: dict) -> list[dict]:
    body = {"edit_id": os.urandom(8).hex(), "contents": contents}
    answer = client.post("/api/videos/1/tracks", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def path_of(client: httpx.Client, track: dict) -> dict | None:
    """The path of the track as it is, once it is whole."""
    found = client.get(f"/api/videos/1/paths?tracks={track['id']}").json()
    whole = [p for p in found if p["complete"] and p["version"] == track["version"]]
    return whole[0] if whole else None


def ended(client: httpx.Client, job: dict) -> dict:
    """The job, once it has."""

    def look() -> dict | None:
        now = client.get(f"/api/jobs/{job['id']}").json()
        return None if now["state"] in ("queued", "running") else now

    return wait_until(look, WAIT)


def test_clicks_become_paths(client) -> None:
    (track,) = create(client, content((0, 10, 10), (10, 30, 20)))
    path = wait_until(lambda: path_of(client, track), WAIT)
    xy = np.frombuffer(base64.b64decode(path["xy"]), "<f4").reshape(-1, 2)
    np.testing.assert_allclose(xy[5 - path["start"]], [20, 15], atol=1e-3)


def test_the_newest_version_is_the_one_that_is_computed(client) -> None:
    (track,) = create(client, content((0, 10, 10)))
    for k in range(1, 6):
        body = {"edit_id": f"newest {k}", "base_version": k, "content": content((0, 10 + k, 10))}
        track = client.put(f"/api/tracks/{track['id']}", json=body).json()
    path = wait_until(lambda: path_of(client, track), WAIT)
    assert path["version"] == 6
    assert np.frombuffer(base64.b64decode(path["xy"]), "<f4")[0] == 15


def test_others_see_a_change_within_a_second(server, client) -> None:
    with Listener(server, video=1) as listener:
        before = time.monotonic()
        (track,) = create(client, content((0, 1, 1)))
        wait_until(lambda: any(t["track"] == track["id"] for t in listener.of("track")))
        seen = next(at for kind, _, at in listener.events if kind == "track")
        assert seen - before < 1
        wait_until(lambda: any(track["id"] in p["tracks"] for p in listener.of("path")), WAIT)
        wait_until(lambda: any(j["state"] == "done" for j in listener.of("job")), WAIT)


def test_every_kind_of_event_goes_through(tmp_path) -> None:
    make_video(tmp_path / "clip.mp4")
    with (
        Server(tmp_path, "--workers", "0") as server,
        server.client() as client,
        closing(Project.open(tmp_path)) as project,
        Listener(server) as listener,
    ):
        (track,) = create(client, content((0, 1, 1)))
        path = Line(0, np.ones((20, 2), np.float32), np.ones(20, bool), np.ones(20, np.float32))
        project.write_paths(1, [(track["id"], 1, path, True)])
        maria = project.add_user("maria", "correct horse", "annotator")
        client.post("/api/videos/1/tasks", json={"user": maria.id, "stage": "annotate"})
        client.delete("/api/videos/1")
        kinds = {"hello", "track", "path", "job", "task", "video"}
        wait_until(lambda: kinds <= {kind for kind, *_ in listener.events})
        assert all(data["video"] == 1 for kind, data, _ in listener.events if kind != "hello")


def test_who_comes_back_hears_what_was_missed(server, client) -> None:
    with Listener(server) as listener:
        newest = listener.of("hello")[0]["newest"]
    tracks = create(client, *[content((0, n + 1, 1)) for n in range(3)])
    with Listener(server, after=newest) as listener:
        wait_until(lambda: len(listener.of("track")) >= 3)
        assert {t["track"] for t in listener.of("track")} == {track["id"] for track in tracks}
    header = {"last-event-id": str(newest)}
    with client.stream("GET", "/api/events", headers=header) as stream:
        lines = stream.iter_lines()
        assert any(f"id: {newest + 1}" == line for line, _ in zip(lines, range(20), strict=False))


def test_an_unknown_model_is_told(client) -> None:
    (track,) = create(client, {**content((0, 1, 1)), "assist": "tracker", "model": "/etc/passwd"})

    def jobs() -> list[dict]:
        asked = client.get("/api/videos/1/jobs").json()
        return [job for job in asked if track["id"] in job["settings"].get("tracks", [])]

    job = ended(client, wait_until(jobs)[0])
    assert job["state"] == "failed"
    assert "taplite" in job["message"]
    gone = f"/api/tracks/{track['id']}?base_version=1&edit_id=gone"
    assert client.delete(gone).status_code == 200


def test_files_are_made_and_fetched(client, tmp_path) -> None:
    (track,) = create(client, content((0, 10, 10), (10, 30, 20), name="nose"))
    wait_until(lambda: path_of(client, track), WAIT)
    wait_until(lambda: not _unfinished(client))
    for kind, settings in (("export", {"format": "npz"}), ("overlay", {"trail": 5})):
        asked = {"kind": kind, "settings": settings}
        job = ended(client, client.post("/api/videos/1/jobs", json=asked).json())
        assert job["state"] == "done", job
        assert job["has_result"]
        answer = client.get(f"/api/jobs/{job['id']}/result")
        assert "attachment" in answer.headers["content-disposition"]
        suffix = {"export": "npz", "overlay": "mp4"}[kind]
        assert f"clip-{'tracks' if kind == 'export' else kind}.{suffix}" in str(answer.headers)
        (tmp_path / f"out.{suffix}").write_bytes(answer.content)
    assert Tracks.load(tmp_path / "out.npz").size == (48, 64)
    assert len(video.open(tmp_path / "out.mp4")) == 20


def _unfinished(client: httpx.Client) -> list[dict]:
    jobs = client.get("/api/videos/1/jobs").json()
    return [job for job in jobs if job["state"] in ("queued", "running")]


def test_trackers_that_are_ready_are_listed(client) -> None:
    models = client.get("/api/models").json()
    assert models[0]["name"] == "taplite"
    assert models[0]["online"]
    assert "klt" in [model["name"] for model in models]


def test_an_event_stream_does_not_keep_the_server_from_ending(tmp_path) -> None:
    make_video(tmp_path / "clip.mp4")
    with Server(tmp_path, "--workers", "1") as server:
        with Listener(server):
            workers = wait_until(lambda: _children(server.process.pid))
            began = time.monotonic()
            assert server.stop() in (0, -signal.SIGTERM)
            assert time.monotonic() - began < 8
        wait_until(lambda: not [pid for pid in workers if _lives(pid)])


def test_workers_of_a_killed_server_end(tmp_path) -> None:
    make_video(tmp_path / "clip.mp4")
    with Server(tmp_path, "--workers", "1") as server:
        workers = wait_until(lambda: len(found := _children(server.process.pid)) >= 3 and found)
        server.kill()
        wait_until(lambda: not [pid for pid in workers if _lives(pid)])
        server.start()


def test_a_worker_that_dies_is_replaced_and_its_work_done(tmp_path) -> None:
    make_video(tmp_path / "clip.mp4")
    with Server(tmp_path, "--workers", "1") as server, server.client() as client:
        (worker,) = wait_until(lambda: _children(server.process.pid, "paths"))
        os.kill(worker, signal.SIGKILL)
        (track,) = create(client, content((0, 10, 10)))
        wait_until(lambda: path_of(client, track), WAIT)
        assert _children(server.process.pid, "paths") != [worker]


def test_work_that_was_queued_is_done_after_a_kill(tmp_path) -> None:
    make_video(tmp_path / "clip.mp4")
    with Server(tmp_path, "--workers", "0") as server, server.client() as client:
        (track,) = create(client, content((0, 10, 10)))
        server.kill()
    with Server(tmp_path, "--workers", "1") as server, server.client() as client:
        assert client.get("/api/tracks/1").json() == track
        wait_until(lambda: path_of(client, track), WAIT)


def test_ctrl_c_ends_it_with_a_word(tmp_path) -> None:
    make_video(tmp_path / "clip.mp4")
    with Server(tmp_path, "--workers", "0") as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10) == 0


def test_a_port_that_is_taken_is_told(server, folder) -> None:
    command = [sys.executable, "-m", "tapnet", "studio", str(folder), "--no-browser"]
    done = subprocess.run(
        [*command, "--port", str(server.port)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert f"port {server.port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_others_are_not_let_in_without_accounts(tmp_path) -> None:
    command = [sys.executable, "-m", "tapnet", "studio", str(tmp_path), "--no-browser"]
    done = subprocess.run(
        [*command, "--host", "0.0.0.0"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "studio-user add" in done.stderr


def test_a_video_named_on_the_command_line_is_opened(tmp_path) -> None:
    make_video(tmp_path / "a.mp4")
    make_video(tmp_path / "b.mp4")
    with Server(tmp_path / "b.mp4", "--workers", "0") as server:
        shown = httpx.get(f"{server.address}/api/videos").json()
        assert [v["name"] for v in shown] == ["b.mp4"]
        assert server.opened.endswith(f"/#video={shown[0]['id']}")


def _children(pid: int, takes: str = "") -> list[int]:
    """Processes that the server started: decoders and workers (only those that take so)."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                command = (folder / "cmdline").read_text()
            except OSError:
                continue
            if int(stat[1]) == pid and stat[0] != "Z" and takes in command:
                found.append(int(folder.name))
    return sorted(found)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_with_a_certificate_it_speaks_https_and_nothing_else(tmp_path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=me"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key]
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True)
    options = ["--workers", "0", "--certificate", str(certificate), "--key", str(key)]
    with Server(tmp_path, *options) as server:
        trusted = ssl.create_default_context(cafile=certificate)
        assert httpx.get(f"{server.address}/api/me", verify=trusted).json()["csrf"]
        with pytest.raises(httpx.ConnectError, match="certificate"):
            httpx.get(f"{server.address}/api/me")
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://127.0.0.1:{server.port}/api/me")
