"""Tracks to files that our own readers and evaluator take, and from files to be corrected."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path as File
from typing import Any

import numpy as np
import pytest
from projects import FRAMES, HEIGHT, WIDTH, put_video

import tapnet
from tapnet.annotation.content import Click, Content, Path
from tapnet.annotation.paths import bent
from tapnet.annotation.project import Project, check_export
from tapnet.annotation.records import Track, Video
from tapnet.data import tapvid
from tapnet.evaluate import Predicted, evaluate, score_clip
from tapnet.tracks import Tracks
from tapnet.video import open as open_video

POINTS = 5


@pytest.fixture
def lone(tmp_path: File) -> Iterator[Project]:
    """A project on SQLite: what is tested here is the same on both."""
    put_video(tmp_path / "clip.mp4")
    project = Project.open(tmp_path)
    yield project
    project.close()


def wandering(seed: int, start: int = 0) -> Path:
    random = np.random.default_rng(seed)
    length = FRAMES - start
    xy = random.uniform(0, [WIDTH, HEIGHT], (length, 2)).astype(np.float32)
    visible = random.random(length) > 0.3
    visible[0] = True
    return Path(start, xy, visible, random.random(length).astype(np.float32))


def annotated(project: Project, name: str = "clip.mp4") -> tuple[Video, list[Track], list[Path]]:
    """A video with tracks whose paths are there; the last one begins at frame 4."""
    video, user = project.add_video(name), project.local_user()
    paths = [wandering(n, start=4 * (n == POINTS - 1)) for n in range(POINTS)]
    contents = [
        Content(clicks=(Click(path.start, *map(float, path.xy[0])),), assist="linear")
        for path in paths
    ]
    tracks = project.create_tracks(video.id, user, contents, f"new {name}")
    given = [(track.id, 1, path, True) for track, path in zip(tracks, paths, strict=True)]
    project.write_paths(video.id, given)
    return video, tracks, paths


# --------------------------------------------------------------------------- out


def test_a_pickle_is_read_back_by_our_reader_and_scored_by_our_evaluator(lone: Project) -> None:
    video, _, paths = annotated(lone)
    out = lone.export([video.id], "pkl", lone.folder / "set.pkl")
    assert check_export(out) == []
    (example,) = tapvid.examples(out)
    assert example.name == "clip"
    np.testing.assert_array_equal(example.video, open_video(video.path).read())
    np.testing.assert_allclose(example.target_points[0], paths[0].xy, rtol=1e-6)
    np.testing.assert_array_equal(~example.occluded[0], paths[0].visible)
    assert example.annotated is not None
    np.testing.assert_array_equal(example.annotated[-1], [0] * 4 + [1] * (FRAMES - 4))
    np.testing.assert_array_equal(example.query_points[-1, 0], 4)
    (row,) = evaluate(out, tapnet.load("still")).rows
    assert row.name == "clip"
    assert 0 <= row.scores["average_jaccard"] < 1
    with open(out, "rb") as file:  # as other readers do
        assert pickle.load(file)["clip"]["points"].shape == (POINTS, FRAMES, 2)


def test_truth_that_is_exported_scores_full_marks(lone: Project) -> None:
    """Predictions that are the exported labels themselves are judged as right."""
    video, _, _ = annotated(lone)
    (clip,) = tapvid.read(lone.export([video.id], "pkl", lone.folder / "set.pkl"))
    asked = clip.queries((HEIGHT, WIDTH))
    seen = ~asked.occluded
    said = Predicted(
        asked.query_points,
        asked.target_points.astype(np.float32),
        seen,
        seen.astype(np.float32),
        np.array([HEIGHT, WIDTH]),
    )
    scores = score_clip(clip, said, "first").scores
    assert scores["average_jaccard"] == 1
    assert scores["occlusion_accuracy"] == 1


def test_npz_and_csv_hold_the_same_tracks(lone: Project) -> None:
    video, tracks, paths = annotated(lone)
    npz = Tracks.load(lone.export([video.id], "npz", lone.folder / "a.npz"))
    csv = Tracks.load(lone.export([video.id], "csv", lone.folder / "a.csv"), (HEIGHT, WIDTH))
    for found in (npz, csv):
        np.testing.assert_array_equal(found.xy[1], paths[1].xy)
        np.testing.assert_array_equal(found.visible[1], paths[1].visible)
        np.testing.assert_array_equal(found.confidence[1], paths[1].confidence)
        assert not found.visible[-1, :4].any()
        assert not found.confidence[-1, :4].any()
    assert (npz.size, npz.fps, npz.start) == ((HEIGHT, WIDTH), 25, 0)
    click = tracks[-1].content.clicks[0]
    np.testing.assert_allclose(npz.query_points[-1], [4, click.y, click.x], rtol=1e-6)
    assert check_export(lone.folder / "a.npz") == []
    assert check_export(lone.folder / "a.csv", (HEIGHT, WIDTH)) == []


def test_several_videos_go_into_one_pickle_or_one_zip(lone: Project) -> None:
    put_video(lone.folder / "other.mp4")
    lone.add_video("other.mp4")
    annotated(lone)
    out = lone.export(None, "pkl", lone.folder / "a.pkl")
    assert [clip.name for clip in tapvid.read(out)] == ["clip"]  # the other one has no tracks yet
    annotated(lone, "other.mp4")
    names = [clip.name for clip in tapvid.read(lone.export(None, "pkl", lone.folder / "a.pkl"))]
    assert names == ["clip", "other"]
    out = lone.export(None, "npz", lone.folder / "a.zip")
    assert zipfile.ZipFile(out).namelist() == ["clip.mp4.npz", "other.mp4.npz"]
    assert check_export(out) == []


def test_places_outside_the_image_are_exported_as_invisible(lone: Project) -> None:
    video, tracks, _ = annotated(lone)
    xy = np.full((FRAMES, 2), 3, np.float32)
    xy[2] = -5
    seen, sure = np.ones(FRAMES, bool), np.ones(FRAMES, np.float32)
    lone.write_paths(video.id, [(tracks[0].id, 1, Path(0, xy, seen, sure), True)])
    found = Tracks.load(lone.export([video.id], "npz", lone.folder / "a.npz"))
    assert found.visible[0].tolist() == [t != 2 for t in range(FRAMES)]


def test_what_cannot_be_exported_is_told_and_leaves_no_file(lone: Project) -> None:
    video, user = lone.add_video("clip.mp4"), lone.local_user()
    with pytest.raises(ValueError, match="expected tracks to write, got none"):
        lone.export(None, "pkl", lone.folder / "a.pkl")
    content = Content(name="ear", clicks=(Click(0, 1.0, 1.0),))
    (track,) = lone.create_tracks(video.id, user, [content], "e1")
    for complete in (None, False):
        if complete is not None:
            lone.write_paths(video.id, [(track.id, 1, wandering(0), complete)])
        with pytest.raises(ValueError, match=r"1 of 1 tracks are not computed yet \(ear\)"):
            lone.export([video.id], "npz", lone.folder / "a.npz")
    lone.write_paths(video.id, [(track.id, 1, wandering(0), True)])
    with pytest.raises(ValueError, match="expected pkl, npz, csv, got 'txt'"):
        lone.export([video.id], "txt", lone.folder / "a.txt")
    with pytest.raises(ValueError, match=r"expected a name ending in \.npz"):
        lone.export([video.id], "npz", lone.folder / "a.csv")
    moved = replace(content, clicks=(Click(0, 2.0, 1.0),))
    lone.change_track(track.id, 1, moved, user, "e2")
    with pytest.raises(ValueError, match="not computed yet"):
        lone.export([video.id], "pkl", lone.folder / "a.pkl")
    assert sorted(path.name for path in lone.folder.iterdir()) == [".tapnet", "clip.mp4"]


def broken(**changes: Any) -> dict[str, Any]:
    points = np.full((3, 4, 2), 0.5)
    return {
        "video": np.zeros((4, 6, 8, 3), np.uint8),
        "points": points,
        "occluded": np.zeros((3, 4), bool),
    } | changes


def test_a_check_finds_what_is_wrong(tmp_path: File) -> None:
    def problems(**changes: Any) -> list[str]:
        (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": broken(**changes)}))
        return check_export(tmp_path / "a.pkl")

    assert problems() == []
    hidden = np.zeros((3, 4), bool)
    hidden[1] = True
    assert problems(occluded=hidden) == ["clip 'a': point 1: never visible"]
    outside = np.full((3, 4, 2), 0.5)
    outside[0, 2], outside[2, 1] = 1.2, -0.1
    assert problems(points=outside) == ["clip 'a': points 0, 2: outside the image though visible"]
    missing = np.full((3, 4, 2), 0.5)
    missing[0, 1] = np.nan
    assert "not finite" in " ".join(problems(points=missing, occluded=np.isnan(missing[..., 0])))
    (text,) = problems(points=np.zeros((3, 5, 2)))
    assert "points: expected [N 4 2], got [3, 5, 2]" in text
    (text,) = problems(video=[b"\xff\xd8 no image"] * 4)
    assert "frame 0" in text
    assert problems(points=np.zeros((0, 4, 2)), occluded=np.zeros((0, 4))) == [
        "clip 'a' has no points"
    ]
    (tmp_path / "a.pkl").write_bytes(b"cut")
    assert "not a readable pickle" in check_export(tmp_path / "a.pkl")[0]


# --------------------------------------------------------------------------- in


@pytest.mark.parametrize("kind", ["pkl", "npz", "csv"])
def test_what_was_exported_is_imported_as_it_was(project: Project, kind: str) -> None:
    video, _, paths = annotated(project)
    out = project.export([video.id], kind, project.folder / f"a.{kind}")
    made = project.import_tracks(video.id, out, project.local_user())
    assert len(made) == POINTS
    stored = project.paths(video.id, [track.id for track in made])
    for track, path in zip(made, paths, strict=True):
        assert track.content.assist == "imported"
        (click,) = track.content.clicks
        found = stored[track.id]
        assert (found.version, found.complete) == (1, True)
        np.testing.assert_allclose(found.path.xy[path.start :], path.xy, rtol=1e-6)
        np.testing.assert_array_equal(found.path.visible[path.start :], path.visible)
        assert not found.path.visible[: path.start].any()
        assert click.frame == path.start
        np.testing.assert_allclose([click.x, click.y], path.xy[0], rtol=1e-6)
    assert [edit.kind for edit in project.history(made[0].id)] == ["import"]


def test_an_imported_track_is_bent_through_the_clicks_at_once(project: Project) -> None:
    video, user = project.add_video("clip.mp4"), project.local_user()
    xy = np.stack([np.full((FRAMES, 2), 10), np.full((FRAMES, 2), 20)]).astype(np.float32)
    seen, sure = np.ones((2, FRAMES), bool), np.full((2, FRAMES), 0.25, np.float32)
    asked = np.array([[0, 10, 10], [0, 20, 20]], np.float32)
    Tracks(asked, xy, seen, sure, (HEIGHT, WIDTH)).save(project.folder / "a.npz")
    track, _ = project.import_tracks(video.id, project.folder / "a.npz", user)
    clicks = (*track.content.clicks, Click(10, 14.0, 8.0))
    corrected = replace(track.content, clicks=clicks, hidden=((12, 15),))
    project.change_track(track.id, 1, corrected, user, "e1")
    found = project.paths(video.id)[track.id]
    assert (found.version, found.complete) == (2, True)
    np.testing.assert_allclose(found.path.xy[[0, 5, 10, 19]], [[10, 10], [12, 9], [14, 8], [14, 8]])
    np.testing.assert_array_equal(np.flatnonzero(~found.path.visible), [12, 13, 14])
    assert found.path.confidence[10] == 1
    assert found.path.confidence[9] == 0.25
    events = [event.kind for event in project.events(0)][-2:]
    assert sorted(events) == ["path", "track"]
    linear = project.change_track(track.id, 2, replace(corrected, assist="linear"), user, "e2")
    assert project.paths(video.id)[track.id].version == 2  # a worker makes the next one
    project.change_track(track.id, linear.version, corrected, user, "e3")
    assert project.paths(video.id)[track.id].version == 4


def test_bending_follows_the_clicks_and_leaves_the_rest_as_it_was() -> None:
    path = wandering(0)
    same = bent(path, Content(clicks=(Click(3, *map(float, path.xy[3])),)))
    np.testing.assert_array_equal(same.xy, path.xy)
    np.testing.assert_array_equal(same.confidence, path.confidence)
    clicks = (Click(2, 1.0, 1.0), Click(6, 5.0, 9.0))
    moved = bent(path, Content(clicks=clicks)).xy - path.xy
    np.testing.assert_allclose(moved[4], (moved[2] + moved[6]) / 2, rtol=1e-5)
    np.testing.assert_allclose(moved[:2], [moved[2]] * 2, rtol=1e-5)
    np.testing.assert_allclose(bent(path, Content(clicks=clicks)).xy[6], [5, 9], rtol=1e-6)


def test_predictions_of_the_video_in_another_size_are_scaled(lone: Project) -> None:
    video = lone.add_video("clip.mp4")
    xy = np.tile(np.array([128, 64], np.float32), (1, FRAMES, 1))
    seen, sure = np.ones((1, FRAMES), bool), np.ones((1, FRAMES), np.float32)
    asked = np.array([[7, 64, 128]], np.float32)
    Tracks(asked, xy, seen, sure, (256, 256)).save(lone.folder / "a.npz")
    (track,) = lone.import_tracks(video.id, lone.folder / "a.npz", lone.local_user())
    assert track.content.clicks == (Click(7, WIDTH / 2, HEIGHT / 4),)


def test_a_point_that_is_never_seen_comes_without_a_click(lone: Project) -> None:
    video = lone.add_video("clip.mp4")
    xy, sure = np.ones((1, FRAMES, 2), np.float32), np.ones((1, FRAMES), np.float32)
    unseen = Tracks(np.zeros((1, 3), np.float32), xy, sure < 0, sure, (HEIGHT, WIDTH))
    unseen.save(lone.folder / "a.npz")
    (track,) = lone.import_tracks(video.id, lone.folder / "a.npz", lone.local_user())
    assert track.content.clicks == ()
    assert track.content.hidden == ((0, FRAMES),)


def test_the_clip_of_the_videos_name_is_taken_from_a_benchmark(lone: Project) -> None:
    video, user = lone.add_video("clip.mp4"), lone.local_user()

    def labelled(count: int) -> dict[str, Any]:
        points = np.full((count, FRAMES, 2), 0.5)
        frames = np.zeros((FRAMES, 4, 4, 3), np.uint8)
        return {"video": frames, "points": points, "occluded": np.zeros((count, FRAMES), bool)}

    (lone.folder / "a.pkl").write_bytes(pickle.dumps({"clip": labelled(2), "b": labelled(3)}))
    assert len(lone.import_tracks(video.id, lone.folder / "a.pkl", user)) == 2
    (lone.folder / "a.pkl").write_bytes(pickle.dumps({"x": labelled(2), "b": labelled(3)}))
    with pytest.raises(ValueError, match="expected a clip named 'clip', got 2 clips: x, b"):
        lone.import_tracks(video.id, lone.folder / "a.pkl", user)


def test_what_cannot_be_imported_is_told_and_leaves_no_track(lone: Project) -> None:
    video, user = lone.add_video("clip.mp4"), lone.local_user()

    class Evil:
        def __reduce__(self) -> tuple:
            return (print, ("run",))

    def tracks(length: int, value: float = 1.0) -> Tracks:
        xy = np.full((1, length, 2), value, np.float32)
        sure = np.ones((1, length), np.float32)
        return Tracks(np.zeros((1, 3), np.float32), xy, sure > 0, sure, (HEIGHT, WIDTH))

    (lone.folder / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    tracks(FRAMES + 1).save(lone.folder / "long.npz")
    tracks(FRAMES, np.nan).save(lone.folder / "nan.npz")
    (lone.folder / "bad.npz").write_bytes(b"PK no zip")
    (lone.folder / "bad.csv").write_text("a,b\n1,2\n")
    for name, message in {
        "evil.pkl": "only numpy arrays and plain containers",
        "long.npz": "expected tracks of 20 frames or fewer",
        "nan.npz": "expected finite positions",
        "bad.npz": "not a tapnet tracks file",
        "bad.csv": "expected the columns frame,point,x,y",
        "other.txt": r"expected a name ending in \.npz, \.csv or \.pkl",
    }.items():
        with pytest.raises(ValueError, match=message):
            lone.import_tracks(video.id, lone.folder / name, user)
    with pytest.raises(FileNotFoundError):
        lone.import_tracks(video.id, lone.folder / "absent.npz", user)
    assert lone.tracks(video.id) == []
