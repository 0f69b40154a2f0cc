"""Passes over a video, how far they are apart, and what tracks cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from projects import FRAMES

from tapnet.annotation import quality
from tapnet.annotation.content import Click, Content, Path
from tapnet.annotation.project import Project
from tapnet.annotation.quality import Work


def path(x: list[float], visible: list[int] | None = None, start: int = 0) -> Path:
    seen = np.array(visible if visible is not None else [1] * len(x), bool)
    xy = np.stack([np.array(x), np.zeros(len(x))], axis=1).astype(np.float32)
    return Path(start, xy, seen, np.ones(len(x), np.float32))


def clicked(**frames: float) -> Content:
    """A content of clicks such as f3=1.5."""
    clicks = (Click(int(name[1:]), x, 0.0) for name, x in frames.items())
    return Content(clicks=tuple(clicks), assist="linear")


# --------------------------------------------------------------------------- figures


def test_paths_are_compared_where_both_are() -> None:
    part = quality.apart(path([0, 0, 0, 0]), path([5, 3, 9], [1, 1, 0], start=2))
    np.testing.assert_array_equal(part.frames, [2, 3])
    np.testing.assert_array_equal(part.distance, [5, 3])
    nowhere = quality.apart(path([0, 0]), path([1], start=5))
    assert len(nowhere.frames) == 0
    assert quality.figures([nowhere]) == {
        "median": None,
        "maximum": None,
        "within": {},
        "visibility": None,
    }


def test_figures_are_of_frames_that_both_see() -> None:
    part = quality.apart(path([0] * 6), path([0.5, 1, 3, 6, 50, 9], [1, 1, 1, 1, 0, 1]))
    found = quality.figures([part])
    assert found["median"] == 3  # of 0.5 1 3 6 9
    assert found["maximum"] == 9
    assert found["within"] == {1: 2 / 5, 2: 2 / 5, 4: 3 / 5, 8: 4 / 5}
    assert found["visibility"] == 5 / 6
    assert quality.disagreement(part) == ((3, 6),)  # 6 px, unseen, 9 px


def test_neither_seeing_the_point_is_agreement() -> None:
    part = quality.apart(path([0, 0, 0], [0, 1, 0]), path([99, 0, 99], [0, 1, 1]))
    assert quality.figures([part])["visibility"] == 2 / 3
    assert quality.disagreement(part) == ((2, 3),)


def test_drift_grows_away_from_the_click() -> None:
    part = quality.apart(path([0.0] * 40), path([abs(f - 20) / 10 for f in range(40)]))
    found = quality.drift([(20, part)])
    assert [stretch["frames"] for stretch in found] == [[0, 1], [1, 8], [8, 16], [16, 32]]
    assert [stretch["px"] for stretch in found] == pytest.approx([0, 0.4, 1.15, 1.8], abs=0.06)
    assert quality.drift([]) == []


def test_straight_lines_go_from_click_to_click() -> None:
    content = Content(clicks=(Click(2, 0.0, 8.0), Click(6, 4.0, 0.0)), hidden=((3, 5),))
    line = quality.straight(content)
    assert line.start == 2
    np.testing.assert_array_equal(line.xy, [[0, 8], [1, 6], [2, 4], [3, 2], [4, 0]])
    np.testing.assert_array_equal(line.visible, [1, 0, 0, 1, 1])
    assert len(quality.straight(Content())) == 0


def test_time_between_edits_counts_up_to_a_pause() -> None:
    one, two, three = clicked(f0=1), clicked(f0=1, f5=2), clicked(f0=1, f5=3)
    work = [
        Work(1, 1, "ada", 100.0, one),
        Work(1, 1, "ada", 104.0, two),
        Work(2, 1, "bob", 105.0, one),  # the first of bob: nothing before it
        Work(2, 1, "ada", 110.0, two),  # ada moved on to track 2
        Work(1, 1, "ada", 500.0, three),  # after a break
        Work(9, 2, "ada", 501.0, one),  # another video: nothing before it
    ]
    found = quality.effort(work)
    assert found["clicks"] == {1: 3, 2: 2, 9: 1}  # a moved click is a click
    assert found["seconds"] == {1: 4 + 30, 2: 6, 9: 0}
    assert found["annotators"] == [
        {"user": "ada", "tracks": 3, "clicks": 5, "seconds": 40},
        {"user": "bob", "tracks": 1, "clicks": 1, "seconds": 0},
    ]


def test_what_was_imported_cost_nothing() -> None:
    came, corrected = clicked(f0=1), clicked(f0=1, f5=2)
    work = [Work(1, 1, "ada", 0.0, came, by_hand=False), Work(1, 1, "ada", 9.0, corrected)]
    found = quality.effort(work)
    assert (found["clicks"], found["seconds"]) == ({1: 1}, {1: 0})


# --------------------------------------------------------------------------- passes


def a_path(x: float, hidden: slice = slice(0, 0)) -> Path:
    visible = np.ones(FRAMES, bool)
    visible[hidden] = False
    return Path(0, np.full((FRAMES, 2), x, np.float32), visible, np.ones(FRAMES, np.float32))


def people(project: Project) -> dict[str, Any]:
    roles = {"ada": "annotator", "bob": "annotator", "eve": "reviewer"}
    return {name: project.add_user(name, "correct horse", role) for name, role in roles.items()}


def test_two_passes_are_assigned_compared_and_agreed_on(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), people(project)
    first = project.assign(video.id, user["ada"].id, "annotate", user["eve"])
    assert (first.state, first.user, first.video) == ("open", "ada", "clip.mp4")
    assert project.tasks(user["ada"].id) == [first]
    one, two = project.create_tracks(video.id, user["ada"], [clicked(f0=1), clicked(f0=2)], "e1")
    project.write_paths(video.id, [(one.id, 1, a_path(10), True), (two.id, 1, a_path(20), True)])
    assert project.submit(first.id, user["ada"]).state == "submitted"
    assert {track.stage for track in project.tracks(video.id)} == {"refine"}
    assert project.compare(video.id) == []  # nobody has looked at it again yet

    second = project.assign(video.id, user["bob"].id, "refine", user["eve"])
    project.change_track(one.id, 1, clicked(f0=1, f9=13), user["bob"], "e2")
    moved = a_path(13, hidden=slice(0, 5))
    project.write_paths(video.id, [(one.id, 2, moved, True)])
    project.submit(second.id, user["bob"])
    found = project.compare(video.id)
    assert [difference.track_id for difference in found] == [one.id, two.id]
    changed, same = found
    assert (changed.first.user, changed.first.version) == ("ada", 1)
    assert (changed.second.user, changed.second.version) == ("bob", 2)
    assert changed.first.computed
    assert changed.median == changed.maximum == pytest.approx(3 * 2**0.5)
    assert changed.within == {1: 0, 2: 0, 4: 0, 8: 1}
    assert changed.visibility == 15 / 20
    assert changed.frames == ((0, FRAMES),)  # 4.2 px where both see it
    assert (same.median, same.frames, same.agreed) == (0, (), False)

    agreed = project.agree(one.id, 2, user["eve"], "e3")
    assert (agreed.stage, agreed.version) == ("agreed", 3)
    assert project.paths(video.id)[one.id].version == 3
    again = project.compare(video.id)[0]
    assert again.agreed
    assert (again.first, again.second) == (changed.first, changed.second)
    edited = project.change_track(one.id, 3, clicked(f0=1), user["bob"], "e4")
    assert edited.stage == "refine"
    stages = [edit.stage for edit in project.history(one.id)]
    assert stages == ["annotate", "refine", "agreed", "refine"]


def test_a_path_that_is_missing_is_replaced_by_straight_lines(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), people(project)
    (track,) = project.create_tracks(video.id, user["ada"], [clicked(f0=0, f10=10)], "e1")
    project.assign(video.id, user["bob"].id, "refine", user["eve"])  # ends the first pass
    project.change_track(track.id, 1, clicked(f0=0, f10=14), user["bob"], "e2")
    (found,) = project.compare(video.id)
    assert not found.first.computed
    assert found.median == 2
    assert found.maximum == 4


def test_work_that_is_sent_back_is_open_again(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), people(project)
    task = project.assign(video.id, user["ada"].id, "annotate", user["eve"])
    (track,) = project.create_tracks(video.id, user["ada"], [clicked(f0=1)], "e1")
    project.submit(task.id, user["ada"])
    back = project.send_back(task.id, user["eve"], "the ear is missing")
    assert (back.state, back.note) == ("returned", "the ear is missing")
    assert project.track(track.id).stage == "annotate"
    assert project.submit(task.id, user["ada"]).note == ""
    assert project.track(track.id).stage == "refine"
    with pytest.raises(PermissionError, match="takes a reviewer"):
        project.send_back(task.id, user["bob"], "")
    with pytest.raises(PermissionError, match=f"task {task.id} is ada's"):
        project.submit(task.id, user["bob"])
    with pytest.raises(ValueError, match="annotate, refine, review, got 'sleep'"):
        project.assign(video.id, user["ada"].id, "sleep")
    with pytest.raises(KeyError, match="no task 999"):
        project.submit(999, user["ada"])


def test_the_first_pass_lasts_until_all_who_make_it_are_done(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), people(project)
    tasks = [project.assign(video.id, user[name].id, "annotate") for name in ("ada", "bob")]
    (track,) = project.create_tracks(video.id, user["ada"], [clicked(f0=1)], "e1")
    project.submit(tasks[0].id, user["ada"])
    assert project.track(track.id).stage == "annotate"
    project.submit(tasks[1].id, user["bob"])
    assert project.track(track.id).stage == "refine"


def test_quality_tells_cost_and_agreement(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), people(project)
    assert project.quality()["tracks"] == 0
    assert project.quality(video.id)["agreement_px"] is None
    (track,) = project.create_tracks(video.id, user["ada"], [clicked(f0=0)], "e1")
    project.write_paths(video.id, [(track.id, 1, a_path(0), True)])
    project.assign(video.id, user["bob"].id, "refine", user["eve"])
    project.change_track(track.id, 1, clicked(f0=0, f9=3), user["bob"], "e2")
    project.write_paths(video.id, [(track.id, 2, a_path(1), True)])
    found = project.quality(video.id)
    assert found == project.quality()
    assert (found["tracks"], found["clicks"], found["clicks_per_track"]) == (1, 2, 2)
    assert found["compared"] == 1
    assert found["agreement_px"] == found["drift_px"] == pytest.approx(2**0.5)
    assert found["within"] == {"1": 0, "2": 1, "4": 1, "8": 1}
    assert found["visible_agreement"] == 1
    assert [person["user"] for person in found["annotators"]] == ["ada", "bob"]
