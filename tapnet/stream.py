"""Points followed through video that never ends, in constant memory.

The model may work at another resolution and on another device: frames go in as uint8 in the
caller's own size, points come back in the caller's pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from tapnet import video
from tapnet.geometry import Resolution, Size, fitted, rescale, xy_to_yx
from tapnet.structs import Prediction


class Model(Protocol):
    """What a tracker asks of a model: `model(video, query_points)`."""

    resolution: Resolution  # that it wants its input resized to: see `geometry.fitted`
    online: bool

    def __call__(self, video: Tensor, query_points: Tensor) -> Prediction:
        """Tracks of `query_points` [B,N,3] in `video` [B,T,H,W,3], both ways in time."""
        ...


class OnlineModel(Model, Protocol):
    """A model that also goes frame by frame; states are values, of constant size."""

    def init_state(self) -> Any:
        """The state before the first frame."""
        ...

    def step(self, frame: Tensor, state: Any) -> tuple[Prediction, Any]:
        """What is said of the state's M points in `frame` [H,W,3]: [1,M,1,...], and the state."""
        ...

    def add(self, state: Any, points: Tensor) -> Any:
        """The state with `points` [K,2] (y, x) of the last frame after its others."""
        ...

    def keep(self, state: Any, index: Tensor) -> Any:
        """The state with only its rows `index`."""
        ...


def prepare(frame: np.ndarray, size: Size, device: torch.device) -> Tensor:
    """`frame` [H, W, 3] uint8 as a model wants it: uint8, of `size`, on its device."""
    tensor = torch.from_numpy(np.require(frame, requirements=["C", "W"])).to(device)
    return tensor if frame.shape[:2] == tuple(size) else video.resize(tensor, size)


@dataclass(frozen=True)
class Now:
    """What a stream says of its points in the frame just given, in the caller's pixels."""

    ids: np.ndarray  # [N] int64, as `Stream.add` gave them
    xy: np.ndarray  # [N, 2] float32 (x, y)
    visible: np.ndarray  # [N] bool
    confidence: np.ndarray  # [N] float32 in 0..1

    def take(self, index: np.ndarray) -> Now:
        """The rows `index`, in that order."""
        return Now(*(getattr(self, field.name)[index] for field in fields(self)))

    def append(self, other: Now) -> Now:
        """These rows, then those of `other`."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Now(*(np.concatenate(pair) for pair in pairs))


class Stream:
    """Points followed through video that never ends, in constant memory."""

    def __init__(
        self,
        model: OnlineModel,
        size: Size,
        resolution: Resolution = None,
        device: torch.device | None = None,
    ) -> None:
        """Frames of `size` (height, width) will come; the model sees them at `resolution`.

        `Tracker.stream` calls this with what the tracker knows.
        """
        try:
            height, width = size
            self._size = int(height), int(width)
            valid = min(self._size) >= 1 and self._size == (height, width)
        except (TypeError, ValueError, OverflowError):
            valid = False
        if not valid:
            raise ValueError(
                f"size: expected (height, width) of the frames in whole pixels, got {size}"
            )
        self._model = model
        self._used = fitted(self._size, resolution)  # by the model
        self._device = device or torch.device("cpu")
        self._state = model.init_state()
        self._now = _as_put(0, np.zeros((0, 2), np.float32))
        self._count = 0  # of ids given so far
        self._begun = False

    @property
    def now(self) -> Now:
        """What the last `step` said, with the points added since, without those dropped since."""
        return self._now

    def add(self, points: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
        """Follow `points` [K, 2] (y, x) of the frame just given; their ids, [K] int64.

        Before the first frame they are points of that first frame. An id is never used again.
        Raises ValueError for points that are not finite or outside the frame.
        """
        new = np.asarray(points, np.float32)
        new = new.reshape(-1, 2) if new.size == 0 else new
        _check_yx(new, self._size)
        put = _as_put(self._count, new)
        if self._begun:
            self._follow(put.xy)
        self._count += len(new)
        self._now = self._now.append(put)
        return put.ids

    @torch.inference_mode()
    def drop(self, ids: np.ndarray | Sequence[int]) -> None:
        """Follow these points no longer. Raises ValueError for an id that is not followed."""
        given = np.asarray(ids).reshape(-1)
        if given.dtype == bool:
            raise ValueError("ids: expected numbers, got bool; give Stream.now.ids[mask]")
        gone = given.astype(np.int64)
        if (gone != given).any():
            raise ValueError(f"ids: expected whole numbers, got {given[gone != given][0]}")
        unknown = np.setdiff1d(gone, self._now.ids)
        if len(unknown):
            raise ValueError(
                f"ids: {unknown[:8].tolist()} not among the {len(self._now.ids)} points followed; "
                "Stream.now.ids lists them"
            )
        kept = np.flatnonzero(~np.isin(self._now.ids, gone))
        if self._begun:
            index = torch.from_numpy(kept).to(self._device)
            self._state = self._model.keep(self._state, index)
        self._now = self._now.take(kept)

    @torch.inference_mode()
    def step(self, frame: np.ndarray) -> Now:
        """Where the points are in `frame` [H, W, 3] uint8, the one after the frame before.

        Raises ValueError for a frame of another shape, size or type.
        """
        _check_frame(frame, self._size)
        image = prepare(frame, self._used, self._device)
        said, self._state = self._model.step(image, self._state)
        if self._begun:
            self._now = self._translate(said)
        else:  # the points that waited for the first frame are where they were put
            self._begun = True
            self._follow(self._now.xy)
        return self._now

    def _translate(self, said: Prediction) -> Now:
        xy = rescale(said.tracks[0, :, 0].float(), self._used, self._size)
        visible, confidence = said.visible[0, :, 0], said.confidence[0, :, 0].float()
        return Now(self._now.ids, xy.cpu().numpy(), visible.cpu().numpy(), confidence.cpu().numpy())

    @torch.inference_mode()
    def _follow(self, xy: np.ndarray) -> None:
        """Gives the model points `xy` of the frame it saw last."""
        if len(xy):
            used = xy_to_yx(rescale(xy, self._size, self._used))
            tensor = torch.from_numpy(np.ascontiguousarray(used)).to(self._device)
            self._state = self._model.add(self._state, tensor)


def _as_put(first_id: int, points: np.ndarray) -> Now:
    """Points (y, x) in the frame where the caller put them."""
    count = len(points)
    ids, seen = np.arange(first_id, first_id + count), np.ones(count, bool)
    return Now(ids, xy_to_yx(points), seen, seen.astype(np.float32))


def _check_yx(points: np.ndarray, size: tuple[int, int]) -> None:
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points: expected rows of y, x, got an array {list(points.shape)}")
    bad = np.flatnonzero(~((points >= 0) & (points <= size)).all(1))  # NaN is nowhere inside
    if len(bad):
        raise ValueError(
            f"points: expected y in 0..{size[0]} and x in 0..{size[1]}, pixels of the frame, got "
            f"{points[bad[0]].tolist()} for point {bad[0]}; rows are y, x: correct or remove it"
        )


def _check_frame(frame: np.ndarray, size: tuple[int, int]) -> None:
    shape, dtype = getattr(frame, "shape", type(frame).__name__), getattr(frame, "dtype", None)
    if shape != (*size, 3) or dtype != np.uint8:
        raise ValueError(
            f"frame: expected [{size[0]}, {size[1]}, 3] uint8 as the stream was made for, "
            f"got {shape} {dtype or ''}; resize the frame or make a new stream"
        )
