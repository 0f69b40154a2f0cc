"""Two people changed the same track: one content out of both changes, where they do not clash."""

from __future__ import annotations

from bisect import bisect_right
from typing import TypeVar

from tapnet.annotation.content import Click, Content

T = TypeVar("T")


class _Clash(Exception):
    """Both changed the same thing, differently."""


def merge(base: Content, ours: Content, theirs: Content) -> Content | None:
    """`base` with the changes of both; None where both changed one frame or one word differently.

    A frame is changed when its click is added, moved or removed, or when it is hidden or shown.
    Clicks and marks of different frames stand side by side; equal changes count once. The two
    sides are alike: merge(base, a, b) == merge(base, b, a).
    """
    try:
        return Content(
            name=_either(base.name, ours.name, theirs.name),
            object=_either(base.object, ours.object, theirs.object),
            assist=_either(base.assist, ours.assist, theirs.assist),
            model=_either(base.model, ours.model, theirs.model),
            **_frames(base, ours, theirs),
        )
    except _Clash:
        return None


def _either(base: T, ours: T, theirs: T) -> T:
    """The value of the side that changed it."""
    if theirs in (base, ours):
        return ours
    if ours == base:
        return theirs
    raise _Clash


def _frames(base: Content, ours: Content, theirs: Content) -> dict[str, tuple]:
    """The merged clicks and hidden ranges: each stretch of frames between two borders of any side
    is merged as one, a click being a stretch of its own.
    """
    sides = (base, ours, theirs)
    clicks = [{click.frame: click for click in side.clicks} for side in sides]
    borders = {frame for side in sides for pair in side.hidden for frame in pair}
    borders |= {frame + more for side in clicks for frame in side for more in (0, 1)}
    ordered = sorted(borders)
    merged_clicks: list[Click] = []
    hidden: list[tuple[int, int]] = []
    for i, start in enumerate(ordered):
        click, covered = _either(
            *((clicks[side].get(start), _is_hidden(sides[side], start)) for side in range(3))
        )
        if click is not None:
            merged_clicks.append(click)
        if covered:  # so there is a later border, where it ends
            if hidden and hidden[-1][1] == start:
                start, _ = hidden.pop()
            hidden.append((start, ordered[i + 1]))
    return {"clicks": tuple(merged_clicks), "hidden": tuple(hidden)}


def _is_hidden(content: Content, frame: int) -> bool:
    at = bisect_right(content.hidden, frame, key=lambda pair: pair[0]) - 1
    return at >= 0 and frame < content.hidden[at][1]
