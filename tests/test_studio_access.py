"""Who may reach the studio, and do what."""

import re
import time

import pytest
from studio_app import add_video, content, make_video, running

from tapnet.studio import access, edits, jobs, tasks, videos
from tapnet.studio.access import Failures

MODULES = (access, edits, jobs, tasks, videos)
PASSWORD = "correct horse"
OPEN = {("POST", "/api/login"), ("GET", "/api/me")}  # without being anyone


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    with running(tmp_path_factory.mktemp("videos")) as client:
        yield client


@pytest.fixture
def team(tmp_path):
    """A studio with a log-in, an account of each role, and a video."""
    make_video(tmp_path / "clip.mp4")
    with running(tmp_path, login=True) as client:
        for role in ("annotator", "reviewer", "admin"):
            client.app.state.studio.project.add_user(f"an {role}", PASSWORD, role)
        add_video(client, tmp_path / "clip.mp4")
        yield client


def routes() -> list[tuple[str, str]]:
    """(method, path) of everything under /api, numbers filled in."""
    found = [route for module in MODULES for route in module.router.routes]
    assert len(found) > 30
    assert all(route.path.startswith("/api/") for route in found)
    return [(method, _filled(route.path)) for route in found for method in route.methods]


def _filled(path: str) -> str:
    return re.sub(r"{\w+}", "1", path.replace("{upload_id}", "0" * 32))


def test_everything_needs_a_login_where_one_is_asked_for(team) -> None:
    for method, path in routes():
        if (method, path) not in OPEN:
            assert team.request(method, path).status_code == 401, (method, path)


def test_every_change_needs_the_token(local) -> None:
    token = local.headers.pop("x-csrf")
    try:
        for method, path in routes():
            if method != "GET" and (method, path) not in OPEN:
                assert local.request(method, path).status_code == 403, (method, path)
                wrong = {"x-csrf": "0" * len(token)}
                assert local.request(method, path, headers=wrong).status_code == 403
    finally:
        local.headers["x-csrf"] = token


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", ""]
)
def test_names_of_other_sites_that_lead_here_are_refused(local, host: str) -> None:
    for path in ("/", "/api/me", "/static/index.html", "/openapi.json"):
        assert local.get(path, headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost", "LOCALHOST:1", "[::1]:8765"])
def test_names_of_this_machine_are_taken(local, host: str) -> None:
    assert local.get("/api/me", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_can_ask_for_nothing(local, headers: dict) -> None:
    assert local.get("/api/me", headers=headers).status_code == 403
    assert local.post("/api/uploads", headers=headers, json={}).status_code == 403


def test_the_own_page_can(local) -> None:
    mine = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}
    assert local.get("/api/me", headers=mine).status_code == 200


def test_every_answer_forbids_what_pages_do_not_need(local) -> None:
    for path in ("/api/me", "/nothing", "/api/videos/99"):
        headers = local.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"]
    assert "access-control-allow-origin" not in local.get("/api/me").headers


def test_the_local_user_needs_no_login(local) -> None:
    me = local.get("/api/me").json()
    assert (me["name"], me["role"], me["login_required"]) == ("local", "admin", False)
    assert local.post("/api/login", json={"name": "a", "password": "b"}).status_code == 409


def test_a_login_gives_a_cookie_that_scripts_and_other_sites_do_not_have(team) -> None:
    assert team.get("/api/me").json()["name"] is None
    answer = team.log_in(name="an annotator", password=PASSWORD)
    assert answer.json()["name"] == "an annotator"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert team.get("/api/videos").status_code == 200


def test_a_logout_ends_the_session_on_the_server_too(team) -> None:
    team.log_in(name="an annotator", password=PASSWORD)
    kept = dict(team.cookies)
    assert team.post("/api/logout").status_code == 200
    assert team.get("/api/videos").status_code == 401
    team.cookies.update(kept)
    assert team.get("/api/videos").status_code == 401


def test_sessions_of_two_studios_of_one_host_do_not_meet(tmp_path, team) -> None:
    (tmp_path / "other").mkdir()
    with running(tmp_path / "other", login=True) as other:
        other.app.state.studio.project.add_user("maria", PASSWORD, "annotator")
        theirs = other.log_in(name="maria", password=PASSWORD).headers["set-cookie"]
    ours = team.log_in(name="an annotator", password=PASSWORD).headers["set-cookie"]
    assert ours.partition("=")[0] != theirs.partition("=")[0]


def test_the_token_of_one_session_is_not_that_of_another(team) -> None:
    first = team.log_in(name="an annotator", password=PASSWORD).json()["csrf"]
    second = team.log_in(name="an annotator", password=PASSWORD).json()["csrf"]
    assert first != second
    assert team.post("/api/logout", headers={"x-csrf": first}).status_code == 403


def test_wrong_names_and_passwords_are_told_alike(team) -> None:
    said = {
        team.post("/api/login", json={"name": name, "password": word}).json()["detail"]
        for name, word in (("an admin", "wrong horse"), ("nobody", PASSWORD))
    }
    assert len(said) == 1


def test_guessing_passwords_is_slowed_down(team) -> None:
    tries = [
        team.post("/api/login", json={"name": "an admin", "password": f"guess {n}"})
        for n in range(11)
    ]
    assert [answer.status_code for answer in tries] == [401] * 10 + [429]
    assert int(tries[-1].headers["retry-after"]) > 0
    right = {"name": "an admin", "password": PASSWORD}
    assert team.post("/api/login", json=right).status_code == 429
    assert team.log_in(name="an annotator", password=PASSWORD).status_code == 200


def test_failed_logins_of_an_address_count_whatever_the_name() -> None:
    failures, now = Failures(), time.monotonic()
    for n in range(30):
        assert not failures.wait(f"name {n}", "10.0.0.1", now)
        failures.add(f"name {n}", "10.0.0.1", now)
    assert failures.wait("another", "10.0.0.1", now) == 301
    assert not failures.wait("another", "10.0.0.2", now)
    assert not failures.wait("another", "10.0.0.1", now + 301)


def test_a_login_that_goes_well_does_not_count() -> None:
    failures = Failures()
    for now in range(50):
        assert not failures.wait("maria", "10.0.0.1", now)
        failures.add("maria", "10.0.0.1", now)
        failures.forgive("maria", "10.0.0.1", now)


ALLOWED = {  # the least role
    ("POST", "/api/videos/1/tracks"): "annotator",
    ("POST", "/api/videos/1/tasks"): "reviewer",
    ("POST", "/api/tracks/1/agree"): "reviewer",
    ("POST", "/api/tasks/1/return"): "reviewer",
    ("POST", "/api/users"): "admin",
    ("PATCH", "/api/users/1"): "admin",
    ("DELETE", "/api/users/1"): "admin",
    ("DELETE", "/api/videos/1"): "admin",
}


@pytest.mark.parametrize("role", ["annotator", "reviewer", "admin"])
def test_roles_may_do_what_the_ones_before_may_and_more(team, role: str) -> None:
    team.log_in(name=f"an {role}", password=PASSWORD)
    order = ["annotator", "reviewer", "admin"]
    for (method, path), least in ALLOWED.items():
        status = team.request(method, path, json={}).status_code
        assert (status == 403) == (order.index(role) < order.index(least)), (method, path, status)


def test_accounts_are_made_and_closed_by_admins(team) -> None:
    team.log_in(name="an admin", password=PASSWORD)
    new = {"name": "maria", "password": PASSWORD, "role": "annotator"}
    made = team.post("/api/users", json=new).json()
    assert made["role"] == "annotator"
    assert team.post("/api/users", json=new).status_code == 422
    changed = team.patch(f"/api/users/{made['id']}", json={"role": "reviewer"})
    assert changed.json()["role"] == "reviewer"
    assert team.delete(f"/api/users/{made['id']}").status_code == 200
    assert "maria" not in [user["name"] for user in team.get("/api/users").json()]
    assert team.post("/api/login", json={"name": "maria", "password": PASSWORD}).status_code == 401


def test_an_admin_does_not_lock_themselves_out(team) -> None:
    team.log_in(name="an admin", password=PASSWORD)
    mine = next(u["id"] for u in team.get("/api/users").json() if u["name"] == "an admin")
    assert team.delete(f"/api/users/{mine}").status_code == 422
    assert team.patch(f"/api/users/{mine}", json={"role": "annotator"}).status_code == 422


def test_work_bears_the_name_of_who_did_it(team) -> None:
    team.log_in(name="an annotator", password=PASSWORD)
    new = {"edit_id": "a", "contents": [content((0, 5, 5))]}
    assert team.post("/api/videos/1/tracks", json=new).json()[0]["changed_by"] == "an annotator"


def test_the_description_is_not_for_strangers(team, local) -> None:
    assert team.get("/openapi.json").status_code == 404
    assert local.get("/openapi.json").status_code == 200
