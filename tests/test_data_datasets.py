"""One function opens every dataset: it finds out what lies at a path, and refuses what is none."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import layouts
import numpy as np
import pytest

from tapnet.data import DATASETS, Clip, open_dataset


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


DOCS = Path(__file__).parents[1] / "docs" / "datasets.md"


def test_the_page_about_datasets_names_every_kind_and_its_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = DOCS.read_text(encoding="utf-8")
    for name in DATASETS:
        assert f"(`{name}`)" in page or f"`{name}`)" in page
    davis(tmp_path)
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    arrays = {"tracks_XYZ": np.ones((2, 3, 3)), "visibility": np.ones((2, 3), bool)}
    layouts.space(
        tmp_path / "tapvid3d_dataset" / "adt" / "a.npz",
        frames,
        queries_xyt=np.zeros((3, 3)),
        fx_fy_cx_cy=np.ones(4),
        **arrays,
    )
    (tmp_path / "predictions" / "adt").mkdir(parents=True)
    np.savez(tmp_path / "predictions" / "adt" / "a.npz", **arrays)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})
    assert "\n1.0\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("tapvid_davis.zip", "unpack it first"),
        ("tapvid_kinetics.csv", "make the set by `tapnet data prepare kinetics`"),
        ("folder", "if it is a CSV file with videos, name that file"),
        ("notes.txt", "say of which kind: jhmdb, badja, csv"),
    ],
)
def test_what_looks_like_no_dataset_comes_with_advice(
    name: str, advice: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
        (path / "labels.csv").write_text("v,0,0,0\n")
    else:
        path.write_text("id,0,10" + ",0,0,0" * 250)
    with pytest.raises(ValueError, match=f"looks like no dataset that is read; .*{advice}"):
        open_dataset(path)


def test_a_clip_has_a_frame_for_each_entry_of_its_tracks() -> None:
    video = np.zeros((3, 4, 6, 3), np.uint8)
    with pytest.raises(ValueError, match=r"a\.pkl: expected a frame for each of the 4 entries"):
        Clip("a", video, np.zeros((2, 4, 2)), np.zeros((2, 4), bool), source="a.pkl")
    with pytest.raises(ValueError, match=r"a\.pkl: occluded: expected \[N T\] with N=2, T=3"):
        Clip("a", video, np.zeros((2, 3, 2)), np.zeros((2, 4), bool), source="a.pkl")
