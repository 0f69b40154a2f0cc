"""taplite for other runtimes: two ONNX graphs of fixed shapes that need nothing of this package.

    step.onnx    frame [H, W, 3] uint8, state of M points -> what is said of them, state, grids
    start.onnx   grids of the last frame, new_xy [M, 2]   -> state of M new points

Each part of the state goes into `step` under its name and comes out as `new_NAME`; docs/taplite.md
has a program that uses them. Rows do not influence one
another, so a program that follows fewer than M points leaves the other rows as they are, and puts
new points in by copying rows of what `start` gives.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tapnet.files import replacing
from tapnet.models.taplite import Grids, Points, Taplite

STATE = tuple(field.name for field in fields(Points))
GRIDS = ("fine", "coarse")
SAID = ("xy", "occlusion", "expected_dist")  # parts of the state that are the answer too


class Step(nn.Module):
    """One frame on, as a function of tensors alone."""

    def __init__(self, model: Taplite) -> None:
        super().__init__()
        self.model = model

    def forward(self, frame: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        grids = self.model.grids(frame[None])
        points = self.model.advance(grids, Points(*state))
        return *(getattr(points, name) for name in STATE), grids.fine, grids.coarse


class Start(nn.Module):
    """New points in the frame that the grids are of."""

    def __init__(self, model: Taplite) -> None:
        super().__init__()
        self.model = model

    def forward(self, fine: Tensor, coarse: Tensor, xy: Tensor) -> tuple[Tensor, ...]:
        frame = torch.zeros(xy.shape[0], dtype=torch.long, device=xy.device)
        points = self.model.start(Grids(fine, coarse), frame, xy)
        return tuple(getattr(points, name) for name in STATE)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Torch's exporter warns of what is not installed, not needed and not duplicated."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


def write_onnx(
    model: Any, folder: str | Path, size: tuple[int, int] = (256, 256), points: int = 64
) -> list[Path]:
    """Writes step.onnx and start.onnx for frames of `size` (height, width) and `points` points.

    Needs the extra `onnx`. Raises ValueError for another model than taplite, for a size that is not
    a multiple of 16 and for no points.
    """
    if not isinstance(model, Taplite):
        raise ValueError(f"expected a taplite, got a {type(model).__name__}")
    if size[0] % 16 or size[1] % 16 or min(size) < 16 or points < 1:
        raise ValueError(
            f"expected sides that are multiples of 16 and at least one point, got {size} (height, "
            f"width) and {points} points"
        )
    if importlib.util.find_spec("onnxscript") is None:
        raise ValueError("writing ONNX needs onnx and onnxscript: pip install 'tapnet[onnx]'")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    frame = torch.zeros(*size, 3, dtype=torch.uint8)
    xy = torch.full((points, 2), 8.0)
    with torch.inference_mode():
        grids = model.grids(frame[None])
        state = Start(model)(grids.fine, grids.coarse, xy)
    graphs = {
        "step": (Step(model), (frame, *state), ("frame", *STATE), GRIDS),
        "start": (Start(model), (grids.fine, grids.coarse, xy), (*GRIDS, "new_xy"), ()),
    }
    written = []
    for name, (module, given, inputs, also) in graphs.items():
        outputs = [*(f"new_{part}" for part in STATE), *also] if name == "step" else list(STATE)
        path = folder / f"{name}.onnx"
        with replacing(path) as temporary, _quiet():
            program = torch.onnx.export(
                module.eval(),
                tuple(x.clone() for x in given),
                input_names=list(inputs),
                output_names=outputs,
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            program.save(temporary, external_data=False)
        written.append(path)
    return written
