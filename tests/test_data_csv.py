"""CSV files with videos: rows of a video find it, long videos are split, cut ones are named."""

from __future__ import annotations

import logging
from pathlib import Path

import layouts
import numpy as np
import pytest

from tapnet import video
from tapnet.data import csv_tracks, open_dataset, track_rows

T, H, W = 6, 32, 48


def tracks(seed: int, length: int = T) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 1, (3, length, 2)), rng.uniform(size=(3, length)) < 0.4


def movie(path: Path, length: int = T) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    video.write(path, [np.full((H, W, 3), 20 * t, np.uint8) for t in range(length)], 10)
    return path


def test_every_video_has_the_tracks_of_its_rows(tmp_path: Path) -> None:
    labels = {"video_2": tracks(0), "a.b.mp4": tracks(1)}
    path = layouts.track_rows(
        tmp_path / "labels.csv", [((name,), *label) for name, label in labels.items()]
    )
    rows = path.read_text().splitlines()
    path.write_text("\r\n".join([rows[3], *rows[:3], "", *rows[4:]]))  # rows need no order
    movie(tmp_path / "video_2.mp4")
    movie(tmp_path / "videos" / "deeper" / "a.b.mp4")
    dataset = open_dataset(path)
    assert (dataset.kind, dataset.name) == ("csv", "labels")
    assert [file.name for file in dataset.files()] == ["labels.csv", "a.b.mp4", "video_2.mp4"]
    clips = {clip.name: clip for clip in dataset}
    assert set(clips) == set(labels)
    for name, (points, occluded) in labels.items():
        np.testing.assert_array_equal(clips[name].points, points)
        np.testing.assert_array_equal(clips[name].occluded, occluded)
        frames = clips[name].video()
        assert np.abs(frames.mean(axis=(1, 2, 3)) - 20 * np.arange(T)).max() < 4


def test_a_long_video_is_split_into_equal_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_tracks, "LONGEST", 4)
    points, occluded = tracks(0, 9)
    path = layouts.track_rows(tmp_path / "labels.csv", [(("v",), points, occluded)])
    movie(tmp_path / "v.mp4", 9)
    clips = list(open_dataset(path))
    assert [clip.name for clip in clips] == ["v-0", "v-1", "v-2"]
    assert [len(clip) for clip in clips] == [3, 3, 3]
    np.testing.assert_array_equal(np.concatenate([c.points for c in clips], axis=1), points)
    np.testing.assert_array_equal(np.concatenate([c.occluded for c in clips], axis=1), occluded)
    shown = [frame.mean() for clip in clips for frame in clip.images()]
    assert np.abs(np.array(shown) - 20 * np.arange(9)).max() < 4


@pytest.mark.parametrize("length", [T - 2, T + 2])
def test_tracks_and_video_of_other_lengths_are_cut_to_the_shorter(
    length: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = layouts.track_rows(tmp_path / "labels.csv", [(("v",), *tracks(0))])
    movie(tmp_path / "v.mp4", length)
    with caplog.at_level(logging.WARNING):
        (clip,) = open_dataset(path)
    assert len(clip) == clip.points.shape[1] == len(clip.video()) == min(length, T)
    assert f"v.mp4: {length} frames, but tracks of {T}" in caplog.text


def test_what_is_missing_damaged_or_no_track_is_named(tmp_path: Path) -> None:
    path = layouts.track_rows(tmp_path / "labels.csv", [(("v",), *tracks(0))])
    with pytest.raises(FileNotFoundError, match=r"labels\.csv: expected the video v\.mp4 in"):
        list(open_dataset(path))
    file = movie(tmp_path / "v.mp4")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "v.mp4").write_bytes(file.read_bytes())
    with pytest.raises(ValueError, match="expected one video named v, got"):
        list(open_dataset(path))
    (tmp_path / "copy" / "v.mp4").unlink()
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"v\.mp4: expected"):
        list(open_dataset(path))
    for text, message in (
        ("v,1,2,0\nv,1,2,0,1,2,0\n", r"the rows of v: expected tracks of one length, got \[1, 2\]"),
        ("v,1,2,0,1\n", "the rows of v: expected x, y, occluded for each frame, got 4"),
        ("v,1,none,0\n", "the rows of v: expected numbers, but"),
        ("v,1,2,0\nv\n", "row 2: expected 1 cells that name a video"),
        ("v,12,20,0\n", r"v: points: expected floats, shares of \(width, height\)"),
        ("v,nan,0.5,0\n", "v: points: expected floats"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"labels\.csv, {message}"):
            list(open_dataset(path, "csv"))


def test_only_the_rows_of_one_video_are_held(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text('"v",0.5,0.25,1\nw,1,0,0\nv,0.1,0.2,0\n')
    assert track_rows.rows_by_video(path) == {("v",): [0, 23], ("w",): [15]}
    points, occluded = track_rows.tracks(path, [0, 23])
    np.testing.assert_array_equal(points, [[[0.5, 0.25]], [[0.1, 0.2]]])
    np.testing.assert_array_equal(occluded, [[True], [False]])
