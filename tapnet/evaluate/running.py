"""Predict every video of a dataset, and score what was predicted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

import tapnet
from tapnet import metrics, video
from tapnet.data import tapvid
from tapnet.evaluate import folder
from tapnet.evaluate.folder import Predicted
from tapnet.evaluate.results import Protocol, Result, Row
from tapnet.geometry import rescale
from tapnet.metrics import QueryMode

SCORED_AT = (256, 256)
DIRECTION = "forward and backward"  # what every model does with a query
Progress = Callable[[int, str], None]  # videos done, name of the last


@dataclass(frozen=True)
class _Settings:
    """How videos are given to the model."""

    query_mode: QueryMode
    resolution: tuple[int, int] | None  # (height, width); None = as they are
    resize_filter: str
    points_per_call: int | None

    def __post_init__(self) -> None:
        size, filter_, points = self.resolution, self.resize_filter, self.points_per_call
        if self.query_mode not in ("first", "strided"):
            raise ValueError(f"query_mode: expected 'first' or 'strided', got {self.query_mode!r}")
        if filter_ not in ("lanczos", "bilinear"):
            raise ValueError(f"resize_filter: expected 'lanczos' or 'bilinear', got {filter_!r}")
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"resolution: expected (height, width) in pixels, got {size}")
        if points is not None and points < 1:
            raise ValueError(f"points_per_call: expected 1 or more, got {points}")


def evaluate(
    path: str | Path,
    tracker: Any,
    *,
    query_mode: QueryMode = "first",
    resolution: tuple[int, int] | Literal["model"] | None = "model",
    resize_filter: Literal["lanczos", "bilinear"] = "lanczos",
    points_per_call: int | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """The scores of `tracker` on the TAP-Vid pickle (or folder of pickles) at `path`.

    `tracker` has `.model`, `.name` and `.resolution`, as `tapnet.load` gives. `resolution` (height,
    width) is what videos are resized to for the model: by default what the tracker asks for, None
    = not at all. `points_per_call` splits the points of a video (1 = each on its own; None = all
    together). `out` is a folder for the predictions; those already there are used, and ValueError
    is raised if they were made under another protocol.
    """
    settings = _Settings(
        query_mode,
        tracker.resolution if resolution == "model" else resolution,
        resize_filter,
        points_per_call,
    )
    protocol = _protocol(path, tracker, settings)
    if out is not None:
        folder.claim(Path(out), protocol)
    rows = []
    for clip in tapvid.read(path):
        predicted = None if out is None else folder.load(Path(out), clip.name)
        if predicted is None:
            predicted = _predict(clip, tracker, settings)
            if out is not None:
                folder.save(Path(out), clip.name, predicted)
        rows.append(score_clip(clip, predicted, query_mode))
        if progress is not None:
            progress(len(rows), clip.name)
    return _result(path, protocol, rows)


def score(path: str | Path, out: str | Path) -> Result:
    """The scores of the predictions in the folder `out`, made by `evaluate` from `path`.

    Raises FileNotFoundError where predictions are missing, and ValueError if they were made from
    another dataset.
    """
    protocol = folder.read_settings(Path(out))
    if protocol.dataset_sha256 != (found := _sha256_of_files(path)):
        raise ValueError(
            f"{out}: expected predictions for {path} (sha256 {found[:16]}), got some for "
            f"{protocol.dataset} (sha256 {protocol.dataset_sha256[:16]})"
        )
    rows = []
    for clip in tapvid.read(path):
        predicted = folder.load(Path(out), clip.name)
        if predicted is None:
            raise FileNotFoundError(
                f"{out}: no prediction for {clip.name!r}; run the evaluation again to complete it"
            )
        rows.append(score_clip(clip, predicted, protocol.query_mode))
    return _result(path, protocol, rows)


def _result(path: str | Path, protocol: Protocol, rows: list[Row]) -> Result:
    if not rows:
        raise ValueError(f"{path}: expected one clip or more, got none")
    return Result(protocol, tuple(rows))


def score_clip(clip: tapvid.Clip, predicted: Predicted, query_mode: QueryMode) -> Row:
    """The scores of one video, TAP-Vid's by their reference names.

    Without occlusion labels only positions are judged. `pck_t` where the clip has `object_area`.
    """
    size = (int(predicted.size[0]), int(predicted.size[1]))
    asked = clip.queries(size, query_mode)
    if predicted.tracks.shape[:2] != asked.occluded.shape:
        raise ValueError(
            f"{clip.source}: expected a prediction of [N T] = {list(asked.occluded.shape)}, got "
            f"{list(predicted.tracks.shape[:2])}; remove the predictions and run again"
        )
    found = metrics.tapvid(
        asked.query_points,
        asked.occluded,
        rescale(asked.target_points, size, SCORED_AT),
        ~predicted.visible,
        rescale(predicted.tracks.astype(np.float64), size, SCORED_AT),
        query_mode,
        annotated=asked.annotated,
    )
    scores = {name: float(value) for name, value in found.items()}
    if not clip.has_occlusion_labels:
        scores |= {name: float("nan") for name in scores if "pts_within" not in name}
    if clip.object_area is not None:
        scores["pck_t"] = metrics.within_object(
            asked.query_points,
            asked.occluded,
            asked.target_points,
            predicted.tracks,
            clip.object_area,
            query_mode,
            annotated=asked.annotated,
        )
    return Row(clip.name, len(asked.query_points), len(clip), scores)


# --------------------------------------------------------------------------- predicting


@torch.inference_mode()
def _predict(clip: tapvid.Clip, tracker: Any, settings: _Settings) -> Predicted:
    frames = clip.video()
    size = (frames.shape[1], frames.shape[2])
    given = settings.resolution or size
    query_points = clip.queries(size, settings.query_mode).query_points
    resized = torch.from_numpy(_resized(frames, given, settings.resize_filter))[None]
    asked = torch.from_numpy(rescale(query_points, size, given).astype(np.float32))[None]
    device = _device(tracker)
    resized, asked = resized.to(device), asked.to(device)
    step = settings.points_per_call or max(len(query_points), 1)
    chunks = asked.split(step, dim=1) if len(query_points) else ()
    parts = [tracker.model(resized, chunk) for chunk in chunks]

    def joined(field: str, *axes: int) -> np.ndarray:
        arrays = [getattr(part, field)[0].cpu().numpy() for part in parts]
        return np.concatenate([np.zeros((0, len(clip), *axes), np.float32), *arrays])

    return Predicted(
        query_points,
        rescale(joined("tracks", 2).astype(np.float32), given, size),
        joined("visible").astype(bool),
        joined("confidence").astype(np.float32),
        np.array(size),
    )


def _resized(frames: np.ndarray, size: tuple[int, int], resize_filter: str) -> np.ndarray:
    if frames.shape[1:3] == tuple(size):
        return np.ascontiguousarray(frames)
    if resize_filter == "lanczos":
        return video.resize_tapvid(frames, size)
    return video.resize(torch.from_numpy(np.ascontiguousarray(frames)), size).numpy()


# --------------------------------------------------------------------------- the protocol


def _protocol(path: str | Path, tracker: Any, settings: _Settings) -> Protocol:
    dtypes = [p.dtype for p in _parameters(tracker.model)]
    size = settings.resolution
    return Protocol(
        dataset=Path(path).name,
        dataset_sha256=_sha256_of_files(path),
        query_mode=settings.query_mode,
        resolution="native" if size is None else f"{size[0]}x{size[1]}",
        resize_filter="none" if size is None else settings.resize_filter,
        direction=DIRECTION,
        points_per_call=str(settings.points_per_call or "all"),
        model=tracker.name,
        weights_sha256=_sha256_of_weights(tracker.model),
        precision=str(dtypes[0]).removeprefix("torch.") if dtypes else None,
        device=_device(tracker),
        torch_version=torch.__version__,
        tapnet_version=tapnet.__version__,
    )


def _parameters(model: Any) -> list[torch.Tensor]:
    return list(model.parameters()) if isinstance(model, torch.nn.Module) else []


def _device(tracker: Any) -> str:
    parameters = _parameters(tracker.model)
    return str(parameters[0].device if parameters else getattr(tracker, "device", "cpu"))


def _sha256_of_files(path: str | Path) -> str:
    """Of the file, or of the hashes of a folder's files in order."""
    hashes = []
    for file in tapvid.files(path):
        with open(file, "rb") as opened:
            hashes.append(hashlib.file_digest(opened, "sha256").hexdigest())
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _sha256_of_weights(model: Any) -> str | None:
    """Of names, types, shapes and values, so that one model has one hash in every file format."""
    state = model.state_dict() if isinstance(model, torch.nn.Module) else {}
    if not state:
        return None
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
