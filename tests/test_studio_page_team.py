"""The studio's page in a real browser, for a team: two annotators, a reviewer, conflicts."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Route
from studio_page import PASSWORD, Person, browser, square_at, write_square
from studio_server import Server

import tapnet
from tapnet.annotation.project import Project
from tapnet.data.tapvid import examples
from tapnet.evaluate import evaluate

__all__ = ["browser"]
pytestmark = pytest.mark.timeout(400)
PEOPLE = {"ada": "admin", "ben": "annotator", "cleo": "annotator", "dora": "reviewer"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Video 1 and 2, and an account for each of PEOPLE."""
    folder = tmp_path_factory.mktemp("clips")
    for name in ("a.mp4", "b.mp4"):
        write_square(folder / name)
    with closing(Project.open(folder)) as project:
        for name, role in PEOPLE.items():
            project.add_user(name, PASSWORD, role)
    return folder


@pytest.fixture(scope="module")
def team(folder) -> Iterator[Server]:
    """A studio that others can reach."""
    with Server(folder, "--workers", "1", "--host", "0.0.0.0") as server:
        server.address = f"http://127.0.0.1:{server.port}"
        yield server


@pytest.fixture(scope="module")
def sessions() -> dict[str, Any]:
    """The cookies of those of PEOPLE who have logged in."""
    return {}


def at_the_list(name: str) -> Any:
    """A fixture: one of PEOPLE at the list of videos."""

    @pytest.fixture(name=name)
    def somebody(team, browser, sessions) -> Iterator[Person]:
        with Person(browser, team.address, storage_state=sessions.get(name)) as person:
            if name in sessions:
                person.visit()
            else:
                person.log_in(name)
                sessions[name] = person.context.storage_state()
            yield person

    return somebody


ada, ben, cleo, dora = map(at_the_list, PEOPLE)


def open_team(lead: Person) -> None:
    """The dialog of the first video's team."""
    lead.visit()
    card = lead.page.locator(".card").first
    card.hover()
    card.get_by_role("button", name="More for").click()
    lead.page.get_by_role("menuitem", name="Team and tasks").click()


def give_task(lead: Person, who: str, stage: str) -> None:
    open_team(lead)
    lead.page.get_by_label("Person").select_option(who)
    lead.page.get_by_label("Pass").select_option(stage)
    lead.page.get_by_role("button", name="Give the task").click()
    row = lead.page.locator("dialog tr", has_text=who).filter(has_text=stage.capitalize())
    row.wait_for()
    lead.press("Escape")


def open_task(person: Person) -> None:
    person.visit("tasks")
    person.page.get_by_role("link", name="Open").first.click()
    person.ready()
    person.prefer("linear")


def submit(person: Person) -> None:
    person.visit("tasks")
    person.page.get_by_role("button", name="Submit").click()
    person.page.get_by_text("Nothing to do").wait_for()


def test_two_annotators_and_a_reviewer_make_a_benchmark(ada, ben, cleo, dora, tmp_path) -> None:
    give_task(ada, "ben", "annotate")

    open_task(ben)
    ben.click(*square_at(0))
    ben.press("c")  # clicks correct the chosen point
    ben.go(20)
    x, y = square_at(20)
    ben.click(x + 6, y)  # not where the square is
    ben.saved()
    ben.followed()
    ben.go(10)
    ben.press("x")
    ben.go(12)
    ben.press("x")  # seen again
    ben.saved()
    ben.followed()
    submit(ben)

    give_task(ada, "cleo", "refine")
    open_task(cleo)
    cleo.press("1")
    cleo.go(20)
    cleo.drag((x + 6, y), (x, y))
    cleo.saved()
    cleo.followed()
    cleo.press("h")
    newest = cleo.page.get_by_role("dialog").get_by_role("listitem").first
    assert "cleo · refining" in newest.inner_text()
    assert "moved by" in newest.inner_text()
    cleo.press("Escape")
    submit(cleo)

    dora.visit("video/1/compare")
    dora.page.locator(".compare-table tbody tr").wait_for()
    row = dora.page.locator(".compare-table tbody tr").inner_text().split("\t")
    assert 4 < float(row[2]) < 8  # pixels between the passes at most
    dora.page.get_by_role("button", name="Agree").click()
    dora.page.get_by_text("all agreed").wait_for()

    dora.open_video(1)
    dora.press("d")
    with dora.page.expect_download() as download:
        dora.page.get_by_role("menuitem", name="TAP-Vid").click()
    exported = tmp_path / "square.pkl"
    shutil.copy(download.value.path(), exported)
    (example,) = examples(exported)
    truth = np.array([square_at(frame) for frame in range(21)])
    assert np.abs(np.asarray(example.target_points)[0, :21] - truth).max() < 1
    occluded = np.asarray(example.occluded)[0, :21]
    assert occluded.nonzero()[0].tolist() == [10, 11]
    (scores,) = evaluate(exported, tapnet.load("klt")).rows
    assert scores.scores["average_pts_within_thresh"] > 0.8  # the square is easy to follow


def test_a_task_that_is_sent_back_says_why(ada, ben, dora) -> None:
    give_task(ada, "ben", "annotate")
    submit(ben)
    open_team(dora)
    row = dora.page.locator("dialog tr", has_text="ben").first
    row.get_by_role("button", name="Send back…").click()
    dora.page.get_by_label("Note").fill("Frame 12 is off")
    dora.page.get_by_role("button", name="Send back", exact=True).click()
    ben.page.get_by_text("Sent back: Frame 12 is off").wait_for()  # without a reload


def test_two_editors_of_one_track_see_each_other_and_lose_nothing(ben, cleo) -> None:
    for person in (ben, cleo):
        person.open_video(2)
        person.prefer("linear")
    ben.click(*square_at(0))
    ben.saved()
    cleo.until("studio.editor.tracks.list.length === 1", 5)  # told by the server
    for person in (ben, cleo):
        person.press("1", "c")

    def at_once(frame_of_ben: int, frame_of_cleo: int, further: float) -> None:
        """Ben is saved first; Cleo, who has not heard of it, clicks another frame or place."""
        hold(cleo)
        ben.go(frame_of_ben)
        ben.click(*square_at(frame_of_ben))
        ben.saved()
        cleo.go(frame_of_cleo)
        x, y = square_at(frame_of_cleo)
        cleo.click(x + further, y)
        release(cleo)

    at_once(5, 10, 0)
    cleo.page.get_by_text("ben changed Point 1 too. Both changes are kept.").wait_for()
    cleo.saved()
    assert set(cleo.clicks()) == {0, 5, 10}
    ben.until("studio.editor.tracks.list[0].content.clicks.length === 3")

    at_once(15, 15, 5)
    dialog = cleo.page.get_by_role("dialog", name="Point 1 was changed twice")
    dialog.wait_for()
    assert "Saved" not in cleo.page.inner_text(".save-state")
    cleo.page.get_by_role("button", name="Keep mine").click()
    cleo.saved()
    mine = cleo.clicks()[15]
    assert mine[0] == pytest.approx(square_at(15)[0] + 5, abs=1)
    ben.until(f"studio.editor.tracks.list[0].content.clicks.at(-1).x === {mine[0]}")

    at_once(20, 20, 5)
    dialog.wait_for()
    cleo.page.get_by_role("button", name="Keep ben").click()
    cleo.saved()
    assert cleo.clicks()[20][0] == pytest.approx(square_at(20)[0], abs=1)


def hold(person: Person) -> None:
    """Edits stay on the way, and news stay away, as on a slow line."""
    person.page.route("**/api/tracks/*", lambda route: None)  # neither sent nor refused


def release(person: Person) -> None:
    person.page.unroute("**/api/tracks/*")


def slow_news(person: Person) -> list[Route]:
    """What the page asks for news is neither sent nor refused, and is added to this list."""
    asked: list[Route] = []
    person.page.route("**/api/events*", lambda route: asked.append(route))
    return asked


def test_a_task_that_is_given_while_the_list_is_opened_is_in_it(ada, ben) -> None:
    news = slow_news(ben)
    with ben.page.expect_request("**/api/events*"):
        ben.visit("tasks")
    give_task(ada, "ben", "review")  # the list was fetched before
    news.pop().continue_()
    ben.page.get_by_role("link", name="Compare").wait_for()


def test_a_track_that_is_made_while_the_video_is_opened_is_shown(ben, cleo) -> None:
    news = slow_news(cleo)
    for person in (cleo, ben):
        person.open_video(2)
    known = len(cleo.contents())
    ben.prefer("linear")
    ben.click(100, 20)  # where no other point is
    ben.saved()
    assert len(cleo.contents()) == known
    news.pop().continue_()
    cleo.until(f"studio.editor.tracks.list.length === {known + 1}")


def press_while(person: Person, element: Locator, news: Callable[[], object]) -> None:
    """The button of the mouse goes down on the element, then news come, then it goes up."""
    element.hover()
    person.page.mouse.down()
    news()
    person.page.wait_for_timeout(100)  # shown, where it is to be shown
    person.page.mouse.up()


def test_a_press_lasts_while_a_list_is_fetched_again(ada, ben) -> None:
    give_task(ada, "ben", "annotate")
    news = slow_news(ben)

    def press(place: str, link: str, fetched: str, who: str) -> None:
        def fetched_again() -> None:
            give_task(ada, who, "review")  # so that what is listed changes
            with ben.page.expect_response(f"**/api/{fetched}"):
                news.pop().continue_()

        with ben.page.expect_request("**/api/events*"):
            ben.visit(place)
        press_while(ben, ben.page.get_by_role("link", name=link, exact=True).first, fetched_again)
        ben.ready()

    press("tasks", "Open", "tasks", "ben")
    press("", "Open a.mp4", "videos", "cleo")


def test_a_press_that_opens_a_menu_of_the_system_holds_no_list_back(ada, ben) -> None:
    """Such a menu may keep the release of the button to itself."""
    with ben.page.expect_response("**/api/tasks"):
        ben.visit("tasks")
    ben.page.wait_for_timeout(100)
    known = ben.page.locator(".task").count()
    ben.page.mouse.move(600, 500)
    ben.page.mouse.down(button="right")
    give_task(ada, "ben", "refine")
    ben.page.locator(".task").nth(known).wait_for()


def test_a_list_that_is_fetched_again_keeps_the_focus(ada, ben) -> None:
    give_task(ada, "ben", "annotate")
    news = slow_news(ben)
    with ben.page.expect_request("**/api/events*"):
        ben.visit("tasks")
    ben.page.get_by_role("link", name="Open", exact=True).first.focus()
    with ben.page.expect_response("**/api/tasks"):
        news.pop().continue_()
    ben.page.wait_for_timeout(100)
    assert ben.ask("document.activeElement.textContent") == "Open"


def test_a_press_on_what_can_be_done_lasts_while_the_point_is_saved(ben) -> None:
    ben.open_video(2)
    ben.prefer("linear")
    ben.click(100, 80)  # where no other point is
    ben.saved()
    track = len(ben.contents()) - 1
    ben.press("c")
    hold(ben)
    ben.go(7)
    ben.click(90, 80)

    def saved() -> None:
        release(ben)
        ben.saved()

    press_while(ben, ben.page.get_by_role("button", name="Hidden from here"), saved)
    ben.until(f"studio.editor.tracks.list[{track}].content.hidden.length === 1")


def test_a_screen_that_is_left_while_it_is_fetched_stays_away(ben) -> None:
    asked: list[Route] = []
    ben.page.route("**/api/videos/1", lambda route: asked.append(route))
    with ben.page.expect_request("**/api/videos/1"):
        ben.visit("video/1")
    ben.visit("tasks")
    ben.page.locator(".task-list").wait_for(state="attached")
    with ben.page.expect_response("**/api/videos/1"):
        asked.pop().continue_()
    ben.page.wait_for_timeout(100)
    assert ben.page.locator(".editor").count() == 0
    assert ben.page.locator(".task-list").count() == 1


def test_only_an_admin_sees_the_accounts(ada, ben) -> None:
    ada.visit("people")
    ada.page.get_by_role("button", name="Add a person").click()
    dialog = ada.page.get_by_role("dialog", name="Add a person")
    dialog.get_by_label("Name").fill("eve")
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Add").click()
    ada.page.get_by_role("cell", name="eve", exact=True).wait_for()
    ada.page.get_by_role("button", name="Remove eve").click()
    ada.page.get_by_role("button", name="Remove", exact=True).click()
    ada.page.get_by_role("cell", name="eve", exact=True).wait_for(state="detached")
    ben.visit()
    assert ben.page.get_by_role("link", name="People").count() == 0
