"""Where to look next: frames of tracks that are likely wrong, the worst first.

Three things tell: assists that disagree, an assist that is not sure, and a path that jumps. Every
frame of a track gets a score in 0..1 by each; the frames with the best scores are told, of each
track only ones apart from its clicks and from each other, since a click on one mends its
neighbours, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapnet.annotation.content import Content, Path

APART = 8  # frames between suggestions of a track, and from a click
MOST = 200  # suggestions of a video
WORTH = 0.3  # score: frames with less are left alone
FAR = 8.0  # pixels: assists that disagree so much score 0.5
SHARP = 8.0  # times the usual bend of the track: a jump of so much scores 0.5
LEAST_BEND = 1.0  # pixels: what is called usual at least


@dataclass(frozen=True)
class _Scores:
    """Of one track: how much each frame asks for a look, and why."""

    start: int
    score: np.ndarray  # [n] 0..1
    reasons: list[Callable[[int], str]]  # what each thing that tells says of a row
    tells: np.ndarray  # [n] int: which of them scores the row highest


def suggest(
    paths_by_assist: Mapping[str, Sequence[Path | None]], contents: Sequence[Content]
) -> list[dict[str, Any]]:
    """Frames to look at next: {"frame", "track", "reason", "score"}, the highest score first.

    `paths_by_assist` has for each assist the paths of all contents, None where it was not run;
    "track" is the place in the contents. Frames that are hidden or clicked are not told, and none
    is nearer than `APART` frames to a click or to another of its track. Raises ValueError when the
    numbers of paths and contents differ.
    """
    for assist, paths in paths_by_assist.items():
        if len(paths) != len(contents):
            raise ValueError(
                f"paths of {assist!r}: expected one for each of {len(contents)} contents, None "
                f"where there is none, got {len(paths)}"
            )
    found: list[dict[str, Any]] = []
    for track, content in enumerate(contents):
        known = {name: paths[track] for name, paths in paths_by_assist.items()}
        scores = _scores({name: path for name, path in known.items() if path}, content)
        for frame in _apart(scores, content):
            row = frame - scores.start
            found.append(
                {
                    "frame": frame,
                    "track": track,
                    "reason": scores.reasons[scores.tells[row]](row),
                    "score": round(float(scores.score[row]), 3),
                }
            )
    return worst(found)


def worst(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The suggestions that are worth the most, in that order."""
    return sorted(found, key=lambda one: (-one["score"], one["track"], one["frame"]))[:MOST]


def _scores(paths: Mapping[str, Path], content: Content) -> _Scores:
    """Of the frames that all `paths` have."""
    start = max((path.start for path in paths.values()), default=0)
    stop = min((path.stop for path in paths.values()), default=0)
    if stop <= start:
        return _Scores(0, np.zeros(0), [], np.zeros(0, int))
    parts = {name: slice(start - path.start, stop - path.start) for name, path in paths.items()}
    own = paths.get(content.assist) or next(iter(paths.values()))
    part = slice(start - own.start, stop - own.start)
    unsure = 1 - own.confidence[part].astype(np.float64)
    ratio = _bends(own.xy[part])
    jump = np.where(own.visible[part], ratio / (ratio + SHARP), 0)
    tried: list[tuple[np.ndarray, Callable[[int], str]]] = [
        (
            unsure,
            lambda row: f"the {content.assist} assist is {100 * (1 - unsure[row]):.0f} % sure",
        ),
        (jump, lambda row: f"the path jumps, {ratio[row]:.0f} times its usual bend"),
    ]
    others = {n: p.xy[parts[n]] for n, p in paths.items() if p is not own and n != "linear"}
    for name, xy in others.items():
        away = np.linalg.norm(xy - own.xy[part], axis=1).astype(np.float64)
        tried.append((away / (away + FAR), _apart_by(f"{content.assist} and {name}", away)))
    scores = np.stack([score for score, _ in tried])
    seen = np.where(content.visible(start, stop), scores.max(0), 0)
    return _Scores(start, seen, [reason for _, reason in tried], scores.argmax(0))


def _apart_by(names: str, away: np.ndarray) -> Callable[[int], str]:
    return lambda row: f"{names} are {away[row]:.1f} pixels apart"


def _bends(xy: np.ndarray) -> np.ndarray:
    """[n]: how much each step differs from the one before, in units of what is usual."""
    bend = np.zeros(len(xy))
    if len(xy) > 2:
        bend[1:-1] = np.linalg.norm(np.diff(xy.astype(np.float64), 2, axis=0), axis=1)
    return bend / max(float(np.median(bend)), LEAST_BEND)


def _apart(scores: _Scores, content: Content) -> list[int]:
    """The frames that are worth a look, the best first."""
    free = scores.score >= WORTH
    frames = np.arange(scores.start, scores.start + len(free))
    for click in content.clicks:
        free &= abs(frames - click.frame) >= _gap(content, click.frame)
    found: list[int] = []
    for row in np.argsort(-scores.score, kind="stable"):
        if free[row]:
            found.append(int(frames[row]))
            free &= abs(frames - frames[row]) >= APART
    return found


def _gap(content: Content, frame: int) -> int:
    """How far from a click frames are told: nearer where the next click is not far."""
    away = [abs(click.frame - frame) for click in content.clicks if click.frame != frame]
    return max(1, min([APART, *(d // 3 for d in away)]))
