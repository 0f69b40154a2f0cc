"""Tracks over HTTP: saved, versioned, told of; and what is wrong is one clear sentence."""

import base64
import errno
import json

import numpy as np
import pytest
from studio_app import FRAMES, add_video, content, make_video, running
from studio_server import wait_until

from tapnet.annotation import edits
from tapnet.annotation.content import Path
from tapnet.tracks import Tracks


@pytest.fixture
def client(tmp_path):
    make_video(tmp_path / "clip.mp4")
    with running(tmp_path) as client:
        add_video(client, tmp_path / "clip.mp4")
        yield client


def create(client, *contents: dict, edit_id: str = "new") -> list[dict]:
    body = {"edit_id": edit_id, "contents": contents}
    answer = client.post("/api/videos/1/tracks", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(client, body):
    """New tracks, `body` as it is."""
    headers = {"content-type": "application/json"}
    return client.post("/api/videos/1/tracks", content=body, headers=headers)


def change(client, track: dict, given: dict, edit_id: str, **more: object):
    body = {"edit_id": edit_id, "base_version": track["version"], "content": given, **more}
    return client.put(f"/api/tracks/{track['id']}", json=body)


def test_a_click_becomes_a_track_and_its_path_is_queued(client) -> None:
    (track,) = create(client, content((3, 10.5, 20.25), name="eye"))
    assert track["content"]["clicks"] == [{"frame": 3, "x": 10.5, "y": 20.25}]
    assert client.get("/api/videos/1/tracks").json() == [track]
    assert client.get(f"/api/tracks/{track['id']}").json() == track
    (job,) = wait_until(lambda: client.get("/api/videos/1/jobs").json())
    assert (job["kind"], job["settings"], job["state"]) == ("assist", {"tracks": [1]}, "queued")


def test_the_same_edit_again_changes_nothing(client) -> None:
    first = create(client, content((0, 1, 1)))
    assert create(client, content((0, 1, 1))) == first
    moved = content((0, 2, 2))
    once = change(client, first[0], moved, "move").json()
    assert once["version"] == 2
    assert change(client, first[0], moved, "move").json() == once


def test_a_conflict_is_told_with_both_sides(client) -> None:
    (track,) = create(client, content((0, 1, 1)))
    change(client, track, content((0, 1, 1), (5, 9, 9)), "first")
    late = change(client, track, content((0, 1, 1), (9, 3, 3)), "second")
    assert late.status_code == 409
    said = late.json()
    assert said["current"]["version"] == 2
    assert [c["frame"] for c in said["merged"]["clicks"]] == [0, 5, 9]
    clash = change(client, track, content((0, 7, 7), (5, 1, 1)), "third").json()
    assert clash["merged"] is None
    merged = change(client, said["current"], said["merged"], "second").json()
    assert merged["version"] == 3


def test_the_history_of_a_track_tells_who_did_what(client) -> None:
    (track,) = create(client, content((0, 1, 1)))
    change(client, track, content((0, 2, 2)), "a", kind="drag")
    gone = client.delete(f"/api/tracks/{track['id']}?base_version=2&edit_id=b")
    assert gone.json()["deleted"]
    assert client.get("/api/videos/1/tracks").json() == []
    history = client.get(f"/api/tracks/{track['id']}/history").json()
    assert [edit["kind"] for edit in history] == ["create", "drag", "delete"]
    assert {edit["user"] for edit in history} == {"local"}
    back = change(client, gone.json(), history[1]["content"], "c", kind="restore").json()
    assert not back["deleted"]


def test_a_grid_lies_in_the_middle_of_its_cells(client) -> None:
    body = {"edit_id": "g", "frame": 2, "count": 2, "assist": "linear"}
    tracks = client.post("/api/videos/1/grid", json=body).json()
    clicks = [track["content"]["clicks"][0] for track in tracks]
    assert [(c["x"], c["y"]) for c in clicks] == [(16, 12), (48, 12), (16, 36), (48, 36)]
    late = {**body, "edit_id": "h", "frame": FRAMES}
    assert client.post("/api/videos/1/grid", json=late).status_code == 422


def test_paths_come_as_the_bytes_of_their_arrays(client) -> None:
    create(client, content((0, 1, 1)), content((2, 5, 5)))
    xy = np.array([[1.5, 2.5], [3, 4], [5, 6]], np.float32)
    path = Path(4, xy, np.array([True, False, True]), np.array([0, 0.5, 1], np.float32))
    client.app.state.studio.project.write_paths(1, [(2, 1, path, False)])
    (shown,) = client.get("/api/videos/1/paths").json()
    assert (shown["track"], shown["version"], shown["complete"], shown["start"]) == (2, 1, False, 4)
    decoded = {k: base64.b64decode(shown[k]) for k in ("xy", "visible", "confidence")}
    np.testing.assert_array_equal(np.frombuffer(decoded["xy"], "<f4").reshape(-1, 2), xy)
    assert list(decoded["visible"]) == [1, 0, 1]
    assert list(decoded["confidence"]) == [0, 128, 255]
    assert client.get("/api/videos/1/paths?tracks=1").json() == []
    assert len(client.get("/api/videos/1/paths?tracks=1,2").json()) == 1
    assert client.get("/api/tracks/2/paths/1").json() == shown
    assert client.get("/api/tracks/2/paths/7").status_code == 404


def test_tracks_of_a_file_are_taken_in(client, tmp_path) -> None:
    moving = np.stack([np.linspace(5, 30, FRAMES), np.full(FRAMES, 9.0)], -1).astype(np.float32)
    tracks = Tracks(
        query_points=np.array([[0, 9, 5]], np.float32),
        xy=moving[None],
        visible=np.ones((1, FRAMES), bool),
        confidence=np.ones((1, FRAMES), np.float32),
        size=(48, 64),
    )
    tracks.save(tmp_path / "out.npz")
    body = (tmp_path / "out.npz").read_bytes()
    answer = client.post("/api/videos/1/import?name=out.npz", content=body)
    assert answer.status_code == 200, answer.text
    (track,) = answer.json()
    assert track["content"]["assist"] == "imported"
    (path,) = client.get("/api/videos/1/paths").json()
    xy = np.frombuffer(base64.b64decode(path["xy"]), "<f4").reshape(-1, 2)
    np.testing.assert_allclose(xy, moving, atol=1e-3)


@pytest.mark.parametrize("name", ["x.npz", "x.pkl", "x.csv"])
def test_files_that_are_no_tracks_are_refused(client, name: str) -> None:
    answer = client.post(f"/api/videos/1/import?name={name}", content=b"no tracks at all")
    assert answer.status_code == 422
    assert len(answer.json()["detail"]) > 10
    assert ".tapnet" not in answer.json()["detail"]


def test_a_pickle_that_would_run_code_does_not(client, tmp_path) -> None:
    import os
    import pickle

    class Bad:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    answer = client.post("/api/videos/1/import?name=a.pkl", content=pickle.dumps({"a": Bad()}))
    assert answer.status_code == 422
    assert not (tmp_path / "ran").exists()


def test_other_kinds_of_files_are_not_read(client) -> None:
    assert client.post("/api/videos/1/import?name=a.exe", content=b"x").status_code == 422
    assert client.post("/api/videos/9/import?name=a.npz", content=b"x").status_code == 404


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "edit_id"),
        ({"edit_id": "a", "contents": []}, "contents"),
        ({"edit_id": "a", "contents": [{"clicks": "x"}]}, "contents.0.clicks"),
        ({"edit_id": "a", "contents": [content((0, 1, 1)), content((-1, 1, 1))]}, "frame"),
        ({"edit_id": "a", "contents": [content((FRAMES, 1, 1))]}, "frame"),
        ({"edit_id": "a", "contents": [content((0, 1000, 1))]}, "0..64"),
        ({"edit_id": "a", "contents": [content((3, 1, 1), (3, 2, 2))]}, "sorted"),
        ({"edit_id": "a", "contents": [content(hidden=[[5, 2]])]}, "hidden"),
        ({"edit_id": "a", "contents": [content(assist="magic")]}, "assist"),
        ({"edit_id": "a", "contents": [content(name="a\nb")]}, "name"),
        ({"edit_id": "a", "contents": [content(name="\ud800")]}, "name"),
        ({"edit_id": "a", "contents": [content(name="x" * 500)]}, "name"),
        ({"edit_id": "\0", "contents": [content((0, 1, 1))]}, "edit_id"),
        ({"edit_id": "x" * 101, "contents": [content((0, 1, 1))]}, "edit_id"),
    ],
)
def test_wrong_values_are_told_in_one_sentence(client, body: dict, told: str) -> None:
    answer = post(client, json.dumps(body))
    assert answer.status_code == 422, answer.text
    assert told in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]
    assert client.get("/api/videos/1/tracks").json() == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400", "[]", "null", '"1"'])
def test_places_are_finite_numbers(client, number: str) -> None:
    body = '{"edit_id": "a", "contents": [{"clicks": [{"frame": 0, "x": NUMBER, "y": 1}]}]}'
    answer = post(client, body.replace("NUMBER", number))
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("body.contents.0.clicks.0.x")


@pytest.mark.parametrize("body", ["", "{", "[]", "1", "nul", "\xff", "[" * 5000, '{"a":' * 5000])
def test_bodies_that_are_no_json_are_refused(client, body: str) -> None:
    answer = post(client, body.encode("latin-1"))
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63, 10**30, "x", "1.5"])
def test_numbers_that_no_database_holds_are_refused(client, number: object) -> None:
    for path in ("videos/{}", "tracks/{}", "jobs/{}", "videos/{}/tracks", "tracks/{}/history"):
        assert client.get(f"/api/{path.format(number)}").status_code == 422


def test_what_is_not_there_is_told(client) -> None:
    for path in (
        "videos/9",
        "tracks/9",
        "jobs/9",
        "videos/9/tracks",
        "tracks/9/history",
        "nothing",
    ):
        answer = client.get(f"/api/{path}")
        assert answer.status_code == 404
        assert answer.json()["detail"]


def test_a_body_that_is_too_long_is_refused(client) -> None:
    body = json.dumps({"edit_id": "a", "contents": [{"name": "x" * (17 << 20)}]})
    assert post(client, body).status_code == 413

    def parts():
        for _ in range(17):
            yield bytes(1 << 20)

    assert post(client, parts()).status_code == 413


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 507, "disk"),
        (OSError(errno.EBUSY, "the database is locked", "studio.sqlite"), 503, "locked"),
        (ConnectionError("the database does not answer"), 503, "does not answer"),
        (PermissionError("expected a reviewer"), 403, "reviewer"),
        (PermissionError(errno.EACCES, "Permission denied", "/secret"), 500, "PermissionError"),
    ],
)
def test_what_cannot_be_saved_is_told(client, monkeypatch, error, status, told) -> None:
    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(edits, "create", fail)
        body = {"edit_id": "a", "contents": [content((0, 1, 1))]}
        answer = client.post("/api/videos/1/tracks", json=body)
    assert answer.status_code == status
    assert told in answer.json()["detail"]
    assert client.get("/api/videos/1/tracks").json() == []
    create(client, content((0, 1, 1)), edit_id="a")


def test_a_fault_of_ours_is_told_without_its_details(client, monkeypatch) -> None:
    def broken(*_: object) -> None:
        int("secret")

    monkeypatch.setattr(client.app.state.studio.project, "tracks", broken)
    answer = client.get("/api/videos/1/tracks")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "default-src" in answer.headers["content-security-policy"]
