"""Fills in tracks between the clicks of people: straight, along optical flow, or with a tracker.

"linear" goes straight from click to click. "flow" looks for the path that agrees with the optical
flow (`flow_fill`, `flow_search`), "tracker" tracks from every click forward and backward
(`tracker_assist`). Both then fit a path to all that was said (`smoothing`): by the tracker, the
more the surer it was, and by the flow around the path, the more it agrees with the flow back. It
bends no more than it must, so parts that are hidden, or that nobody is sure of, coast.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from tapnet import tracker as trackers
from tapnet.annotation import flow_fill, tracker_assist
from tapnet.annotation.asked import Asked
from tapnet.annotation.content import Content, Path
from tapnet.annotation.kept import Anew
from tapnet.annotation.motion import Surroundings, flow_size, flows
from tapnet.annotation.smoothing import Said, fit
from tapnet.geometry import rescale
from tapnet.video import Video

BEND = 0.5 / 256  # of the frame's side: how much a step usually differs from the one before
# Of the frame's side: an uncertainty at which half of the positions are right to 1/32 of the side,
# and how fast the others come; as measured on clips of the synthetic validation set.
HALF, FALL = 2 / 256, 2.5
ROUNDS = 8  # of a fit
ANEW = Anew()

Progress = Callable[[int, int], None]  # frames done, frames in all; may raise to cancel
Partial = Callable[[], dict[int, Path]]  # makes what is known so far, by place in the contents
OnPartial = Callable[[Partial], None]


def fill(
    video: Video,
    contents: Sequence[Content],
    progress: Progress | None = None,
    on_partial: OnPartial | None = None,
    kept: Anew = ANEW,
) -> list[Path]:
    """The path of each content through the whole video, through all of its clicks exactly.

    `visible` is False where the content is hidden, outside the frame, and where a tracker says so.
    `confidence` is the chance that the position is right to 1/32 of the frame's side. Where nothing
    is known, a straight path beyond its clicks, it is 0 and the point not visible. The path of a
    content without clicks is empty. Memory does not grow with the video but for the results, about
    1 kB for a track and frame.

    After each frame `on_partial` gets a function that makes what is known so far; call it when the
    time for it has come. What raises in it or in `progress` ends the work. What only depends on the
    frames, flow and taplite's features, is looked for in `kept` first. Raises ValueError for
    clicks and hidden ranges outside the video, for "imported", whose paths come from files, and for
    unknown models.
    """
    for content in contents:
        content.check_within(len(video), video.size[1], video.size[0])
    found = {row: Path.none() for row, content in enumerate(contents) if not content.clicks}
    groups = [
        (rows, _group(video, [contents[row] for row in rows], kept)) for rows in _alike(contents)
    ]
    total, done = sum(group.work for _, group in groups), 0
    for rows, group in groups:

        def partial(rows: list[int] = rows, group: _Group = group) -> dict[int, Path]:
            known = zip(rows, group.so_far(), strict=True)
            return found | {row: path for row, path in known if path is not None}

        for _ in group.go():
            done += 1
            if progress:
                progress(done, total)
            if on_partial:
                on_partial(partial)
        found.update(zip(rows, group.paths(), strict=True))
    return [found[row] for row in range(len(contents))]


def _alike(contents: Sequence[Content]) -> list[list[int]]:
    """The contents with clicks that are worked out together; what is done at once comes first."""
    groups: dict[tuple[str, str], list[int]] = {}
    for row, content in enumerate(contents):
        if content.clicks:
            model = content.model if content.assist == "tracker" else ""
            groups.setdefault((content.assist, model), []).append(row)
    order = ["linear", "flow", "tracker", "imported"]
    return [groups[key] for key in sorted(groups, key=lambda key: (order.index(key[0]), key[1]))]


def _group(video: Video, contents: list[Content], kept: Anew) -> _Group:
    asked = Asked.of(contents, len(video))
    match contents[0].assist:
        case "linear":
            return _Linear(video, asked, kept)
        case "flow":
            return _Flow(video, asked, kept)
        case "tracker":
            return _Tracker(video, asked, kept, contents[0].model)
    raise ValueError(
        f"assist: {contents[0].assist!r} cannot be computed, its path comes from a file; choose "
        "tracker, flow or linear"
    )


class _Group(ABC):
    """Tracks that are worked out together."""

    work: int  # how often `go` yields

    def __init__(self, video: Video, asked: Asked, kept: Anew) -> None:
        self._video = video
        self._asked = asked
        self._kept = kept

    @abstractmethod
    def go(self) -> Iterator[int]:
        """Works; yields after each frame."""

    @abstractmethod
    def so_far(self) -> list[Path | None]:
        """What is known while working."""

    @abstractmethod
    def paths(self) -> list[Path]:
        """The result, after `go`."""

    def _path(
        self, row: int, xy: np.ndarray, visible: np.ndarray, confidence: np.ndarray, part: slice
    ) -> Path:
        """Of [T] frames those of `part`; clicks are exact, sure and visible, what is hidden not."""
        clicked = self._asked.clicked[row]
        xy = np.where(clicked[:, None], self._asked.places[row], xy).astype(np.float32)
        height, width = self._video.size
        inside = ((xy >= 0) & (xy <= [width, height])).all(1)
        visible = (visible & inside | clicked) & self._asked.seen[row]
        confidence = np.where(clicked, 1, confidence).astype(np.float32)
        return Path(part.start, xy[part], visible[part], confidence[part])


class _Linear(_Group):
    work = 0

    def go(self) -> Iterator[int]:
        return iter(())

    def so_far(self) -> list[Path | None]:
        return list(self.paths())

    def paths(self) -> list[Path]:
        """Confidence falls with the number of frames to the nearer click."""
        asked, found = self._asked, []
        t = np.arange(asked.clicked.shape[1])
        for row, between in enumerate(asked.between):
            away = np.abs(t[:, None] - np.flatnonzero(asked.clicked[row])).min(1)
            confidence = between / (1 + away / 8)
            found.append(self._path(row, asked.places[row], between, confidence, slice(0, len(t))))
        return found


class _Flow(_Group):
    def __init__(self, video: Video, asked: Asked, kept: Anew) -> None:
        super().__init__(video, asked, kept)
        self.work = len(video) - 1
        self._around = Surroundings(*asked.clicked.shape)
        self._start = self._inward(asked.places)
        self._done = 0

    def go(self) -> Iterator[int]:
        steps = flow_fill.follow(self._video, self._asked, self._start, self._around, self._kept)
        for t in steps:
            self._done = t
            yield t

    def so_far(self) -> list[Path | None]:
        found: list[Path | None] = []
        xy, seen = self._outward(self._start), np.ones(self._start.shape[1], bool)
        for row, clicked in enumerate(self._asked.clicked):
            past = np.flatnonzero(clicked[: self._done + 1])
            stop = self._done + 1 if self._asked.last[row] <= self._done else max(past, default=-1)
            half = np.full(len(seen), 0.5)
            known = slice(0, int(stop) + (self._asked.last[row] > self._done))
            found.append(self._path(row, xy[row], seen, half, known) if len(past) else None)
        return found

    def paths(self) -> list[Path]:
        return self._fitted(self._start, [], np.ones(self._asked.clicked.shape, bool))

    def _fitted(self, start: np.ndarray, positions: list[Said], visible: np.ndarray) -> list[Path]:
        """The best paths by positions that were said and the flow around `start` [N, T, 2]."""
        side = self._side
        self._around.hide(self._asked.seen)
        best = fit(self._asked.clicked, start, positions, self._around.steps, BEND * side, ROUNDS)
        confidence = 1 / (1 + (best.sigma / (HALF * side)) ** FALL)
        xy = self._outward(best.xy)
        every = slice(0, start.shape[1])
        return [
            self._path(row, *values, every)
            for row, values in enumerate(zip(xy, visible, confidence, strict=True))
        ]

    @property
    def _side(self) -> float:
        """Of a square with as many pixels as the flow's frames."""
        return float(np.sqrt(np.prod(flow_size(self._video.size))))

    def _inward(self, xy: np.ndarray) -> np.ndarray:
        """Raster pixels of the video as pixels of the flow's frames."""
        return rescale(xy, self._video.size, flow_size(self._video.size)) - 0.5

    def _outward(self, xy: np.ndarray) -> np.ndarray:
        return rescale(xy + 0.5, flow_size(self._video.size), self._video.size)


class _Tracker(_Flow):
    """Three walks: the tracker forward, the tracker backward, and the flow around the result."""

    def __init__(self, video: Video, asked: Asked, kept: Anew, model: str) -> None:
        super().__init__(video, asked, kept)
        self._tracker = tracker_assist.remembering(tracker(model), kept)
        self._ahead = tracker_assist.Walk.none(asked)
        self._behind = tracker_assist.Walk.none(asked)
        self.work += len(video) - int(asked.first.min()) + int(asked.last.max()) + 1

    def go(self) -> Iterator[int]:
        yield from tracker_assist.forward(self._tracker, self._video, self._asked, self._ahead)
        yield from tracker_assist.backward(self._tracker, self._video, self._asked, self._behind)
        self._start = fit(
            self._asked.clicked, self._start, self._said(), None, BEND * self._side, ROUNDS
        ).xy
        rows = np.arange(len(self._start))
        for t, between in enumerate(flows(self._video, 0, len(self._video), self._kept)):
            self._around.keep(rows, t, between, self._start[:, t], self._start[:, t + 1])
            yield t

    def so_far(self) -> list[Path | None]:
        """From either click as it came; both, each the more the nearer its click, once known."""
        xy, confidence = tracker_assist.joined(self._ahead, self._behind, self._asked)
        known = self._ahead.known | self._behind.known | self._asked.clicked
        found: list[Path | None] = []
        for row, frames in enumerate(known):
            at = np.flatnonzero(frames)
            part = slice(int(at[0]), int(at[-1]) + 1)
            found.append(
                self._path(row, xy[row], confidence[row] > 0.5, confidence[row], part)
                if self._ahead.known[row].any() or self._behind.known[row].any()
                else None
            )
        return found

    def paths(self) -> list[Path]:
        confidence = np.maximum(self._ahead.confidence, self._behind.confidence)
        return self._fitted(self._start, self._said(), confidence > 0.5)

    def _said(self) -> list[Said]:
        """What the tracker said, in pixels of the flow's frames."""
        unit = self._side / np.sqrt(np.prod(self._video.size))
        unit *= tracker_assist.unit(self._tracker, self._video)
        both = (walk.said(self._asked, unit) for walk in (self._ahead, self._behind))
        return [replace(said, xy=self._inward(said.xy)) for said in both]


@lru_cache(maxsize=2)
def tracker(model: str) -> trackers.Tracker:
    """The tracker of that name, as assists use it. The last few stay loaded.

    Raises ValueError for anything but a name: contents may come from strangers, files may not.
    """
    if model not in trackers.choices():
        raise ValueError(f"model: expected {', '.join(trackers.choices())}, got {model!r}")
    return trackers.load(model)
