"""Short clips of the videos on which a tracker does worst: truth and prediction on the frames."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tapnet import video
from tapnet.data import Clip, Dataset
from tapnet.evaluate import folder
from tapnet.evaluate.predicting import asked_of
from tapnet.evaluate.protocol import OFFICIAL, Size
from tapnet.evaluate.results import Result
from tapnet.geometry import rescale
from tapnet.metrics import QueryMode, judged_frames, squared_distance
from tapnet.queries import Queries
from tapnet.structs import labelled_entries

SIDE = 384  # pixels, the longer one
POINTS = 24  # drawn on a clip
FPS = 10
_CRF = 30  # small files
_SHIFT = 4  # cv2 takes positions in 1/16 pixel
NEAR, FAR = 4.0, 16.0  # pixels at 256x256
GOOD, FAIR, BAD = (64, 200, 96), (255, 176, 0), (255, 64, 64)  # RGB
_WHITE, _DARK = (255, 255, 255), (16, 16, 16)


@dataclass(frozen=True)
class Film:
    """A clip of one video, as a data URI, and what it shows."""

    model: str
    video: str
    score: float
    uri: str
    poster: str  # data URI of a frame


def worst(result: Result, name: str, count: int) -> list[str]:
    """The names of the `count` videos with the lowest score `name`, the worst first."""
    scores = np.array([row.scores.get(name, np.nan) for row in result.rows])
    order = np.argsort(scores, kind="stable")[: int((~np.isnan(scores)).sum())]
    return [result.rows[i].name for i in order[:count]]


def films(
    dataset: Dataset,
    runs: Sequence[tuple[Path, Result]],
    name: str,
    count: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Film]:
    """For each run its worst videos in the score `name`; the dataset is read once."""
    chosen = [(out, result, worst(result, name, count)) for out, result in runs]
    total = sum(len(names) for *_, names in chosen)
    made: dict[tuple[int, int], Film] = {}
    for clip in dataset:
        for i, (out, result, names) in enumerate(chosen):
            if clip.name not in names:
                continue
            made[i, names.index(clip.name)] = _film(clip, out, result, name)
            if progress is not None:
                progress(len(made), total)
    return [made[key] for key in sorted(made)]


def _film(clip: Clip, out: Path, result: Result, name: str) -> Film:
    predicted = folder.load(out, clip.name)
    if predicted is None:
        raise FileNotFoundError(f"{out}: no prediction for {clip.name!r}; evaluate again")
    mode = result.protocol.asked()
    asked, size = asked_of(clip, predicted, mode)
    few = np.unique(np.linspace(0, len(asked.query_points) - 1, POINTS).astype(int))
    small = (max(2, round(size[0] * SIDE / max(size))), max(2, round(size[1] * SIDE / max(size))))
    frames = _painted(clip, asked, predicted, few, mode, small)
    kept: list[np.ndarray] = []
    with tempfile.TemporaryDirectory(prefix="tapnet-report-") as place:
        path = Path(place) / "film.mp4"
        video.write(path, _keeping(frames, len(clip) // 2, kept), FPS, crf=_CRF)
        film = _uri("video/mp4", path.read_bytes())
    image = cv2.imencode(".jpg", kept[0][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
    score = next(row.scores[name] for row in result.rows if row.name == clip.name)
    return Film(result.protocol.model, clip.name, score, film, _uri("image/jpeg", image.tobytes()))


def _keeping(
    frames: Iterator[np.ndarray], index: int, kept: list[np.ndarray]
) -> Iterator[np.ndarray]:
    """The frames, of which one is also put into `kept`."""
    for t, frame in enumerate(frames):
        if t == index:
            kept.append(frame)
        yield frame


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _painted(
    clip: Clip,
    asked: Queries,
    predicted: folder.Predicted,
    few: np.ndarray,
    query_mode: QueryMode,
    small: Size,
) -> Iterator[np.ndarray]:
    """The frames at size `small`, with the points `few` painted where they are judged or asked."""
    size = (int(predicted.size[0]), int(predicted.size[1]))
    truth, said = asked.target_points[few], predicted.tracks[few].astype(float)
    error = np.sqrt(
        squared_distance(*(rescale(points, size, OFFICIAL) for points in (truth, said)))
    )
    true_xy, said_xy = rescale(truth, size, small), rescale(said, size, small)
    labelled = labelled_entries(asked.occluded, asked.annotated)
    there = (labelled & ~asked.occluded)[few]
    claimed = predicted.visible[few] if clip.has_occlusion_labels else np.ones_like(there)
    judged = judged_frames(asked.query_points[few], len(clip), query_mode)
    judged |= np.arange(len(clip)) == np.rint(asked.query_points[few, :1])
    for t, image in enumerate(clip.images()):
        out = cv2.resize(np.ascontiguousarray(image), small[::-1], interpolation=cv2.INTER_AREA)
        for n in np.flatnonzero(judged[:, t] & labelled[few, t]):
            true = true_xy[n, t] if there[n, t] else None
            _mark(out, true, said_xy[n, t] if claimed[n, t] else None, error[n, t])
        yield out


def _mark(out: np.ndarray, true: np.ndarray | None, said: np.ndarray | None, error: float) -> None:
    """A ring where the point is, a disc where it was said to be, and a line between them.

    A ring without a disc was missed, a disc without a ring is seen where nothing is.
    """
    color = GOOD if error < NEAR else FAIR if error < FAR else BAD
    if true is None or said is None:
        color = BAD
    if true is not None and said is not None:
        cv2.line(out, _fixed(true), _fixed(said), color, 1, cv2.LINE_AA, _SHIFT)
    if true is not None:
        ring = _WHITE if said is not None else BAD
        _circle(out, true, 5.5, _DARK, 3)
        _circle(out, true, 5.5, ring, 1)
    if said is not None:
        _circle(out, said, 3.4, _DARK, cv2.FILLED)
        _circle(out, said, 2.6, color, cv2.FILLED)


def _circle(
    out: np.ndarray, at: np.ndarray, radius: float, color: tuple[int, int, int], width: int
) -> None:
    size = round(radius * (1 << _SHIFT))
    cv2.circle(out, _fixed(at), size, color, width, cv2.LINE_AA, _SHIFT)


def _fixed(point: np.ndarray) -> tuple[int, int]:
    """In cv2's terms; a point far out of the frame is held where cv2 can count."""
    x, y = np.clip(np.round((point - 0.5) * (1 << _SHIFT)), -(1 << 20), 1 << 20).astype(int)
    return int(x), int(y)
