"""The first pass: ask a tracker about every video of a dataset, and keep what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tapnet import video
from tapnet.data import Clip, Dataset
from tapnet.evaluate import folder
from tapnet.evaluate.cost import measured
from tapnet.evaluate.folder import Independence, Predicted
from tapnet.evaluate.protocol import (
    OFFICIAL,
    Protocol,
    ResizeFilter,
    Settings,
    device_of,
    protocol_of,
)
from tapnet.geometry import Resolution, Size, fitted, rescale
from tapnet.metrics import QueryMode
from tapnet.queries import Queries
from tapnet.stream import prepare

Progress = Callable[[str, int, str], None]  # the pass, videos done, name of the last


def predict(
    dataset: Dataset,
    tracker: Any,
    settings: Settings,
    out: Path,
    progress: Progress | None = None,
) -> Protocol:
    """Fill the folder `out` with a prediction for each video; those that are there are kept.

    Raises ValueError if `out` holds predictions of another protocol, if there is no video, or if
    two have one name.
    """
    protocol = protocol_of(dataset, tracker, settings)
    folder.claim(out, protocol, dataset.path)
    done, names = 0, set[str]()
    for done, clip in enumerate(dataset, start=1):
        if clip.name in names:
            raise ValueError(
                f"{clip.source}: expected clips whose names differ, got two of the name "
                f"{clip.name!r}; judge them as two datasets"
            )
        names.add(clip.name)
        if not folder.has(out, clip.name):
            folder.save(out, clip.name, predict_clip(clip, tracker, settings))
        if progress is not None:
            progress("predicting", done, clip.name)
    if not done:
        raise ValueError(f"{dataset.path}: expected one clip or more, got none")
    return protocol


def predict_clip(clip: Clip, tracker: Any, settings: Settings) -> Predicted:
    """What `tracker` says of the queries of one video, in the pixels of that video."""
    frames, size = _frames(clip, settings.given(tracker), settings.resize_filter)
    query_points = clip.queries(size, settings.query_mode).query_points
    return _ask(frames, size, query_points, tracker, settings)


def asked_of(
    clip: Clip, predicted: Predicted, query_mode: QueryMode
) -> tuple[Queries, tuple[int, int]]:
    """The queries of a video with their truth, in the pixels of the prediction, and its size.

    Raises ValueError if the prediction is of other queries.
    """
    size = (int(predicted.size[0]), int(predicted.size[1]))
    asked = clip.queries(size, query_mode)
    found, expected = predicted.tracks.shape[:2], asked.occluded.shape
    if found != expected:
        raise ValueError(
            f"{clip.source}: expected a prediction of [N T] = {list(expected)}, got "
            f"{list(found)}; remove the predictions and run again"
        )
    if not np.allclose(asked.query_points, predicted.query_points, atol=1e-3):
        raise ValueError(
            f"{clip.source}: expected a prediction of this clip's queries, got one of others; "
            "remove the predictions and run again"
        )
    return asked, size


def independence(
    dataset: Dataset, tracker: Any, settings: Settings, videos: int = 3, queries: int = 4
) -> Independence:
    """Ask some queries of the first videos alone, and with all others, and compare the answers."""
    checked = asked = flags = 0
    distance = confidence = 0.0
    for clip in dataset:
        if checked == videos:
            break
        frames, size = _frames(clip, settings.given(tracker), settings.resize_filter)
        query_points = clip.queries(size, settings.query_mode).query_points
        if len(query_points) < 2:
            continue
        together = _ask(frames, size, query_points, tracker, settings)
        spread = np.linspace(0, len(query_points) - 1, min(queries, len(query_points)))
        for n in np.unique(spread.astype(int)):
            alone = _ask(frames, size, query_points[[n]], tracker, settings)
            moved = rescale(alone.tracks[0] - together.tracks[n], size, OFFICIAL)
            distance = max(distance, float(np.linalg.norm(moved, axis=-1).max()))
            changed = np.abs(alone.confidence[0] - together.confidence[n])
            confidence = max(confidence, float(changed.max()))
            flags += int((alone.visible[0] != together.visible[n]).sum())
            asked += 1
        checked += 1
    if not checked:
        raise ValueError(
            f"{dataset.path}: expected a clip with two queries or more to check that they are "
            "independent, got none"
        )
    return Independence(checked, asked, distance, confidence, flags)


@torch.inference_mode()
def _ask(
    frames: np.ndarray, size: Size, query_points: np.ndarray, tracker: Any, settings: Settings
) -> Predicted:
    seen = settings.seen((frames.shape[1], frames.shape[2]), tracker)
    device = device_of(tracker)
    asked = torch.from_numpy(rescale(query_points, size, seen).astype(np.float32))[None].to(device)
    step = settings.points_per_call or max(len(query_points), 1)
    chunks = asked.split(step, dim=1) if len(query_points) else ()
    with measured(device) as costs:
        pixels = _enlarged(frames, seen, torch.device(device))[None]
        parts = [tracker.model(pixels, chunk) for chunk in chunks]

    def joined(field: str, *axes: int) -> np.ndarray:
        arrays = [getattr(part, field)[0].cpu().numpy() for part in parts]
        return np.concatenate([np.zeros((0, len(frames), *axes), np.float32), *arrays])

    tracks = rescale(joined("tracks", 2).astype(np.float32), seen, size)
    visible = joined("visible").astype(bool)
    confidence = joined("confidence").astype(np.float32)
    if settings.direction == "forward":
        earlier = np.arange(len(frames)) < np.rint(query_points[:, :1])
        tracks = np.where(earlier[..., None], query_points[:, None, [2, 1]], tracks)
        visible, confidence = visible & ~earlier, np.where(earlier, 0, confidence)
    return Predicted(
        query_points,
        tracks.astype(np.float32),
        visible,
        confidence.astype(np.float32),
        np.array(size),
        costs[0],
    )


def _enlarged(frames: np.ndarray, size: Size, device: torch.device) -> torch.Tensor:
    """[T, height, width, 3] uint8 on the device."""
    if frames.shape[1:3] == size:
        return torch.from_numpy(frames).to(device)
    large = torch.empty((len(frames), *size, 3), dtype=torch.uint8, device=device)
    for frame, into in zip(frames, large, strict=True):
        into.copy_(prepare(frame, size, device))
    return large


def _frames(clip: Clip, given: Resolution, resize_filter: ResizeFilter) -> tuple[np.ndarray, Size]:
    """[T, h, w, 3] uint8 for the model, and (height, width) of the frames as they are stored.

    Frames are decoded and resized one by one: a clip of large frames is never whole in memory.
    """
    if given is None:
        frames = np.ascontiguousarray(clip.video())
        return frames, (frames.shape[1], frames.shape[2])
    frames, size = np.zeros((0, 1, 1, 3), np.uint8), (1, 1)
    for t, image in enumerate(clip.images()):
        if not t:
            size = (image.shape[0], image.shape[1])
            frames = np.empty((len(clip), *fitted(size, given), 3), np.uint8)
        frames[t] = _resized(image, (frames.shape[1], frames.shape[2]), resize_filter)
    return frames, size


def _resized(image: np.ndarray, size: Size, resize_filter: ResizeFilter) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    if resize_filter == "lanczos":
        return video.resize_tapvid(image[None], size)[0]
    return video.resize(torch.from_numpy(np.ascontiguousarray(image)), size).numpy()
