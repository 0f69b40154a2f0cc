"""What was worked out of frames and is kept on disk."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from test_annotation_assist import VIDEO, contents

from tapnet import video
from tapnet.annotation import kept as module
from tapnet.annotation.assist import fill
from tapnet.annotation.content import Click, Content
from tapnet.annotation.kept import Anew, Kept, key_of


class Maker:
    """Counts how often it makes something."""

    def __init__(self, side: int = 2) -> None:
        self.side, self.calls = side, 0

    def __call__(self) -> tuple[np.ndarray, ...]:
        self.calls += 1
        return np.full((self.side, 2), 7, np.float16), np.arange(3)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_was_made_is_found_again_by_any_process(tmp_path: Path) -> None:
    make, frame = Maker(), np.arange(6, dtype=np.uint8).reshape(2, 3)
    first = Kept(tmp_path).arrays(("flow", frame), make)
    again = Kept(tmp_path).arrays(("flow", frame.copy()), make)
    assert make.calls == 1
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    Anew().arrays(("flow", frame), make)
    assert make.calls == 2


def test_other_names_values_types_and_shapes_are_others() -> None:
    frame = np.zeros((2, 3), np.uint8)
    parts = [
        ("a", frame), ("b", frame), ("a", frame + 1), ("a", frame.T), ("a", frame.astype(np.int8)),
        ("a", frame, frame), ("a",), ("aa",), ("a", "a"),
    ]  # fmt: skip
    assert len({key_of(one) for one in parts}) == len(parts)


def test_a_part_of_an_array_counts_as_it_looks() -> None:
    whole = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert key_of((whole[::2, 1:3],)) == key_of((whole[::2, 1:3].copy(),))


@pytest.mark.parametrize("harm", [b"", b"no zip", None])
def test_a_damaged_file_is_made_again(tmp_path: Path, harm: bytes | None) -> None:
    make, kept = Maker(), Kept(tmp_path)
    kept.arrays(("flow",), make)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-40] if harm is None else harm)
    found, _ = kept.arrays(("flow",), make)
    assert (make.calls, found[0, 0]) == (2, 7)
    kept.arrays(("flow",), make)
    assert make.calls == 2


def test_pickled_objects_are_not_read(tmp_path: Path) -> None:
    make, kept = Maker(), Kept(tmp_path)
    kept.arrays(("flow",), make)
    (path,) = files(tmp_path)
    np.savez(path, np.array([{}], object), allow_pickle=True)
    kept.arrays(("flow",), make)
    assert make.calls == 2


def test_the_least_used_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_BYTES", 1)
    make = Maker(side=1000)
    kept = Kept(tmp_path, most=3 * 4700)
    for i in range(3):
        kept.arrays((str(i),), make)
        os.utime(max(files(tmp_path), key=lambda p: p.stat().st_ctime_ns), (i + 1, i + 1))
    kept.arrays(("0",), make)  # now used last
    assert make.calls == 3
    kept.arrays(("3",), make)
    assert len(files(tmp_path)) == 3
    kept.arrays(("0",), make)
    assert make.calls == 4
    kept.arrays(("1",), make)
    assert make.calls == 5


def test_what_a_kill_left_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torn = [tmp_path / "ab" / name for name in ("old.torn", "new.torn")]
    torn[0].parent.mkdir()
    for path in torn:
        path.write_bytes(b"half")
    os.utime(torn[0], (time.time() - 2 * module.TORN_SECONDS,) * 2)
    Kept(tmp_path).arrays(("flow",), Maker())
    assert [path.exists() for path in torn] == [False, True]


def test_without_room_or_right_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Maker()
    (tmp_path / "file").write_bytes(b"")
    Kept(tmp_path / "file").arrays(("flow",), make)  # no folder
    monkeypatch.setattr(module, "SPARE_BYTES", 1 << 60)
    kept = Kept(tmp_path / "full")
    kept.arrays(("flow",), make)
    kept.arrays(("flow",), make)
    assert make.calls == 3
    assert not files(tmp_path / "full")


@pytest.mark.parametrize(("assist", "model"), [("flow", "klt"), ("tracker", "taplite")])
def test_assists_give_the_same_with_it(tmp_path: Path, assist: str, model: str) -> None:
    asked = [Content(clicks=(Click(6, 30, 20),), assist=assist, model=model), *contents("flow")]
    clip, kept = video.open(VIDEO), Kept(tmp_path)
    anew, first, again = (fill(clip, asked, kept=one) for one in (Anew(), kept, kept))
    for paths in zip(anew, first, again, strict=True):
        for other in paths[1:]:
            np.testing.assert_array_equal(other.xy, paths[0].xy)
            np.testing.assert_array_equal(other.confidence, paths[0].confidence)
    assert files(tmp_path)
