"""The studio's page in a real browser, for somebody who works alone."""

import csv
import json
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from studio_page import Person, browser, square_at, write_square, write_video
from studio_server import Server, wait_until

import tapnet
import tapnet.video
from tapnet.annotation.project import Project

__all__ = ["browser"]
pytestmark = pytest.mark.timeout(400)
DEMO = Path(tapnet.__file__).parent / "demo_clip" / "bigbuckbunny.mp4"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def studio(folder):
    """A studio with a square that moves (video 1), and one worker."""
    write_square(folder / "square.mp4")
    with Server(folder, "--workers", "1") as server:
        yield server


@pytest.fixture
def alone(studio, browser):
    """Somebody at video 1, without points on it; straight lines follow the points."""
    with Person(browser, studio.address) as person:
        person.open_video(1)
        person.prefer("linear")
        if person.contents():
            person.ask("studio.editor.removeAll()")
            person.saved()
        yield person


def test_a_video_is_dropped_clicked_followed_corrected_and_taken_away(
    tmp_path, browser, studio
) -> None:
    clip = write_video(tmp_path / "bunny.mp4", islice(tapnet.video.open(DEMO), 24))
    with Person(browser, studio.address) as person:
        person.visit()
        with person.page.expect_file_chooser() as chooser:
            person.page.get_by_role("button", name="Drop a video here").click()
        chooser.value.set_files(clip)
        person.ready()
        assert "Click anything in the picture" in person.page.inner_text(".hint")
        person.prefer("tracker", "klt")
        person.click(170, 205)
        person.click(480, 180)
        person.saved()
        person.followed()

        person.go(12)
        start = person.place(0, 12)
        assert start
        person.drag(start, (start[0] + 6, start[1] - 4))
        person.saved()
        placed = person.clicks(0)[12]
        assert np.allclose(placed, (start[0] + 6, start[1] - 4), atol=1)
        person.followed()
        assert person.place(0, 12) == pytest.approx(placed)
        moved = person.place(0, 13)
        assert moved
        assert np.hypot(*np.subtract(moved, placed)) < 12  # followed again from the new place

        person.press("d")
        with person.page.expect_download() as download:
            person.page.get_by_role("menuitem", name="Spreadsheet").click()
        with open(download.value.path(), newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 2 * 24
        assert download.value.suggested_filename.endswith(".csv")


@pytest.mark.parametrize(("name", "codec"), [("plays.mp4", "libx264"), ("never.avi", "mpeg4")])
def test_the_picture_shown_is_of_the_frame_asked_for(folder, studio, browser, name, codec) -> None:
    greys = (np.full((48, 64, 3), 20 + 9 * frame, np.uint8) for frame in range(24))
    write_video(folder / name, greys, codec)
    with Person(browser, studio.address) as person:
        with closing(Project.open(folder)) as project:
            number = project.add_video(folder / name).id
        person.open_video(number)
        assert person.ask("studio.editor.video.playable") == (codec == "libx264")
        if codec == "libx264":
            person.until("studio.editor.frames.plays")
        for frame in (7, 8, 20, 3, 23, 0, 11):
            person.ask(f"studio.editor.go({frame})")
            person.until(f"studio.editor.frames.shown === {frame}")
            grey = person.ask(
                "(() => { const { canvas, view, ratio } = studio.stage;"
                "const at = view.toScreen(32, 24);"
                "const pen = canvas.getContext('2d');"
                "return pen.getImageData(at.x * ratio, at.y * ratio, 1, 1).data[0] })()"
            )
            assert abs(grey - (20 + 9 * frame)) < 4, frame
        person.press("Home", "Space")
        person.until("studio.editor.frames.shown === 23 && !studio.editor.playing")


def test_everything_is_done_with_the_keyboard_alone(alone) -> None:
    alone.press("a", "Enter", "Shift+ArrowLeft", "ArrowUp", "Enter")
    alone.saved()
    first = alone.clicks()[0]
    assert first[0] < 64
    alone.press("c", *["ArrowRight"] * 2, "Shift+ArrowRight")
    alone.until("studio.editor.frames.shown === 12")
    alone.press("Enter", "ArrowRight", "ArrowRight", "Enter")
    alone.saved()
    assert set(alone.clicks()) == {0, 12}
    assert alone.clicks()[12][0] > first[0]

    alone.press(*["ArrowRight"] * 3)
    alone.until("studio.editor.frames.shown === 15")
    alone.press("x", *["ArrowRight"] * 4)
    alone.until("studio.editor.frames.shown === 19")
    alone.press("x")
    assert alone.contents()[0]["hidden"] == [[15, 19]]
    alone.press("[")
    alone.until("studio.editor.frames.shown === 12")
    alone.press("Backspace")
    assert set(alone.clicks()) == {0}

    alone.press(*["Control+z"] * 5)
    alone.saved()
    assert alone.contents() == []
    alone.press(*["Control+Shift+z"] * 5)
    alone.saved()
    assert alone.contents()[0]["hidden"] == [[15, 19]]
    assert set(alone.clicks()) == {0}
    alone.press("Escape", "1", "Delete")
    alone.saved()
    assert alone.contents() == []
    alone.press("?")
    assert alone.page.get_by_role("dialog", name="Keys and gestures").is_visible()
    alone.press("Escape")
    assert alone.page.get_by_role("dialog").count() == 0


def test_what_was_not_saved_outlives_a_killed_server_and_a_reload(tmp_path, browser) -> None:
    write_square(tmp_path / "square.mp4")
    with Server(tmp_path, "--workers", "0") as server, Person(browser, server.address) as person:
        person.open_video(1)
        person.prefer("linear")
        person.click(*square_at(0))
        person.saved()
        server.kill()
        person.press("c")
        person.go(5)
        person.click(*square_at(5))
        person.until("document.querySelector('.save-state').matches('.late')")
        assert person.page.inner_text(".save-state") == "1 change not saved"
        server.start()
        person.saved()
        assert set(person.clicks()) == {0, 5}

        person.page.route("**/api/tracks/*", lambda route: route.abort())
        person.go(9)
        person.click(*square_at(9))
        person.until("studio.editor.outbox.failures > 0")
        person.page.unroute("**/api/tracks/*")
        person.page.reload()
        person.ready()
        person.saved()
        assert set(person.clicks()) == {0, 5, 9}
        person.press("Control+z")
        person.saved()
        assert set(person.clicks()) == {0, 5}
        with closing(Project.open(tmp_path)) as project:
            (track,) = project.tracks(1)
            assert [click.frame for click in track.content.clicks] == [0, 5]
            assert track.version == 4  # each edit was made once


def test_an_answer_that_was_lost_does_not_make_the_edit_twice(alone) -> None:
    lost = []

    def lose(route) -> None:
        if route.request.method != "POST" or lost:
            return route.continue_()
        lost.append(route.fetch())  # the server has done it
        return route.abort()

    alone.page.route("**/api/videos/1/tracks", lose)
    alone.click(*square_at(0))
    alone.saved()
    assert lost
    alone.page.unroute("**/api/videos/1/tracks")
    alone.page.reload()
    alone.ready()
    assert len(alone.contents()) == 1


def test_an_upload_goes_on_after_a_reload(tmp_path, browser, studio) -> None:
    clip = write_square(tmp_path / "large.mp4", frames=4)
    with open(clip, "ab") as file:  # a box that players skip
        file.write((9 << 20).to_bytes(4, "big") + b"free" + bytes((9 << 20) - 8))
    with Person(browser, studio.address) as person:
        sent: list[str] = []

        def second_fails(route) -> None:
            sent.append(route.request.headers["upload-offset"])
            return route.continue_() if len(sent) == 1 else route.abort()

        person.page.route("**/api/uploads/*", second_fails)
        person.visit()
        person.page.locator("input[type=file]").set_input_files(clip)
        wait_until(lambda: person.page.wait_for_timeout(20) or len(sent) > 1)
        person.page.unroute("**/api/uploads/*")
        person.page.reload()
        stopped = person.page.locator(".upload.stopped")
        stopped.wait_for()
        assert "Drop the same file again" in stopped.inner_text()
        offsets: list[int] = []
        person.page.on(
            "request",
            lambda request: (
                request.method == "PATCH" and offsets.append(int(request.headers["upload-offset"]))
            ),
        )
        person.page.locator("input[type=file]").set_input_files(clip)
        person.ready()
        assert person.ask("studio.editor.video.frames") == 4
        assert min(offsets) == 4 << 20


def test_200_points_over_2000_frames_are_painted_within_a_frame(tmp_path, browser) -> None:
    greys = (np.full((48, 64, 3), frame % 200, np.uint8) for frame in range(2000))
    write_video(tmp_path / "long.mp4", greys)
    with Server(tmp_path, "--workers", "0") as server, Person(browser, server.address) as person:
        person.open_video(1)
        made = person.ask(
            "(() => { const { editor } = studio; editor.addGrid(200);"
            "for (const track of editor.tracks.list) { const n = editor.frames.count;"
            "  const { x, y } = track.content.clicks[0];"
            "  const xy = Float32Array.from({ length: 2 * n }, (_, i) =>"
            "    (i % 2 ? y : x) + 5 * Math.sin(i / 40 + (i % 2)));"
            "  editor.paths.all.set(track.key, { version: 1, complete: true, start: 0, xy,"
            "    visible: new Uint8Array(n).fill(1), confidence: new Uint8Array(n).fill(200),"
            "    guess: false }) }"
            "editor.changed(); return editor.tracks.list.length })()"
        )
        assert made >= 190
        person.saved()
        took = person.ask(
            "(async () => { const { editor, stage, timeline } = studio; const took = [];"
            "for (let i = 0; i < 60; i++) { await new Promise(requestAnimationFrame);"
            "  editor.frames.shown = editor.frames.target = 1000 + i;"
            "  const begun = performance.now(); stage.now(); timeline.paint();"
            "  took.push(performance.now() - begun) }"
            "return took.sort((a, b) => a - b)[30] })()"
        )
        assert took < 16, "ms of the script that paints a frame"
        assert person.page.locator(".point").count() < 60  # lines of the list, not one a point


@pytest.mark.parametrize("size", [(1280, 720), (820, 1180), (390, 844)])
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_every_control_has_a_name_and_nothing_is_cut_off(browser, studio, size, scheme) -> None:
    with Person(browser, studio.address, color_scheme=scheme) as person:
        person.page.set_viewport_size({"width": size[0], "height": size[1]})
        for place in ("", "video/1"):
            person.visit(place)
            person.page.wait_for_selector(".drop" if not place else ".editor")
            if place:
                person.ready()
                person.prefer("linear")
                if not person.contents():
                    person.click(*square_at(0))
                person.press("1")
            nameless = person.ask(
                "[...document.querySelectorAll('button, a, input, select, canvas')].filter(one =>"
                "one.checkVisibility() && !(one.getAttribute('aria-label') || one.labels?.length"
                "|| one.textContent.trim())).map(one => one.outerHTML)"
            )
            assert nameless == []
            assert person.ask("document.documentElement.scrollWidth") <= size[0]
            dark = person.ask(
                "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
            )
            assert (sum(dark) < 200) == (scheme == "dark")


def test_the_strict_rules_for_content_hold(studio, browser) -> None:
    with Person(browser, studio.address) as person:
        blocked: list[str] = []
        person.page.on("console", lambda said: blocked.append(said.text))
        person.open_video(1)
        person.press("g")
        person.press("Escape")
        assert [said for said in blocked if "Content Security Policy" in said] == []
        policy = person.page.request.get(f"{studio.address}/").headers["content-security-policy"]
        assert "unsafe" not in policy


def test_the_page_keeps_its_edits_as_the_server_takes_them(alone) -> None:
    alone.click(*square_at(0))
    alone.saved()
    kept = alone.ask("Object.keys(localStorage).filter(name => name.startsWith('tapnet.edit.'))")
    assert kept == []
    content = json.dumps(alone.contents()[0])
    alone.page.reload()
    alone.ready()
    assert json.loads(content) == alone.contents()[0]
