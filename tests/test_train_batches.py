"""Batches: which clips a step shows depends on the seed and the step, and on nothing else."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import training

from tapnet.data import shards
from tapnet.data.augment import Augment
from tapnet.data.batches import Batch, batches, stack
from tapnet.data.sources import ShardClips
from tapnet.structs import Example

ALL_ON = Augment(size=(24, 28), frames=3, points=4, view=1.0, erase=1.0, late_query=0.5)


class Counted:
    """Clip i shows the number i."""

    def example(self, index: int) -> Example:
        example = training.moving(0)
        return replace(example, query_points=np.full_like(example.query_points, index))


class Failing(Counted):
    def example(self, index: int) -> Example:
        if index >= 4:
            raise ValueError(f"clips-00007.tar: clip {index} is damaged")
        return super().example(index)


def shown(stream: Iterator[Batch], count: int) -> list[list[int]]:
    """Numbers of the clips in each batch."""
    taken = itertools.islice(stream, count)
    return [batch.query_points[:, 0, 0].int().tolist() for batch in taken]


def test_a_step_shows_the_clips_after_those_of_the_step_before() -> None:
    assert shown(batches(Counted(), 3), 3) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert shown(batches(Counted(), 3, start=5), 2) == [[15, 16, 17], [18, 19, 20]]


@pytest.mark.parametrize(("world", "parts"), [(1, 4), (2, 1), (2, 2), (4, 1)])
def test_processes_and_parts_share_the_clips_of_a_step(world: int, parts: int) -> None:
    streams = [
        shown(batches(Counted(), 4, start=7, rank=rank, world=world, parts=parts), 2 * parts)
        for rank in range(world)
    ]
    for step in range(2):
        mine = slice(step * parts, (step + 1) * parts)
        clips = [clip for stream in streams for batch in stream[mine] for clip in batch]
        assert sorted(clips) == list(range((7 + step) * 4, (8 + step) * 4))


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_that_prepare_clips_change_nothing(workers: int, tmp_path: Path) -> None:
    clips = ShardClips([training.write_shards(tmp_path)], seed=3)
    options: dict[str, Any] = {"augmentation": ALL_ON, "seed": 3}
    alone = itertools.islice(batches(clips, 2, **options), 4)
    together = itertools.islice(batches(clips, 2, workers=workers, **options), 4)
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in vars(a))


def test_threads_of_opencv_do_not_stop_the_processes() -> None:
    def too_late(*_: object) -> None:
        raise TimeoutError("the processes wait for threads that they do not have")

    cv2.setNumThreads(4)
    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(60)
    try:
        cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (0, 0), 5)  # starts the threads
        stream = batches(Counted(), 1, augmentation=ALL_ON, workers=1)
        assert next(stream).video.shape == (1, 3, 24, 28, 3)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_a_clip_is_changed_by_the_seed_and_its_number_alone() -> None:
    def first(seed: int, start: int = 0) -> Batch:
        return next(batches(Counted(), 1, augmentation=ALL_ON, seed=seed, start=start))

    assert first(0).video.shape == (1, 3, 24, 28, 3)
    assert first(0).target_points.shape == (1, 4, 3, 2)
    assert same(first(0), first(0))
    assert not torch.equal(first(0).video, first(1).video)
    assert not torch.equal(first(0).video, first(0, start=1).video)


def test_a_clip_that_cannot_be_augmented_is_replaced() -> None:
    class Unseen(Counted):
        def example(self, index: int) -> Example:
            example = super().example(index)
            hidden = np.full_like(example.occluded, index == 1)
            return replace(example, occluded=hidden)

    one, two, three = itertools.islice(batches(Unseen(), 1, augmentation=ALL_ON), 3)
    assert not two.occluded.all()
    assert not same(one, two)
    assert not same(two, three)
    assert same(two, next(batches(Unseen(), 1, augmentation=ALL_ON, start=1)))


def test_clips_too_short_for_the_augmentation_are_told() -> None:
    long = replace(ALL_ON, frames=9)
    with pytest.raises(ValueError, match="expected clips of 9 frames or more, got one of 4"):
        next(batches(Counted(), 1, augmentation=long))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file_is_named_after_the_batches_before_it(workers: int) -> None:
    stream = batches(Failing(), 2, workers=workers)
    assert shown(stream, 2) == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match=r"^clips-00007\.tar: clip 4 is damaged$"):
        next(stream)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="this system shares memory otherwise")
def test_memory_too_small_to_hand_clips_over_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    assert shown(batches(Counted(), 2), 1) == [[0, 1]]
    with pytest.raises(OSError, match=r"clips over in shared memory, .* --shm-size"):
        next(batches(Counted(), 2, workers=1))


def test_clips_of_two_shapes_are_no_batch() -> None:
    with pytest.raises(ValueError, match=r"video \[2, 32, 32, 3\].* set an augmentation"):
        stack([training.moving(0, frames=4), training.moving(1, frames=2)])


# ----------------------------------------------------------------------------------- shards


def test_any_clip_of_a_shard_is_read_at_once(tmp_path: Path) -> None:
    training.write_shards(tmp_path, (3, 2))
    wanted = {example.name: example for example in shards.read(tmp_path)}
    clips = ShardClips([tmp_path])
    assert len(clips) == 5
    found = [clips.example(index) for index in range(5)]
    assert sorted(example.name for example in found) == sorted(wanted)
    for example in found:
        for name in ("video", "query_points", "target_points", "occluded"):
            np.testing.assert_array_equal(
                getattr(example, name), getattr(wanted[example.name], name)
            )


def test_every_epoch_shows_every_clip_once_in_another_order(tmp_path: Path) -> None:
    folders = [training.write_shards(tmp_path / name, (2, 2)) for name in ("a", "b")]
    clips, again, other = ShardClips(folders, 1), ShardClips(folders, 1), ShardClips(folders, 2)
    orders = []
    for epoch in range(3):
        span = range(8 * epoch, 8 * epoch + 8)
        order = [clips.example(index).video.tobytes() for index in span]
        assert order == [again.example(index).video.tobytes() for index in span]
        assert len(set(order)) == 4  # both folders hold the same four
        orders.append(order)
    assert orders[0] != orders[1] != orders[2]
    assert orders[0] != [other.example(index).video.tobytes() for index in range(8)]


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    training.write_shards(tmp_path, (2, 2))
    clips = ShardClips([tmp_path])
    shard = tmp_path / "clips-00001.tar"
    data = shard.read_bytes()
    shard.write_bytes(data[: len(data) // 2 + 100])
    with pytest.raises(ValueError, match=r"clips-00001\.tar"):
        [clips.example(index) for index in range(4)]
    with pytest.raises(ValueError, match=r"clips-00001\.tar: expected a tar of clips"):
        ShardClips([tmp_path])
    with pytest.raises(FileNotFoundError, match="no such folder"):
        ShardClips([tmp_path / "nothing"])
