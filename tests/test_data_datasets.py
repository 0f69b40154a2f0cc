"""One function opens every dataset: it finds out what lies at a path, and refuses what is none."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from tapnet.data import DATASETS, open_dataset


def davis(folder: Path) -> Path:
    clip = {
        "video": np.zeros((3, 4, 6, 3), np.uint8),
        "points": np.full((2, 3, 2), 0.5),
        "occluded": np.zeros((2, 3), bool),
    }
    path = folder / "tapvid_davis.pkl"
    path.write_bytes(pickle.dumps({"dog": clip}))
    return path


def test_a_dataset_is_named_and_iterated_as_often_as_one_likes(tmp_path: Path) -> None:
    found = open_dataset(davis(tmp_path))
    assert (found.kind, found.name) == ("tapvid", "tapvid-davis")
    assert found.files() == [found.path]
    for _ in range(2):
        assert [clip.name for clip in found] == ["dog"]
    assert open_dataset(tmp_path, "tapvid").files() == [found.path]
    assert [clip.name for clip in DATASETS["tapvid"](tmp_path)] == ["dog"]


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no kind of dataset 'davis': there are .*tapvid"):
        open_dataset(davis(tmp_path), "davis")
    with pytest.raises(FileNotFoundError, match="no such file or folder; expected a dataset"):
        open_dataset(tmp_path / "absent.pkl")
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ValueError, match=r"notes\.txt: looks like no dataset that is read"):
        open_dataset(tmp_path / "notes.txt")
