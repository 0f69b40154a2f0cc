"""What online baselines share: frames as gray images, points as rows of a state, both ways in time.

A baseline follows points from one frame to the next. Written here once: its online interface
(`init_state`, `step`, `add`, `keep`) and, on top of it, the offline call that runs a clip forward
and backward from any query frame. States are values: no method changes the state it is given.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Generic, Self, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from tapnet.baselines.offline import ClipTracker, check_finite
from tapnet.structs import Prediction, check_shapes
from tapnet.video import to_uint8

# A logit that stands for certainty: 1 - sigmoid(-16) is 1e-7.
SURE = 16.0
LONGEST = 32766  # pixels: the longest side OpenCV can sample


@dataclass(frozen=True)
class Points:
    """What is known of M points in the last frame; every field has one row per point."""

    xy: np.ndarray  # [M, 2] float64 (x, y) raster pixels
    occlusion: np.ndarray  # [M] float32 logit
    expected_dist: np.ndarray  # [M] float32 logit

    def take(self, index: np.ndarray) -> Self:
        """The rows `index` (integers or a bool mask), in that order."""
        return type(self)(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def append(self, other: Self) -> Self:
        """These rows, then those of `other`."""
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return type(self)(**{name: np.concatenate(pair) for name, pair in pairs.items()})

    def __len__(self) -> int:
        return len(self.xy)


Memory = TypeVar("Memory")
Rows = TypeVar("Rows", bound=Points)


@dataclass(frozen=True)
class State(Generic[Memory, Rows]):
    """Everything an online baseline knows between two frames; both are None before the first."""

    memory: Memory | None = None  # of the frames seen: a bounded number of them
    points: Rows | None = None


class OnlineTracker(ClipTracker, Generic[Memory, Rows]):
    """A tracker that needs one frame at a time and no training.

    A subclass says what it remembers of the frames (`remember`), how points begin (`begin`) and
    how they are followed (`follow`). Points never influence one another.
    """

    online: bool = True

    @abstractmethod
    def remember(self, image: np.ndarray, memory: Memory | None) -> Memory:
        """The memory once `image` [H, W, 3] uint8 RGB is the last frame seen."""

    @abstractmethod
    def begin(self, memory: Memory, xy: np.ndarray) -> Rows:
        """New points at `xy` [K, 2] of the last frame in `memory`."""

    @abstractmethod
    def follow(self, memory: Memory, points: Rows) -> Rows:
        """The points in the last frame of `memory`, given as they were in the frame before."""

    def init_state(self) -> State[Memory, Rows]:
        """The state before the first frame."""
        return State()

    def step(
        self, frame: Tensor, state: State[Memory, Rows]
    ) -> tuple[Prediction, State[Memory, Rows]]:
        """What is said of the state's M points in the next frame, and the state after it.

        `frame` is [H, W, 3], uint8 or float in [-1, 1]; the prediction is [1, M, 1, ...].
        Raises ValueError when the frame has another shape or size than the one before.
        """
        memory = self.remember(rgb_image(frame), state.memory)
        points = state.points
        if points is None:
            points = self.begin(memory, np.zeros((0, 2)))
        elif len(points):
            points = self.follow(memory, points)
        said = [points.xy[:, None], points.occlusion[:, None], points.expected_dist[:, None]]
        xy, occlusion, expected_dist = (
            torch.from_numpy(x.astype(np.float32))[None].to(frame.device) for x in said
        )
        return Prediction(xy, occlusion, expected_dist), State(memory, points)

    def add(self, state: State[Memory, Rows], points: Tensor) -> State[Memory, Rows]:
        """The state with `points` [K, 2], (y, x) of the last frame stepped, after its others."""
        check_shapes(points=(points, "K 2"))
        if state.memory is None or state.points is None:
            raise ValueError("points: expected after a frame, got none yet; call step first")
        yx = points.detach().cpu().to(torch.float64).numpy()
        check_finite(yx, "points")
        new = self.begin(state.memory, np.ascontiguousarray(yx[:, ::-1]))
        return State(state.memory, state.points.append(new))

    def keep(self, state: State[Memory, Rows], index: Tensor) -> State[Memory, Rows]:
        """The state with only the points `index` [K] (LongTensor), in that order."""
        check_shapes(index=(index, "K"))
        if state.points is None:
            raise ValueError("index: expected after a frame, got none yet; call step first")
        rows, count = index.cpu().numpy().astype(np.int64), len(state.points)
        if ((rows < 0) | (rows >= count)).any():
            raise ValueError(
                f"index: expected rows 0..{count - 1}, got {rows.tolist()[:8]}; "
                f"the state holds {count} points"
            )
        return State(state.memory, state.points.take(rows))

    def track(self, video: Tensor, queries: np.ndarray) -> np.ndarray:
        """The offline call: forward from each query frame, and backward from it."""
        said = np.zeros((len(queries), len(video), 4), np.float32)
        if len(queries):
            times = np.rint(queries[:, 0]).astype(np.int64)
            self._pass(video, range(times.min(), len(video)), times, queries, said)
            self._pass(video, range(times.max(), -1, -1), times, queries, said)
        return said

    def _pass(
        self,
        video: Tensor,
        order: Iterable[int],
        times: np.ndarray,
        queries: np.ndarray,
        said: np.ndarray,
    ) -> None:
        """Fills `said` for the frames in `order`, each point from its own frame on."""
        state = self.init_state()
        rows = np.zeros(0, np.int64)  # the query of each point in the state
        for t in order:
            _, state = self.step(video[t], state)
            starting = np.flatnonzero(times == t)
            if len(starting):
                state = self.add(state, torch.from_numpy(queries[starting, 1:]))
                rows = np.concatenate([rows, starting])
            points: Any = state.points
            said[rows, t, :2] = points.xy
            said[rows, t, 2] = points.occlusion
            said[rows, t, 3] = points.expected_dist


def rgb_image(frame: Tensor) -> np.ndarray:
    """`frame` [H, W, 3], uint8 or float in [-1, 1], as an uint8 array that shares no memory."""
    check_shapes(frame=(frame, "H W 3"))
    if not 0 < min(frame.shape[:2]) <= max(frame.shape[:2]) <= LONGEST:
        raise ValueError(
            f"frame: expected 1..{LONGEST} pixels high and wide, got {list(frame.shape[:2])}; "
            "crop or resize it"
        )
    if frame.dtype == torch.uint8:
        return np.array(frame.detach().cpu().numpy(), order="C")
    if frame.is_floating_point():
        return np.ascontiguousarray(to_uint8(frame.detach().cpu().float()).numpy())
    raise ValueError(f"frame: expected uint8, or float in [-1, 1], got {frame.dtype}; convert it")


def gray_image(image: np.ndarray) -> np.ndarray:
    """The brightness [H, W] uint8 of an image [H, W, 3] uint8 RGB."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def check_same_size(image: np.ndarray, before: np.ndarray) -> None:
    """Raises ValueError when a stream changes the size of its frames."""
    if image.shape != before.shape:
        raise ValueError(
            f"frame: expected {before.shape[0]}x{before.shape[1]} (height x width) as before, got "
            f"{image.shape[0]}x{image.shape[1]}; resize it, or begin anew with init_state"
        )


def inside(xy: np.ndarray, gray: np.ndarray) -> np.ndarray:
    """[M] bool: which points (raster) lie in the image."""
    height, width = gray.shape
    return np.all((xy >= 0) & (xy < [width, height]), axis=-1)
