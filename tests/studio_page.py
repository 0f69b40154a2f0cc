"""A person at the studio's page: a real Chromium, driven by what people do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--disable-component-update",
    "--no-first-run",
]
PATIENCE = 60.0  # seconds for anything that the page waits for, on a machine that is busy
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")  # no longer: its loop of events keeps other tests from theirs
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"the page is tested in a real browser: expected {CHROMIUM}; install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


class Person:
    """Somebody at the page: `with Person(browser, address) as ada: ada.open_video(1)`."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.address = address
        self.context = browser.new_context(viewport={"width": 1280, "height": 720}, **options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))

    def __enter__(self) -> Person:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        if kind is None:
            assert not self.wrong, "scripts of the page failed"

    def visit(self, place: str = "") -> None:
        self.page.goto(f"{self.address}/#/{place}")

    def log_in(self, name: str) -> None:
        self.visit()
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_selector(".library")

    def open_video(self, number: int) -> None:
        self.visit(f"video/{number}")
        self.ready()

    def ready(self) -> None:
        """The video is open: its first picture is shown, its tracks are known."""
        self.page.wait_for_selector(".editor")
        self.until("globalThis.studio && studio.editor.ready && studio.editor.frames.shown >= 0")

    def ask(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    def until(self, expression: str, seconds: float = PATIENCE) -> Any:
        """What the expression is in the page, once it is true."""
        end = time.monotonic() + seconds
        said: Any = None
        while time.monotonic() < end:
            try:
                said = self.ask(expression)
            except Error as error:  # the page is being loaded
                said = error
            if said and not isinstance(said, Error):
                return said
            self.page.wait_for_timeout(25)
        raise AssertionError(f"not within {seconds} s: {expression} (it is {said!r})")

    def saved(self) -> None:
        """The page says so, and has nothing in its outbox."""
        self.until("studio.editor.outbox.entries.length === 0")
        assert self.page.inner_text(".save-state") == "Saved"

    def followed(self, seconds: float = 2 * PATIENCE) -> None:
        """Every point has a whole path of its newest version."""
        self.until(
            "studio.editor.tracks.list.length > 0 && studio.editor.tracks.list.every("
            "track => studio.editor.paths.complete(track))",
            seconds,
        )

    def screen(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the video, raster pixels, lies in the window."""
        at = self.ask(
            f"(() => {{ const at = studio.stage.view.toScreen({x}, {y});"
            "const box = studio.stage.canvas.getBoundingClientRect();"
            "return [box.left + at.x, box.top + at.y] })()"
        )
        return at[0], at[1]

    def click(self, x: float, y: float) -> None:
        """On the picture, at raster pixels of the video."""
        self.page.mouse.click(*self.screen(x, y))

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*self.screen(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.screen(*end), steps=5)
        self.page.mouse.up()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def go(self, frame: int) -> None:
        """To a frame, by typing its number."""
        field = self.page.get_by_label("Frame", exact=True).and_(self.page.locator("input"))
        field.fill(str(frame))
        field.press("Enter")
        self.until(f"studio.editor.frames.shown === {frame}")

    def contents(self) -> list[dict[str, Any]]:
        return self.ask("studio.editor.tracks.list.map(track => track.content)")

    def clicks(self, track: int = 0) -> dict[int, tuple[float, float]]:
        """Of the track at that place of the list: {frame: (x, y)}."""
        return {c["frame"]: (c["x"], c["y"]) for c in self.contents()[track]["clicks"]}

    def place(self, track: int, frame: int) -> tuple[float, float] | None:
        """Where the page has a point on a frame."""
        return self.ask(
            f"(() => {{ const spot = {{}}; const track = studio.editor.tracks.list[{track}];"
            f"return studio.editor.paths.at(track, {frame}, spot) ? [spot.x, spot.y] : null }})()"
        )

    def prefer(self, assist: str, model: str = "taplite") -> None:
        """Points are followed in that way from now on."""
        self.ask(f"studio.preferences.set({{assist: '{assist}', model: '{model}'}})")


def square_at(frame: int) -> tuple[float, float]:
    """The middle of the square of `write_square`, raster pixels."""
    return 24.0 + 3 * frame, 30.0 + frame


def write_square(path: Path, frames: int = 24) -> Path:
    """A square with a pattern crosses a still, patterned ground of 128 x 96 pixels."""
    random = np.random.default_rng(0)
    ground = random.integers(60, 120, (24, 32, 3)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    square = random.integers(130, 255, (5, 5, 3)).astype(np.uint8).repeat(4, 0).repeat(4, 1)

    def pictures() -> Iterator[np.ndarray]:
        for frame in range(frames):
            picture = ground.copy()
            x, y = (int(value) - 10 for value in square_at(frame))
            picture[y : y + 20, x : x + 20] = square
            yield picture

    return write_video(path, pictures())


def write_video(path: Path, pictures: Iterator[np.ndarray], codec: str = "libx264") -> Path:
    """The pictures at 25 a second, in a codec that browsers play unless another is named."""
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "g": "15"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=25, options=options)
        for i, picture in enumerate(pictures):
            if i == 0:
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.bit_rate = 4_000_000
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path
