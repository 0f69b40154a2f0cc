"""Rendered clips are evaluated on the queries that they say themselves."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from test_kubric import encode, from_above, movi, turning, write

import tapnet
from tapnet.data import open_dataset, shards
from tapnet.evaluate import evaluate
from tapnet.structs import Example


def test_movi_is_asked_about_its_own_points_the_same_every_time(tmp_path: Path) -> None:
    records = [encode(movi(scene)) for scene in (from_above(), turning(), turning())]
    (tmp_path / "1.0.0").mkdir()
    write(tmp_path / "1.0.0" / "movi_e-validation.tfrecord-00000-of-00001", records)
    write(tmp_path / "1.0.0" / "movi_e-train.tfrecord-00000-of-00001", records)
    dataset = open_dataset(tmp_path)
    assert dataset.kind == "movi"
    assert len(dataset.files()) == 1
    clips, again = list(dataset), list(dataset)
    assert len({clip.name for clip in clips}) == 3
    for clip, same in zip(clips, again, strict=True):
        asked = clip.queries((256, 256), "strided")
        assert asked.query_points.shape == (256, 3)
        assert len(np.unique(asked.query_points[:, 0])) > 1
        np.testing.assert_array_equal(asked.query_points, same.queries((256, 256)).query_points)
        np.testing.assert_array_equal(asked.trackgroup, np.arange(256))
        t = asked.query_points[:, 0].astype(int)
        at_query = asked.target_points[np.arange(256), t]
        distance = np.linalg.norm(at_query - asked.query_points[:, :0:-1], axis=-1)
        assert np.median(distance) < 0.5


def test_rendered_clips_come_back_with_their_queries(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    example = Example(
        "train-0-000000",
        rng.integers(0, 256, (3, 20, 30, 3), np.uint8),
        np.array([[2, 5.5, 7.25], [0, 19, 29]]),
        rng.uniform(0, 20, (2, 3, 2)),
        rng.uniform(size=(2, 3)) < 0.5,
    )
    with tarfile.open(tmp_path / "clips-00000.tar", "w") as tar:
        shards.add(tar, shards.encode("clip-000000", example, {}))
    dataset = open_dataset(tmp_path)
    assert dataset.kind == "scenes"
    assert dataset.files() == [tmp_path / "clips-00000.tar"]
    (clip,) = dataset
    asked = clip.queries((20, 30))
    for name in ("query_points", "target_points", "occluded"):
        np.testing.assert_allclose(getattr(asked, name), getattr(example, name), rtol=1e-12)
    assert clip.name == example.name
    assert np.abs(clip.video().astype(int) - example.video).mean() < 20
    for mode, judged in (("first", "after their frame"), ("strided", "on all others")):
        protocol = evaluate(tmp_path, tapnet.load("still"), query_mode=mode).protocol
        assert protocol.conditions()["queries"].startswith(f"those of the set, judged {judged}; ")
    with pytest.raises(FileNotFoundError, match=r"expected files named like movi_e-validation"):
        list(open_dataset(tmp_path, "movi"))


def test_two_clips_of_one_name_are_not_judged_by_one_prediction(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(2):
        video = rng.integers(0, 256, (3, 20, 30, 3), np.uint8)
        tracks = rng.uniform(0, 20, (1, 3, 2))
        example = Example("train-0-000000", video, np.zeros((1, 3)), tracks, np.zeros((1, 3), bool))
        with tarfile.open(tmp_path / f"clips-0000{number}.tar", "w") as tar:
            shards.add(tar, shards.encode("clip-000000", example, {}))
    with pytest.raises(ValueError, match="expected clips whose names differ, got two of the name"):
        evaluate(tmp_path, tapnet.load("still"))


@pytest.mark.parametrize("t", [np.nan, -1, 3])
def test_queries_that_are_none_of_the_clip_are_named(tmp_path: Path, t: float) -> None:
    video, hidden = np.zeros((3, 20, 30, 3), np.uint8), np.zeros((1, 3), bool)
    example = Example("a", video, np.array([[t, 5, 5]]), np.ones((1, 3, 2)), hidden)
    with tarfile.open(tmp_path / "clips-00000.tar", "w") as tar:
        shards.add(tar, shards.encode("clip-000000", example, {}))
    with pytest.raises(ValueError, match=r"query_points: expected numbers, t in 0\.\.2, got \["):
        list(open_dataset(tmp_path))
