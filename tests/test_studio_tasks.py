"""Two passes over a video and their comparison, over HTTP."""

import json

import pytest
from studio_app import add_video, content, make_video, running

PASSWORD = "correct horse"


@pytest.fixture
def team(tmp_path):
    """A studio of Ada (annotator), Ben (annotator) and Dora (reviewer), and a video."""
    make_video(tmp_path / "clip.mp4")
    with running(tmp_path, login=True) as client:
        project = client.app.state.studio.project
        for name, role in (("ada", "annotator"), ("ben", "annotator"), ("dora", "reviewer")):
            project.add_user(name, PASSWORD, role)
        add_video(client, tmp_path / "clip.mp4")
        yield client


def become(client, name: str) -> None:
    assert client.log_in(name=name, password=PASSWORD).status_code == 200


def post(client, path: str, body: dict | None = None):
    answer = client.post(f"/api/{path}", json=body or {})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_video_goes_through_two_passes_and_is_agreed_on(team) -> None:
    become(team, "dora")
    numbers = {user["name"]: user["id"] for user in team.get("/api/users").json()}
    first = post(team, "videos/1/tasks", {"user": numbers["ada"], "stage": "annotate"})
    assert (first["user"], first["video"], first["state"]) == ("ada", "clip.mp4", "open")

    become(team, "ada")
    assert [task["id"] for task in team.get("/api/tasks").json()] == [first["id"]]
    new = {"edit_id": "a", "contents": [content((0, 10, 10), (10, 20, 10))]}
    (track,) = post(team, "videos/1/tracks", new)
    assert post(team, f"tasks/{first['id']}/submit")["state"] == "submitted"

    become(team, "dora")
    second = post(team, "videos/1/tasks", {"user": numbers["ben"], "stage": "refine"})
    become(team, "ben")
    moved = {"edit_id": "b", "base_version": 1, "content": content((0, 10, 14), (10, 20, 14))}
    track = team.put(f"/api/tracks/{track['id']}", json=moved).json()
    post(team, f"tasks/{second['id']}/submit")

    become(team, "dora")
    (told,) = team.get("/api/videos/1/compare").json()
    assert (told["first"]["user"], told["second"]["user"]) == ("ada", "ben")
    assert told["median"] == pytest.approx(4)
    assert not told["agreed"]
    back = post(team, f"tasks/{second['id']}/return", {"note": "look at\nframe 10"})
    assert (back["state"], back["note"]) == ("returned", "look at\nframe 10")
    agreed = post(team, f"tracks/{track['id']}/agree", {"edit_id": "c", "base_version": 2})
    assert agreed["stage"] == "agreed"
    assert team.get("/api/videos/1/compare").json()[0]["agreed"]

    quality = team.get("/api/quality?video=1").json()
    assert quality["tracks"] == 1
    assert quality["agreement_px"] == pytest.approx(4)
    (video,) = team.get("/api/videos").json()
    assert video["tracks"] == 1
    assert {task["state"] for task in video["tasks"]} == {"submitted", "returned"}
    assert len(team.get("/api/videos/1/tasks").json()) == 2


def test_the_task_of_another_is_not_submitted(team) -> None:
    become(team, "dora")
    numbers = {user["name"]: user["id"] for user in team.get("/api/users").json()}
    task = post(team, "videos/1/tasks", {"user": numbers["ada"], "stage": "annotate"})
    become(team, "ben")
    assert team.post(f"/api/tasks/{task['id']}/submit").status_code == 403


@pytest.mark.parametrize(
    "body", [{}, {"user": 99, "stage": "annotate"}, {"user": 1, "stage": "nap"}, {"user": "ada"}]
)
def test_tasks_for_nobody_or_nothing_are_refused(team, body: dict) -> None:
    become(team, "dora")
    assert team.post("/api/videos/1/tasks", json=body).status_code in (404, 422)
    assert team.get("/api/videos/1/tasks").json() == []


@pytest.mark.parametrize("note", ["\0", "\ud800", "x" * 2001, 5])
def test_notes_that_no_database_keeps_are_refused(team, note: object) -> None:
    become(team, "dora")
    headers = {"content-type": "application/json"}
    body = json.dumps({"note": note})
    assert team.post("/api/tasks/1/return", content=body, headers=headers).status_code == 422
