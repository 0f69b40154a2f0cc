"""Figures of how good annotations are, and what they cost: of paths and edits, without a database.

Distances are pixels of the video.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from tapnet.annotation.content import Content, Path, ranges

WITHIN = (1, 2, 4, 8)  # pixels
APART = 4.0  # pixels: farther than this, two passes disagree on a frame
PAUSE = 30.0  # seconds: a longer time between two edits counts as that much work
_DRIFT = (0, 1, 8, 16, 32, 64, 128, 256, 512, 1024)  # frames from the first click: borders


class Apart(NamedTuple):
    """Two paths of one point, frame by frame, where both are."""

    frames: np.ndarray  # [n] int
    distance: np.ndarray  # [n] float64 pixels
    both: np.ndarray  # [n] bool: both call it visible
    same: np.ndarray  # [n] bool: both call it visible, or both do not


@dataclass(frozen=True)
class Work:
    """One edit, as far as its cost goes."""

    track_id: int
    video_id: int
    user: str
    time: float  # seconds
    content: Content
    by_hand: bool = True  # False: imported, which costs nothing


def straight(content: Content) -> Path:
    """Straight lines from click to click: from the first one's frame to the last one's."""
    if not content.clicks:
        return Path.none()
    at = [click.frame for click in content.clicks]
    frames = np.arange(at[0], at[-1] + 1)
    places = np.array([[click.x, click.y] for click in content.clicks]).T
    xy = np.stack([np.interp(frames, at, axis) for axis in places], axis=1).astype(np.float32)
    sure = np.ones(len(frames), np.float32)
    return Path(at[0], xy, content.visible(at[0], at[-1] + 1), sure)


def apart(first: Path, second: Path) -> Apart:
    """How far two paths are apart, on the frames that both have."""
    start, stop = max(first.start, second.start), min(first.stop, second.stop)
    frames = np.arange(start, max(start, stop))
    a, b = frames - first.start, frames - second.start
    distance = np.linalg.norm(first.xy[a].astype(np.float64) - second.xy[b], axis=1)
    seen, seen_too = first.visible[a], second.visible[b]
    return Apart(frames, distance, seen & seen_too, seen == seen_too)


def figures(parts: Iterable[Apart]) -> dict[str, Any]:
    """median and maximum distance, shares `within` so many pixels, and share of frames on which
    `visibility` is the same; over all parts. None (within: empty) where there is no such frame.
    """
    parts = list(parts)
    distance = np.concatenate([part.distance[part.both] for part in parts] or [np.zeros(0)])
    same = np.concatenate([part.same for part in parts] or [np.zeros(0, bool)])
    some = len(distance) > 0
    return {
        "median": float(np.median(distance)) if some else None,
        "maximum": float(distance.max()) if some else None,
        "within": {d: float((distance <= d).mean()) for d in WITHIN} if some else {},
        "visibility": float(same.mean()) if len(same) else None,
    }


def disagreement(part: Apart) -> tuple[tuple[int, int], ...]:
    """Half-open frame ranges in which the two are more than `APART` apart where both see the point,
    or only one of them sees it.
    """
    wrong = ~part.same | (part.both & (part.distance > APART))
    return ranges(wrong, int(part.frames[0]) if len(part.frames) else 0)


def drift(parts: Iterable[tuple[int, Apart]]) -> list[dict[str, Any]]:
    """How the distance between two passes grows away from the first click: of each part with the
    frame of that click. [{"frames": [from, to], "px": median}], frames from the click, half-open;
    stretches without a frame are left out.
    """
    away, far = [np.zeros(0, int)], [np.zeros(0)]
    for click, part in parts:
        away.append(np.abs(part.frames[part.both] - click))
        far.append(part.distance[part.both])
    frames, distance = np.concatenate(away), np.concatenate(far)
    borders = [*_DRIFT, max(_DRIFT[-1], int(frames.max(initial=0))) + 1]
    found = []
    for low, high in pairwise(borders):
        inside = distance[(frames >= low) & (frames < high)]
        if len(inside):
            found.append({"frames": [low, high], "px": float(np.median(inside))})
    return found


def effort(work: Iterable[Work]) -> dict[str, Any]:
    """What edits, given in the order of time, cost: {"clicks", "seconds", "annotators"}.

    clicks: track -> clicks that were made or moved; seconds: track -> time that went by since the
    same user's edit before in the same video, `PAUSE` at most, summed up; annotators: of each user
    {"user", "tracks", "clicks", "seconds"}.
    """
    last: dict[tuple[str, int], float] = {}
    before: dict[int, set] = defaultdict(set)
    clicks: dict[tuple[str, int], int] = defaultdict(int)
    seconds: dict[tuple[str, int], float] = defaultdict(float)
    for edit in work:
        key = edit.user, edit.track_id
        then, now = before[edit.track_id], set(edit.content.clicks)
        before[edit.track_id] = now
        if not edit.by_hand:
            continue
        clicks[key] += len(now - then)
        gap = edit.time - last.get((edit.user, edit.video_id), edit.time)
        seconds[key] += min(max(gap, 0.0), PAUSE)
        last[edit.user, edit.video_id] = edit.time
    return {
        "clicks": _by(clicks, 1),
        "seconds": _by(seconds, 1),
        "annotators": [
            {
                "user": user,
                "tracks": sum(name == user for name, _ in clicks),
                "clicks": made,
                "seconds": _by(seconds, 0)[user],
            }
            for user, made in sorted(_by(clicks, 0).items())
        ],
    }


def middle(values: Iterable[float]) -> float | None:
    """The median, None of nothing."""
    values = list(values)
    return float(median(values)) if values else None


def _by(values: Mapping[tuple[str, int], float], place: int) -> dict[Any, float]:
    found: dict[Any, float] = defaultdict(int)
    for key, value in values.items():
        found[key[place]] += value
    return dict(found)
