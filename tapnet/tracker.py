"""One way to use every model: on a file, on frames in memory, on video that never ends.

A `Tracker` is a model with a name, the resolution it works at and the device it is on. Frames go
in as uint8 in the caller's own size; points come back in the caller's pixels.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from tapnet import queries
from tapnet.geometry import Resolution, checked_resolution, fitted, rescale
from tapnet.stream import Model, Now, OnlineModel, Stream, prepare
from tapnet.tracks import Tracks
from tapnet.video import Video
from tapnet.video import open as open_video

DEFAULT = "taplite"  # what `load()` gives
_OURS = {".safetensors"}
_PUBLISHED = {".npy", ".pt", ".pth", ".ckpt"}

Progress = Callable[[int, int], None]  # frames done, frames in all; see `Tracker.track`
Points = str | Path | np.ndarray | Sequence[Sequence[float]]
Result = tuple[np.ndarray, np.ndarray, np.ndarray]  # xy [N,T,2], visible [N,T], confidence [N,T]
Source = str | Path | np.ndarray | Video


def load(
    name: str | Path = DEFAULT,
    device: str | torch.device = "auto",
    resolution: Resolution = None,
) -> Tracker:
    """The tracker called `name`, or with the weights in the file `name`, on `device`.

    Names are those of `choices()`; "cycle:FILE" is the baseline on the features of the model in a
    file instead of the default one, "raft:FILE" and "raft-multi:FILE" chain the flow of a network
    of ptlflow (docs/baselines.md). Files are `.safetensors` made by `tapnet convert` or by
    training, and published `.npy` and `.pt` checkpoints. "auto" takes the best device there is.
    `resolution` is what frames are resized to for the model: (height, width), or a number n for
    about n * n pixels in the shape of the frames; None = the model's own choice. Raises ValueError
    for an unknown name, naming the choices, and FileNotFoundError for a path that leads nowhere.
    """
    resolution = checked_resolution(resolution)
    where = _choose_device(str(device))
    model, called = _build(name)
    if isinstance(model, torch.nn.Module):
        model = model.to(where).eval().requires_grad_(False)
    return Tracker(model, called, resolution or model.resolution, where)


def choices() -> list[str]:
    """The names that `load` knows without a file of weights."""
    from tapnet import checkpoint
    from tapnet.baselines import BASELINES, ON_FEATURES

    return [*checkpoint.shipped(), *sorted([*BASELINES, *ON_FEATURES])]


def _build(name: str | Path) -> tuple[Any, str]:
    """The model that `name` means, and what to call it."""
    from tapnet import baselines, checkpoint, models

    name = str(name)
    if name in baselines.BASELINES:
        return baselines.BASELINES[name](), name
    kind, _, source = name.partition(":")
    if kind in baselines.ON_FEATURES:
        model, called = _build(source or DEFAULT)
        return baselines.ON_FEATURES[kind](models.FrameFeatures(model)), (
            f"{kind}-{called}" if source else kind
        )
    if kind in baselines.ON_FLOW:
        path = Path(source) if source else baselines.raft.kept()
        model = baselines.ON_FLOW[kind](baselines.raft.load_network(path))
        return model, f"{kind}-{path.stem}" if source else kind
    if name in (shipped := checkpoint.shipped()):
        return checkpoint.load(shipped[name]), name
    if name in models.MODELS:
        raise ValueError(
            f"model {name!r} has no weights in this version; give the path to published "
            f"weights ({', '.join(sorted(_PUBLISHED))}), or one of {', '.join(choices())}"
        )
    path = Path(name)
    if path.is_file() or path.suffix in _OURS | _PUBLISHED or len(path.parts) > 1:
        return _from_file(path), path.stem
    raise ValueError(
        f"no model {name!r}: there are {', '.join(choices())}, or the path to a file of weights"
    )


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; give a file of weights, or one of {', '.join(choices())}"
        )
    if path.suffix not in _OURS | _PUBLISHED:
        raise ValueError(
            f"{path}: expected weights in {', '.join(sorted(_OURS | _PUBLISHED))}, got "
            f"{path.suffix or 'no suffix'}; or give one of {', '.join(choices())}"
        )
    from tapnet import checkpoint

    return checkpoint.load(path) if path.suffix in _OURS else checkpoint.load_published(path)


def _choose_device(device: str) -> torch.device:
    """ "auto", a kind of device, or kind:index; ValueError if this machine has no such device."""
    there = {"cpu": 1}  # how many of each kind, the best last
    if torch.backends.mps.is_available():
        there["mps"] = 1
    if torch.cuda.is_available():
        there["cuda"] = torch.cuda.device_count()
    if device == "auto":
        return torch.device(list(there)[-1])
    kind, colon, index = device.partition(":")
    known = not colon or (index.isdecimal() and int(index) < there.get(kind, 0))
    if kind not in there or not known:
        indexed = [f"{name}:{i}" for name, count in there.items() for i in range(count)]
        raise ValueError(
            f"no device {device!r} on this machine: there are auto, {', '.join([*there, *indexed])}"
        )
    return torch.device(device)


@dataclass(frozen=True)
class Tracker:
    """A model ready for use; `load` makes one."""

    model: Model
    name: str
    resolution: Resolution = None  # that frames are resized to: see `geometry.fitted`
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def track(
        self,
        video: Source,
        points: Points,
        start: int | None = None,
        stop: int | None = None,
        progress: Progress | None = None,
    ) -> Tracks:
        """Where `points` go in frames `start` to `stop` - 1 of `video`, forward and backward.

        `video` is a file, a folder of images or [T,H,W,3] uint8; `points` are [N,3] (t, y, x) in
        its raster pixels, t counting the frames of the whole file, or a text for `queries.parse`
        ("grid:16" is a grid on the first frame tracked).
        An online model streams the file, so memory does not grow with it. `progress` is called
        with the frames done and the frames in all; for a model of whole clips these are frames
        read, and its work follows the last call. Raises ValueError and FileNotFoundError.
        """
        clip = open_video(video)
        part = _part(clip, start, stop)
        query_points = _query_points(points, clip.size, part)
        work = self._by_frame if self.model.online else self._by_clip
        result = work(clip, query_points, part, progress)
        return Tracks(query_points, *result, clip.size, clip.fps, part.start)

    def stream(self, size: tuple[int, int]) -> Stream:
        """Track in video that comes frame by frame, each of `size` (height, width)."""
        if not self.model.online:
            able = [name for name in choices() if _build(name)[0].online]
            raise ValueError(
                f"model {self.name!r} needs the whole clip and cannot follow a stream; "
                f"take one that can: {', '.join(able)}"
            )
        return Stream(cast(OnlineModel, self.model), size, self.resolution, self.device)

    @torch.inference_mode()
    def _by_clip(
        self, clip: Video, query_points: np.ndarray, part: range, progress: Progress | None
    ) -> Result:
        """The model's answer to the whole part at once, held at the model's resolution."""
        used = fitted(clip.size, self.resolution)
        frames = None
        for i, frame in enumerate(clip.frames(part.start, part.stop)):
            image = prepare(frame, used, self.device)
            frames = image.new_empty((len(part), *image.shape)) if frames is None else frames
            frames[i] = image
            if progress:
                progress(i + 1, len(part))
        assert frames is not None  # no part is empty
        since_start = query_points - np.array([part.start, 0, 0], np.float32)
        asked = rescale(since_start, clip.size, used)
        said = self.model(frames[None], torch.from_numpy(asked)[None].to(self.device))
        xy = rescale(said.tracks[0].float(), used, clip.size)
        visible, confidence = said.visible[0], said.confidence[0].float()
        return xy.cpu().numpy(), visible.cpu().numpy(), confidence.cpu().numpy()

    def _by_frame(
        self, clip: Video, query_points: np.ndarray, part: range, progress: Progress | None
    ) -> Result:
        """Two walks over the file: forward from the first query, backward from the last."""
        shape = len(query_points), len(part)
        xy, visible = np.zeros((*shape, 2), np.float32), np.zeros(shape, bool)
        confidence = np.zeros(shape, np.float32)
        if not len(query_points):
            return xy, visible, confidence
        times = query_points[:, 0].astype(int)
        ahead, back = range(times.min(), part.stop), range(times.max(), part.start - 1, -1)
        walks = [zip(ahead, clip.frames(ahead.start, ahead.stop), strict=True)]
        if len(back) > 1:  # there is something before the queries
            frames = clip.frames_backward(part.start, back.start + 1)
            walks.append(zip(back, frames, strict=True))
        walked = chain.from_iterable(self._walk(w, clip.size, query_points) for w in walks)
        again = len(ahead) + 1  # then the frame of the last query comes once more: not counted
        for done, (t, rows, now) in enumerate(walked, start=1):
            column = t - part.start
            xy[rows, column], visible[rows, column] = now.xy, now.visible
            confidence[rows, column] = now.confidence
            if progress and done != again:
                progress(done - (done > again), len(ahead) + len(back) - 1)
        return xy, visible, confidence

    def _walk(
        self,
        frames: Iterable[tuple[int, np.ndarray]],
        size: tuple[int, int],
        query_points: np.ndarray,
    ) -> Iterator[tuple[int, np.ndarray, Now]]:
        """Each frame's index, which queries are followed in it by now, and what is said of them."""
        stream = self.stream(size)
        followed = np.zeros(0, int)  # the query of each id
        for t, frame in frames:
            stream.step(frame)
            asked = np.flatnonzero(query_points[:, 0] == t)
            stream.add(query_points[asked, 1:])
            followed = np.concatenate([followed, asked])
            yield t, followed, stream.now


def _part(clip: Video, start: int | None, stop: int | None) -> range:
    """The frames to track."""
    try:
        first = 0 if start is None else operator.index(start)
        last = len(clip) if stop is None else operator.index(stop)
    except TypeError as error:
        raise ValueError(
            f"start and stop: expected whole numbers, got {start!r} and {stop!r}"
        ) from error
    if not 0 <= first < last <= len(clip):
        raise ValueError(
            f"start and stop: expected 0 <= start < stop <= {len(clip)} (the frames of the video), "
            f"got {first} and {last}"
        )
    return range(first, last)


def _query_points(points: Points, size: tuple[int, int], part: range) -> np.ndarray:
    """[N, 3] float32 (t, y, x), all of them in the frames tracked."""
    if isinstance(points, str | Path):
        grid = str(points).strip()
        if grid.startswith("grid:") and "@" not in grid:
            points = f"{grid}@{part.start}"  # a grid is on the first frame tracked
        query_points = queries.parse(points, size, part.stop)
    else:
        query_points = queries.check(points, size, part.stop)
    times = query_points[:, 0]
    bad = np.flatnonzero((times < part.start) | (times != np.rint(times)))
    if len(bad):
        raise ValueError(
            f"points: expected t, the first number, a whole frame {part.start}..{part.stop - 1}, "
            f"got t = {times[bad[0]]:g} for point {bad[0]}; t counts the frames of the whole video"
        )
    return query_points
