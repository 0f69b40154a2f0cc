"""What a person made of a track: checked, written and read back, and merged with another's."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapnet.annotation.content import MAX_CLICKS, Click, Content, Path
from tapnet.annotation.merge import merge

GOOD = {
    "name": "left eye",
    "object": "person 1",
    "clicks": [{"frame": 3, "x": 10.5, "y": 20.25}, {"frame": 7, "x": 11, "y": 21.0}],
    "hidden": [[5, 6], [8, 12]],
    "assist": "flow",
    "model": "taplite",
}
LENGTH = 8  # frames of the contents that are merged


def test_json_comes_back_as_it_was() -> None:
    content = Content.from_json(json.loads(json.dumps(GOOD)))
    assert content.to_json() == GOOD
    assert Content.from_json(content.to_json()) == content
    assert Content.from_json({}) == Content()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clicks": 3}, "clicks: expected a list, got 3"),
        ({"clicks": [3]}, "a click: expected an object with frame, x, y, got 3"),
        ({"clicks": [{"frame": 1, "x": 2}]}, "but y is missing"),
        ({"clicks": [{"frame": 1, "x": 2, "y": 3, "z": 4}]}, "got also 'z'"),
        ({"clicks": [{"frame": 1.5, "x": 2, "y": 3}]}, r"whole number, 0\.\.10000000, got 1\.5"),
        ({"clicks": [{"frame": True, "x": 2, "y": 3}]}, "whole number"),
        ({"clicks": [{"frame": -1, "x": 2, "y": 3}]}, "whole number"),
        ({"clicks": [{"frame": 1, "x": math.nan, "y": 3}]}, "a finite number of pixels.* got nan"),
        ({"clicks": [{"frame": 1, "x": 2, "y": math.inf}]}, "click's y on frame 1.* got inf"),
        ({"clicks": [{"frame": 1, "x": "2", "y": 3}]}, "finite number"),
        ({"clicks": [{"frame": 1, "x": 1e9, "y": 3}]}, "65536 at most"),
        ({"clicks": [{"frame": 1, "x": 10**400, "y": 3}]}, "finite number"),
        ({"clicks": [{"frame": f, "x": 2, "y": 3} for f in (4, 2)]}, "got frame 2 after frame 4"),
        ({"clicks": [{"frame": f, "x": 2, "y": 3} for f in (2, 2)]}, "one a frame at most"),
        ({"clicks": [{}] * (MAX_CLICKS + 1)}, f"expected {MAX_CLICKS} at most"),
        ({"hidden": [[1]]}, r"pairs \[start, end\], got \[1\]"),
        ({"hidden": [[5, 5]]}, "start < end"),
        ({"hidden": [[1, 5], [4, 8]]}, "disjoint, got \\[4, 8\\] after frame 5"),
        ({"hidden": [["a", 5]]}, "whole number"),
        ({"assist": "magic"}, "expected tracker, flow, linear, imported, got 'magic'"),
        ({"assist": ["tracker"]}, "assist: expected"),
        ({"name": "a\nb"}, "name: expected one line"),
        ({"name": "x" * 201}, "200 characters at most"),
        ({"model": None}, "model: expected one line of text"),
        ({"colour": "red"}, "got also 'colour'"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Content.from_json(GOOD | change)


@pytest.mark.parametrize("value", [None, 3, "text", []])
def test_a_content_is_an_object(value: Any) -> None:
    with pytest.raises(ValueError, match="expected an object with name, object, clicks"):
        Content.from_json(value)


def test_clicks_and_hidden_frames_lie_within_the_video() -> None:
    content = Content.from_json(GOOD)
    content.check_within(frames=12, width=11, height=21)  # on the border is inside
    with pytest.raises(ValueError, match=r"expected 0\.\.6, the frames of the video, got 7"):
        content.check_within(frames=7, width=64, height=48)
    with pytest.raises(ValueError, match=r"x in 0\.\.10 and y in 0\.\.48"):
        content.check_within(frames=12, width=10, height=48)
    with pytest.raises(ValueError, match=r"end at 11, the length of the video"):
        content.check_within(frames=11, width=64, height=48)


def test_hidden_ranges_are_half_open_and_counted_from_the_start_of_the_part() -> None:
    content = Content(hidden=((2, 4), (7, 9)))
    np.testing.assert_array_equal(content.visible(0, 5), [1, 1, 0, 0, 1])
    np.testing.assert_array_equal(content.visible(3, 9), [0, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(content.visible(9, 9), [])


def test_the_arrays_of_a_path_have_one_length() -> None:
    with pytest.raises(ValueError, match="visible: expected"):
        Path(0, np.zeros((3, 2), np.float32), np.zeros(2, bool), np.zeros(3, np.float32))


# --------------------------------------------------------------------------- merging


def clicked(*frames: int, **more: Any) -> Content:
    return Content(clicks=tuple(Click(f, f + 0.5, 1.0) for f in frames), **more)


def test_changes_of_different_frames_stand_side_by_side() -> None:
    base = clicked(1, 5)
    ours = clicked(1, 3, 5, name="ear")
    theirs = clicked(5, 7, hidden=((9, 12),))  # also took away the click of frame 1
    assert merge(base, ours, theirs) == clicked(3, 5, 7, name="ear", hidden=((9, 12),))


def test_different_changes_of_one_frame_or_word_cannot_be_merged() -> None:
    base = clicked(1, 5)
    moved = Content(clicks=(Click(1, 9.0, 9.0), Click(5, 5.5, 1.0)))
    moved_elsewhere = Content(clicks=(Click(1, 8.0, 8.0), Click(5, 5.5, 1.0)))
    assert merge(base, moved, moved_elsewhere) is None
    assert merge(base, moved, clicked(5)) is None  # moved here, taken away there
    assert merge(base, clicked(1, 5, 7), clicked(1, 5, hidden=((6, 9),))) is None
    assert merge(base, clicked(1, 5, name="a"), clicked(1, 5, name="b")) is None
    assert merge(base, moved, moved) == moved


def test_hidden_marks_are_merged_frame_by_frame() -> None:
    base = Content(hidden=((10, 20),))
    longer, split = Content(hidden=((10, 25),)), Content(hidden=((10, 12), (15, 20)))
    assert merge(base, longer, split) == Content(hidden=((10, 12), (15, 25)))


@st.composite
def contents(draw: st.DrawFn) -> Content:
    frames = st.integers(0, LENGTH - 1)
    clicks = draw(st.dictionaries(frames, st.sampled_from([1.0, 2.0]), max_size=3))
    marks = draw(st.lists(st.booleans(), min_size=LENGTH, max_size=LENGTH))
    return Content(
        name=draw(st.sampled_from(["", "a", "b"])),
        clicks=tuple(Click(f, x, 0.0) for f, x in sorted(clicks.items())),
        hidden=ranges(marks),
    )


def ranges(marks: list[bool]) -> tuple[tuple[int, int], ...]:
    edges = [f for f in range(LENGTH + 1) if ([*marks, False][f]) != ([False, *marks][f])]
    return tuple(zip(edges[::2], edges[1::2], strict=True))


def frame_by_frame(base: Content, ours: Content, theirs: Content) -> Content | None:
    """What `merge` should give, the long way."""

    def state(content: Content, frame: int) -> tuple:
        click = next((click for click in content.clicks if click.frame == frame), None)
        return click, not content.visible(frame, frame + 1)[0]

    def pick(old: Any, mine: Any, other: Any) -> Any:
        changed = {value for value in (mine, other) if value != old}
        if len(changed) > 1:
            raise LookupError
        return changed.pop() if changed else old

    try:
        states = [pick(*(state(c, f) for c in (base, ours, theirs))) for f in range(LENGTH)]
        name = pick(base.name, ours.name, theirs.name)
    except LookupError:
        return None
    clicks = tuple(click for click, _ in states if click is not None)
    return Content(name=name, clicks=clicks, hidden=ranges([hidden for _, hidden in states]))


@settings(max_examples=200, deadline=None)
@given(contents(), contents(), contents())
def test_merging_by_stretches_equals_merging_frame_by_frame(
    base: Content, ours: Content, theirs: Content
) -> None:
    assert merge(base, ours, theirs) == frame_by_frame(base, ours, theirs)
    assert merge(base, ours, theirs) == merge(base, theirs, ours)
    assert merge(base, ours, base) == ours


def test_assist_and_model_are_words_too() -> None:
    base = clicked(1)
    ours, theirs = replace(base, assist="flow"), replace(base, model="klt")
    assert merge(base, ours, theirs) == replace(base, assist="flow", model="klt")
