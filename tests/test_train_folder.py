"""Checkpoints: whole or not there, in small files, the last few of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tapnet.config import Checkpoints
from tapnet.train import folder as folders
from tapnet.train.folder import Folder
from tapnet.train.journal import Lines

STATE = {
    "model/weight": torch.arange(1000, dtype=torch.float32).view(10, 100),
    "model/steps": torch.tensor(7),
    "model/none": torch.zeros(0, 3),
    "average/weight": torch.rand(30, 10, generator=torch.Generator().manual_seed(0)),
}


def new(path: Path, **settings: float) -> Folder:
    folder = Folder(path, Checkpoints(**settings))  # type: ignore[arg-type]
    with folder.claimed():
        return folder


def same(found: dict[str, Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(torch.equal(found[k], STATE[k]) for k in STATE)


@pytest.mark.parametrize("shard_mb", [1.0, 0.0015, 0.0004])
def test_what_is_saved_is_loaded_from_small_files(tmp_path: Path, shard_mb: float) -> None:
    folder = new(tmp_path, shard_mb=shard_mb)
    path = folder.save(12, STATE, {"skipped": 3})
    loaded = folder.load()
    assert loaded is not None
    assert (loaded[0]["step"], loaded[0]["skipped"]) == (12, 3)
    assert same(loaded[1])
    head = 1000  # safetensors' own
    parts = list(path.glob("part-*"))
    assert max(part.stat().st_size for part in parts) <= shard_mb * 1e6 + head
    assert len(parts) >= 5.2e3 / (shard_mb * 1e6)


@pytest.mark.skipif(os.name != "posix", reason="rights are another matter there")
def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        path = new(tmp_path).save(1, STATE, {})
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o640}


def test_the_last_few_are_kept(tmp_path: Path) -> None:
    folder = new(tmp_path, keep=2)
    assert folder.load() is None
    for step in (1, 5, 30, 200):
        folder.save(step, STATE, {})
    assert folder.steps() == [30, 200]
    loaded = folder.load()
    assert loaded is not None
    assert loaded[0]["step"] == 200


def test_what_a_person_put_beside_them_is_no_checkpoint(tmp_path: Path) -> None:
    folder = Folder(tmp_path, Checkpoints())
    with folder.claimed():
        folder.save(7, {"x": torch.ones(2)}, {})
        (folder.checkpoints / "step-00000007 (copy)").mkdir()
        assert folder.steps() == [7]


def test_a_save_that_is_cut_off_leaves_nothing_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new(tmp_path)
    folder.save(1, STATE, {})

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(folders.os, "replace", killed)
        patch.setattr(folders.shutil, "rmtree", lambda *_, **__: None)  # as kill -9 leaves it
        with pytest.raises(Killed):
            folder.save(2, STATE, {})
    assert [path.name[0] for path in sorted((tmp_path / "checkpoints").iterdir())] == [".", "s"]
    assert folder.steps() == [1]
    new(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]


@pytest.mark.parametrize("damage", ["cut", "bit", "missing", "json", "list", "format"])
def test_a_damaged_checkpoint_is_told_with_what_to_do(tmp_path: Path, damage: str) -> None:
    folder = new(tmp_path)
    folder.save(1, STATE, {})
    path = folder.save(2, STATE, {})
    part, about = path / "part-0000.safetensors", path / "checkpoint.json"
    data = part.read_bytes()
    if damage == "cut":
        part.write_bytes(data[: len(data) // 2])
    elif damage == "bit":
        part.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "missing":
        part.unlink()
    elif damage == "json":
        about.write_text("{")
    elif damage == "list":
        about.write_text("[]")
    else:
        about.write_text(json.dumps(json.loads(about.read_text()) | {"format": 99}))
    with pytest.raises(ValueError, match=r"step-00000002: expected a whole .* go on from step 1"):
        folder.load()


def test_lines_after_the_step_gone_on_from_are_removed(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "log.jsonl")
    assert lines.read() == []
    for step in (1, 2, 3):
        lines.write(step, {"loss": 0.5})
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write("\0\0\0\n")  # as a power cut leaves it
        file.write('{"step": 4, "lo')  # killed while it wrote
    assert [line["step"] for line in lines.read()] == [1, 2, 3]
    lines.keep_until(2)
    lines.write(3, {"loss": 0.25})
    assert [(line["step"], line["loss"]) for line in lines.read()] == [
        (1, 0.5),
        (2, 0.5),
        (3, 0.25),
    ]
