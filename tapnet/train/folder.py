"""The folder of a run: checkpoints from which a training goes on as if it had never stopped.

    run.json                     the settings
    log.jsonl  scores.jsonl      what was measured, one line each time
    best.safetensors             the best weights so far; model.safetensors: those at the end
    checkpoints/step-00001000/   checkpoint.json and part-0000.safetensors, part-0001 ...

A checkpoint appears whole or not at all, and its files stay below a size, so that they travel.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from tapnet.config import Checkpoints

_FORMAT = 1
State = dict[str, Tensor]


@dataclass(frozen=True)
class Folder:
    """Where a run is kept."""

    path: Path
    settings: Checkpoints

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def steps(self) -> list[int]:
        """Of the checkpoints there are, ascending."""
        found = (path.name.removeprefix("step-") for path in self.checkpoints.glob("step-*"))
        return sorted(int(number) for number in found if number.isdecimal())

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """The folder, made if need be, for this process alone; what a killed one left is removed.

        Where it was made and nothing is in it when an error ends this, it is removed again. Raises
        ValueError when another process has it.
        """
        made = not self.path.exists()
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "w") as lock:
            _lock(lock.fileno(), self.path)
            for left in self.checkpoints.glob(".step-*"):
                shutil.rmtree(left)
            try:
                yield
            except BaseException:
                if made and {path.name for path in self.path.rglob("*")} == {
                    "checkpoints",
                    ".lock",
                }:
                    shutil.rmtree(self.path)
                raise

    def save(self, step: int, state: Mapping[str, Tensor], about: Mapping[str, Any]) -> Path:
        """Keeps the state of a step, then removes checkpoints older than the last so many.

        Raises OSError; the checkpoints that are there stay.
        """
        target = self.checkpoints / f"step-{step:08d}"
        if target.exists():  # the same steps give the same state
            return target
        temporary = self.checkpoints / f".{target.name}-{uuid.uuid4().hex[:8]}"
        temporary.mkdir()
        try:
            _write(temporary, step, state, about, int(self.settings.shard_mb * 1e6))
            os.replace(temporary, target)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise OSError(
                errno.ENOSPC,
                f"no space for the checkpoint of step {step}; the one of step "
                f"{max(self.steps(), default=0)} is whole: make room and run again",
                str(self.path),
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _sync(self.checkpoints)
        for old in self.steps()[: -self.settings.keep]:
            shutil.rmtree(self.checkpoints / f"step-{old:08d}")
        return target

    def load(self) -> tuple[dict[str, Any], State] | None:
        """(about, state) of the last checkpoint, or None. Raises ValueError if it is damaged."""
        steps = self.steps()
        if not steps:
            return None
        path = self.checkpoints / f"step-{steps[-1]:08d}"
        try:
            return _read(path)
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            before = f"from step {steps[-2]}" if len(steps) > 1 else "from the beginning"
            raise ValueError(
                f"{path}: expected a whole checkpoint, but {error}; copy it again, or remove it "
                f"to go on {before}"
            ) from error


def _write(
    folder: Path, step: int, state: Mapping[str, Tensor], about: Mapping[str, Any], limit: int
) -> None:
    hashes: dict[str, str] = {}
    shapes: dict[str, list[int]] = {}
    for number, part in enumerate(_parts(state, limit, shapes)):
        path = folder / f"part-{number:04d}.safetensors"
        path.write_bytes(save(part))  # `save_file` lets nobody else read it
        hashes[path.name] = _hash(path)
        _sync(path)
    content = {"format": _FORMAT, "step": step, **about, "shapes": shapes, "files": hashes}
    (folder / "checkpoint.json").write_text(json.dumps(content, indent=1) + "\n")
    _sync(folder / "checkpoint.json")
    _sync(folder)


def _parts(
    state: Mapping[str, Tensor], limit: int, shapes: dict[str, list[int]]
) -> Iterator[State]:
    """The state in groups below `limit` bytes. Larger tensors are cut into name#0, name#1 ..., and
    their shapes noted."""
    part: State = {}
    size = 0
    for name, value in state.items():
        value = value.detach().cpu().contiguous()
        pieces = {name: value}
        if value.nbytes > limit:
            shapes[name] = list(value.shape)
            cut = value.reshape(-1).split(max(1, limit // value.element_size()))
            pieces = {f"{name}#{i}": piece.clone() for i, piece in enumerate(cut)}
        for key, piece in pieces.items():
            if part and size + piece.nbytes > limit:
                yield part
                part, size = {}, 0
            part[key] = piece
            size += piece.nbytes
    yield part


def _read(folder: Path) -> tuple[dict[str, Any], State]:
    about = json.loads((folder / "checkpoint.json").read_text())
    if about["format"] != _FORMAT:
        raise ValueError(f"its format is {about['format']}, this version reads {_FORMAT}")
    state: State = {}
    for name, digest in about["files"].items():
        if _hash(folder / name) != digest:
            raise ValueError(f"{name} is not what was written")
        state |= load_file(folder / name)
    for name, shape in about["shapes"].items():
        keys = sorted(
            (key for key in state if key.rpartition("#")[0] == name),
            key=lambda key: int(key.rpartition("#")[2]),
        )
        state[name] = torch.cat([state.pop(key) for key in keys]).view(shape)
    return about, state


def _hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Until it is on the disk; Windows can do so for neither folders nor files opened to read."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    """Of this process alone: children do not inherit it, and it ends with the process."""
    if os.name != "posix":
        return
    import fcntl

    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise ValueError(
            f"{path}: another training is writing here; wait for it, or choose another --out"
        ) from error
