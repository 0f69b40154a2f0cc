"""The renderer on the GPU: all moments of some frames at once, with the kernels in Triton.

Without a GPU the kernels run in Triton's interpreter when TRITON_INTERPRET=1 is set before the
first import: slow, for tests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tapnet.scenes.camera import NEAR
from tapnet.scenes.moments import Pattern, Picture, lighting
from tapnet.scenes.shade_numba import GRAZING, SHADOW_BIAS, SHADOW_LIFT
from tapnet.scenes.stage import Stage

try:
    import triton

    from tapnet.scenes import kernels_triton as kernels
    from tapnet.scenes.shade_triton import shade
except ImportError as error:
    raise ImportError(
        "the triton backend needs the package triton, which comes with torch for NVIDIA GPUs on "
        "Linux; elsewhere use the numba backend"
    ) from error

_BLOCK = 128
_LIMIT = 64  # pixels of a face's box up to which one lane draws it
_LARGE_PROGRAMS = 256  # that share the larger faces of a moment, at most one for 64 faces
_MOMENTS = 96  # rendered at once


def paint(stage: Stage, pattern: Pattern) -> Iterator[Picture]:
    """The pictures of all frames, brought back from the GPU."""
    for _first, light, keys in batches(stage, pattern):
        number = (0x7FFFFFFF - (keys & 0x7FFFFFFF)).int()
        ids = torch.where(number < kernels.PLANES, -1 - number, number - kernels.PLANES)
        depth = 1 / (keys >> 32).int().view(torch.float32)
        for frame in zip(light.cpu().numpy(), depth.cpu().numpy(), ids.cpu().numpy(), strict=True):
            yield Picture(*frame)


def batches(stage: Stage, pattern: Pattern) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(first frame, light [F, H, W, 3] float32, keys [F, H, W] int64) of some frames at a time.

    They stay on the GPU; the keys are the z-buffer at the frames' own time, see `kernels_triton`.
    """
    uploaded = Uploaded.of(stage, _device())
    times = pattern.times if pattern.exact else np.append(pattern.times, 0.0)
    step = max(1, _MOMENTS // len(times))
    shifts = np.zeros((len(times), 2))
    shifts[: len(pattern.shifts)] = pattern.shifts
    for first in range(0, stage.scene.frames, step):
        frames = np.arange(first, min(first + step, stage.scene.frames))
        moments = (frames[:, None] + times).ravel()
        cameras, bones = stage.geometry(moments)
        cameras[:, 1:3] += np.tile(shifts, (len(frames), 1))
        light, keys = uploaded.render(moments, cameras, bones, len(times), len(pattern.shifts))
        truth = 0 if pattern.exact else len(times) - 1
        yield first, light, keys.view(len(frames), len(times), *stage.scene.size)[:, truth]


def _device() -> torch.device:
    if os.environ.get("TRITON_INTERPRET") == "1":
        return torch.device("cpu")
    device = torch.accelerator.current_accelerator()
    if device is None or not torch.accelerator.is_available():  # torch built for one without it
        raise ValueError(
            "the triton backend needs a GPU, and torch finds none; use the numba backend, or set "
            "TRITON_INTERPRET=1 to run it, very slowly, on the CPU"
        )
    return device


@dataclass(frozen=True)
class Uploaded:
    """A stage's arrays on the GPU."""

    stage: Stage
    skeleton: tuple[Tensor, ...]  # as `stage.Skeleton`
    surface: dict[str, Tensor]  # as `stage.Surface`
    light: Tensor  # [28] see `shade_triton.shade`
    shadow_side: int
    shadow_lift: float  # units
    device: torch.device

    @staticmethod
    def of(stage: Stage, device: torch.device) -> Uploaded:
        """The stage, copied to `device`; empty arrays get one unused row."""
        light = lighting(stage.scene)
        parts = (light.sun, light.sky, light.fog, light.to_shadow.ravel())
        return Uploaded(
            stage,
            tuple(_upload(array, device) for array in stage.skeleton),
            {name: _upload(array, device) for name, array in stage.surface._asdict().items()},
            _upload(np.concatenate(parts), device),
            len(light.shadow),
            float(SHADOW_LIFT / np.linalg.norm(light.to_shadow[0, :3])),
            device,
        )

    def render(
        self, times: np.ndarray, cameras: np.ndarray, bones: np.ndarray, moments: int, samples: int
    ) -> tuple[Tensor, Tensor]:
        """(light [F, H, W, 3], keys [S, H, W]) of S moments, `moments` of them to a frame."""
        height, width = self.stage.scene.size
        count, count_s = len(self.stage.skeleton.vertices), len(times)
        views = _upload(cameras.astype(np.float32), self.device)
        vertices, normals, seen = self._pose(times, views, bones)
        keys = torch.empty((count_s, height, width), dtype=torch.int64, device=self.device)
        grid = (triton.cdiv(height * width, _BLOCK), count_s)
        kernels.background[grid](self.surface["room"], views, keys, height, width, BLOCK=_BLOCK)
        shadow = self._shadows(vertices, count_s // moments, moments)
        if count:
            self._raster(seen, vertices, views, keys)
        light = torch.empty((count_s // moments, height, width, 3), device=self.device)
        looks = [value for name, value in self.surface.items() if name != "room"]
        shade[(triton.cdiv(height * width, _BLOCK), count_s // moments)](
            *(keys, vertices, normals, views, *looks, self.light, shadow, light),
            *(count, height, width, moments, samples, self.shadow_side),
            *(float(SHADOW_BIAS), self.shadow_lift, float(GRAZING)),
            BLOCK=_BLOCK,
        )
        return light, keys

    def _pose(
        self, times: np.ndarray, views: Tensor, bones: np.ndarray
    ) -> tuple[Tensor, Tensor, Tensor]:
        skeleton = self.stage.skeleton
        count, count_s = len(skeleton.vertices), len(times)
        shape = (3, count_s, max(count, 1), 3)
        vertices, normals, seen = torch.zeros(shape, device=self.device)
        if count:
            kernels.pose[(triton.cdiv(count, _BLOCK), count_s)](
                *self.skeleton,
                _upload(bones, self.device),
                _upload(times.astype(np.float32), self.device),
                *(views, vertices, normals, seen, count, bones.shape[1]),
                int(np.diff(skeleton.wave_start).max(initial=0)),
                NEAR,
                BLOCK=_BLOCK,
            )
        return vertices, normals, seen

    def _shadows(self, vertices: Tensor, frames: int, moments: int) -> Tensor:
        """[F, side, side] int64 keys of the shadow maps, one for each frame's first moment."""
        side, count = self.shadow_side, len(self.stage.skeleton.vertices)
        keys = torch.zeros((frames, side, side), dtype=torch.int64, device=self.device)
        if count:
            seen = torch.empty((frames, count, 3), device=self.device)
            kernels.light_view[(triton.cdiv(count, _BLOCK), frames)](
                *(vertices, self.light[16:], seen, count, moments), BLOCK=_BLOCK
            )
            self._raster(seen, seen, self.light, keys)
        return keys

    def _raster(self, seen: Tensor, vertices: Tensor, views: Tensor, keys: Tensor) -> None:
        """Draw all faces into the keys [S, height, width] of S moments."""
        faces = self.surface["faces"]
        (count_s, height, width), count = keys.shape, seen.shape[1]
        listed = torch.empty((count_s, len(faces)), dtype=torch.int32, device=self.device)
        listed_count = torch.zeros(count_s, dtype=torch.int32, device=self.device)
        kernels.raster_small[(triton.cdiv(len(faces), _BLOCK), count_s)](
            *(seen, faces, keys, listed, listed_count, count, len(faces), height, width),
            LIMIT=_LIMIT,
            BLOCK=_BLOCK,
        )
        programs = min(_LARGE_PROGRAMS, triton.cdiv(len(faces), 64))
        kernels.raster_large[(programs, count_s)](
            *(seen, vertices, views, faces, keys, listed, listed_count),
            *(count, len(faces), height, width, NEAR),
            BLOCK=_BLOCK,
        )


def _upload(array: np.ndarray, device: torch.device) -> Tensor:
    if not array.size:
        array = np.zeros((1, *array.shape[1:]), array.dtype)
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
