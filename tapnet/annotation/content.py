"""What a person made of one track, and the path that an assist computed from it.

Frames count from 0 in the whole video, positions are raster pixels (x, y) of it. As JSON a content
is

    {"name": "left eye", "object": "person 1",
     "clicks": [{"frame": 3, "x": 10.5, "y": 20.25}],    sorted by frame, one a frame at most
     "hidden": [[5, 9]],                                 half-open frame ranges, sorted, disjoint
     "assist": "tracker", "model": "taplite"}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tapnet.structs import check_shapes

ASSISTS = ("tracker", "flow", "linear", "imported")
MAX_FRAME = 10_000_000  # frames of a video: 4 days at 30 a second
MAX_PLACE = 65_536.0  # pixels: more than any codec gives
MAX_CLICKS = 20_000  # of a track
MAX_RANGES = 20_000
MAX_TEXT = 200  # characters of a name

_CLICK = {"frame", "x", "y"}
_FIELDS = ("name", "object", "clicks", "hidden", "assist", "model")


@dataclass(frozen=True)
class Click:
    """Where a person saw the point on one frame."""

    frame: int
    x: float
    y: float

    def __post_init__(self) -> None:
        _check_frame(self.frame, "a click's frame")
        for axis, value in (("x", self.x), ("y", self.y)):
            number = isinstance(value, float) or type(value) is int  # bool is an int, too
            if not number or not -MAX_PLACE <= value <= MAX_PLACE:  # nor NaN
                raise ValueError(
                    f"a click's {axis} on frame {self.frame}: expected a finite number of pixels, "
                    f"{MAX_PLACE:g} at most, got {short(value)}"
                )

    @classmethod
    def from_json(cls, value: Any) -> Click:
        """The click in a decoded JSON object. ValueError says what is wrong with it."""
        if not (type(value) is dict and value.keys() == _CLICK):  # thousands come at once
            _check_keys(value, ("frame", "x", "y"), ("frame", "x", "y"), "a click")
        return cls(value["frame"], value["x"], value["y"])

    def to_json(self) -> dict[str, Any]:
        return {"frame": self.frame, "x": self.x, "y": self.y}


@dataclass(frozen=True)
class Content:
    """What a person made of one track: the only thing that edits change. Checked on creation."""

    name: str = ""
    object: str = ""  # what the point is a part of
    clicks: tuple[Click, ...] = ()  # sorted by frame, one a frame at most
    hidden: tuple[tuple[int, int], ...] = ()  # half-open frame ranges, sorted, disjoint
    assist: str = "tracker"  # one of ASSISTS
    model: str = "taplite"  # used when assist is "tracker"

    def __post_init__(self) -> None:
        for field in ("name", "object", "model"):
            text = getattr(self, field)
            if not isinstance(text, str) or len(text) > MAX_TEXT or not text.isprintable():
                raise ValueError(
                    f"{field}: expected one line of text, {MAX_TEXT} characters at most, "
                    f"got {short(text)}"
                )
        if self.assist not in ASSISTS:
            raise ValueError(f"assist: expected {_listed(ASSISTS)}, got {short(self.assist)}")
        _check_count(self.clicks, MAX_CLICKS, "clicks")
        _check_count(self.hidden, MAX_RANGES, "hidden ranges")
        for earlier, later in pairwise(self.clicks):
            if earlier.frame >= later.frame:
                raise ValueError(
                    "clicks: expected them sorted by frame, one a frame at most, "
                    f"got frame {later.frame} after frame {earlier.frame}"
                )
        end = 0
        for start, stop in self.hidden:
            _check_frame(start, "the start of a hidden range")
            _check_frame(stop, "the end of a hidden range")
            if not end <= start < stop:
                raise ValueError(
                    "hidden: expected half-open ranges [start, end] with start < end, sorted and "
                    f"disjoint, got [{start}, {stop}] after frame {end}"
                )
            end = stop

    @classmethod
    def from_json(cls, value: Any) -> Content:
        """The content in a decoded JSON object; what it lacks takes the default.

        Raises ValueError that says what was expected, and what came, at any value that is not as
        the head of this module tells: also at unknown keys, and at more of anything than a limit.
        """
        _check_keys(value, (), _FIELDS, "a track's content")
        clicks, hidden = value.get("clicks", []), value.get("hidden", [])
        _check_list(clicks, MAX_CLICKS, "clicks")
        _check_list(hidden, MAX_RANGES, "hidden")
        for given in hidden:
            if not isinstance(given, list | tuple) or len(given) != 2:
                raise ValueError(f"hidden: expected pairs [start, end], got {short(given)}")
        texts = {key: value[key] for key in _FIELDS if key in value} | {
            "clicks": tuple(Click.from_json(click) for click in clicks),
            "hidden": tuple((start, stop) for start, stop in hidden),
        }
        return cls(**texts)

    def to_json(self) -> dict[str, Any]:
        """A value that `json.dumps` writes and `from_json` reads back as the same content."""
        return {
            "name": self.name,
            "object": self.object,
            "clicks": [click.to_json() for click in self.clicks],
            "hidden": [list(given) for given in self.hidden],
            "assist": self.assist,
            "model": self.model,
        }

    @classmethod
    def from_text(cls, text: str) -> Content:
        """The content that `to_text` wrote."""
        return cls.from_json(json.loads(text))

    def to_text(self) -> str:
        """As JSON without blanks: what databases keep."""
        return json.dumps(self.to_json(), separators=(",", ":"))

    def check_within(self, frames: int, width: int, height: int) -> None:
        """Raises ValueError when a click or hidden frame is outside a video of that size.

        A click may lie on the border: x in 0..width, y in 0..height.
        """
        for click in self.clicks:
            if click.frame >= frames:
                raise ValueError(
                    f"a click's frame: expected 0..{frames - 1}, the frames of the video, "
                    f"got {click.frame}"
                )
            if not (0 <= click.x <= width and 0 <= click.y <= height):
                raise ValueError(
                    f"a click on frame {click.frame}: expected x in 0..{width} and y in "
                    f"0..{height}, pixels of the video, got ({click.x:g}, {click.y:g})"
                )
        if self.hidden and self.hidden[-1][1] > frames:
            raise ValueError(
                f"hidden: expected ranges that end at {frames}, the length of the video, or "
                f"before, got [{self.hidden[-1][0]}, {self.hidden[-1][1]}]"
            )

    def path_of(self) -> tuple[Any, ...]:
        """What a path depends on: all but the names."""
        return self.clicks, self.hidden, self.assist, self.model

    def visible(self, start: int, stop: int) -> np.ndarray:
        """[stop - start] bool: the frames start to stop - 1 that are not marked as hidden."""
        seen = np.ones(max(0, stop - start), bool)
        for first, end in self.hidden:
            seen[max(0, first - start) : max(0, end - start)] = False
        return seen


@dataclass(frozen=True, eq=False)
class Path:
    """Where a point went in n frames from `start` on, computed from a content by an assist."""

    start: int  # frame of the video
    xy: np.ndarray  # [n, 2] float32 (x, y)
    visible: np.ndarray  # [n] bool; False in hidden ranges, whatever the assist says
    confidence: np.ndarray  # [n] float32 in 0..1

    def __post_init__(self) -> None:
        _check_frame(self.start, "a path's start")
        check_shapes(
            xy=(self.xy, "n 2"), visible=(self.visible, "n"), confidence=(self.confidence, "n")
        )

    @classmethod
    def none(cls) -> Path:
        """That of a content without clicks."""
        return cls(0, np.zeros((0, 2), np.float32), np.zeros(0, bool), np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def stop(self) -> int:
        """The frame after the last one."""
        return self.start + len(self.xy)


def ranges(flags: np.ndarray, start: int = 0) -> tuple[tuple[int, int], ...]:
    """The frames where `flags` [n] is true, as half-open ranges; the first flag is of `start`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return tuple((start + int(a), start + int(b)) for a, b in edges.reshape(-1, 2))


def _check_frame(value: Any, what: str) -> None:
    if type(value) is not int or not 0 <= value <= MAX_FRAME:
        raise ValueError(f"{what}: expected a whole number, 0..{MAX_FRAME}, got {short(value)}")


def _check_keys(value: Any, needed: Iterable[str], known: Iterable[str], what: str) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f"{what}: expected an object with {_listed(known)}, got {short(value)}")
    missing = [key for key in needed if key not in value]
    if missing:
        raise ValueError(f"{what}: expected {_listed(needed)}, but {_listed(missing)} is missing")
    unknown = sorted(str(key) for key in value.keys() - set(known))
    if unknown:
        raise ValueError(f"{what}: expected {_listed(known)}, got also {short(unknown[0])}")


def _check_list(value: Any, limit: int, what: str) -> None:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{what}: expected a list, got {short(value)}")
    _check_count(value, limit, what)


def _check_count(value: list | tuple, limit: int, what: str) -> None:
    if len(value) > limit:
        raise ValueError(f"{what}: expected {limit} at most in a track, got {len(value)}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def short(value: Any) -> str:
    """The value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
