"""Write H.264 mp4 that browsers play."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from tapnet.files import replacing

_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
LARGEST = 16384  # pixels a side that x264 takes
LOWEST_FPS, HIGHEST_FPS = 0.001, 1000  # mp4 counts its length in ms: above, last frames are lost


def write(path: str | Path, frames: Iterable[np.ndarray], fps: float, crf: int = 18) -> None:
    """Write [H, W, 3] uint8 RGB frames as H.264; `path` appears only when all are written.

    yuv420p, BT.709, index in front (faststart), a keyframe every 30 frames so that browsers scrub
    well. H.264 wants even sizes: an odd height or width gains a copy of its last row or column.
    `crf` is x264's quality: 0 best, 18 hardly visible loss, 51 worst. Frames are taken one by one.
    Raises ValueError for no frames, frames of other shapes or types or above `LARGEST`, a rate
    outside `LOWEST_FPS` to `HIGHEST_FPS`, and other suffixes.
    """
    import av

    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"{path}: expected a name ending in {', '.join(_SUFFIXES)}; change it")
    if not LOWEST_FPS <= fps <= HIGHEST_FPS:  # nor NaN
        raise ValueError(
            f"{path}: expected {LOWEST_FPS} to {HIGHEST_FPS} frames a second, got fps = {fps}; "
            "give the rate at which it should play"
        )
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{path}: expected at least one frame, got none")
    check_size(path, first.shape[:2])
    rate = written_rate(fps)
    with (
        replacing(path) as temporary,
        av.open(f"file:{temporary}", "w", options={"movflags": "+faststart"}) as container,
    ):
        stream = _stream(container, first, rate, crf)
        for t, frame in enumerate(chain([first], frames)):
            container.mux(stream.encode(_picture(frame, first.shape, t, rate)))
        container.mux(stream.encode())


def check_size(path: Path, size: tuple[int, ...]) -> None:
    """Raises ValueError for frames of `size` (height, width) that H.264 cannot hold."""
    if max(size) > LARGEST:
        raise ValueError(
            f"{path}: expected frames of at most {LARGEST} pixels a side, which is the most of "
            f"H.264, got {list(size)} (height, width); make them smaller"
        )


def written_rate(fps: float) -> Fraction:
    """The rate, of those that `write` takes and files tell, which is nearest to `fps`."""
    return Fraction(min(max(float(fps), LOWEST_FPS), HIGHEST_FPS)).limit_denominator(1001)


def _stream(container: Any, first: np.ndarray, rate: Fraction, crf: int) -> Any:
    from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

    stream = container.add_stream(
        "libx264", rate=rate, options={"crf": str(crf), "preset": "veryfast", "g": "30"}
    )
    height, width = first.shape[:2]
    stream.height, stream.width, stream.pix_fmt = height + height % 2, width + width % 2, "yuv420p"
    stream.codec_context.colorspace = 1  # AVCOL_SPC_BT709
    stream.codec_context.color_primaries = ColorPrimaries.BT709
    stream.codec_context.color_trc = ColorTrc.BT709
    stream.codec_context.color_range = ColorRange.MPEG
    return stream


def _picture(frame: np.ndarray, shape: tuple[int, ...], t: int, rate: Fraction) -> Any:
    import av
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    if frame.shape != shape or frame.ndim != 3 or shape[-1] != 3 or frame.dtype != np.uint8:
        raise ValueError(
            f"frame {t}: expected uint8 [H W 3], all of one size, got {frame.dtype} "
            f"{list(frame.shape)} after {list(shape)}"
        )
    height, width = shape[:2]
    padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    picture = av.VideoFrame.from_ndarray(padded, format="rgb24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
    )
    picture.pts, picture.time_base = t, 1 / rate
    return picture
