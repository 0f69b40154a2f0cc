"""Judging a model while it is trained: its scores on clips it never sees, and videos of them."""

from __future__ import annotations

import io
import itertools
import logging
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import torch
from torch import nn

from tapnet import checkpoint
from tapnet.config import Run, Score
from tapnet.data import open_dataset, validation
from tapnet.draw import draw
from tapnet.evaluate import Result, evaluate
from tapnet.files import replacing
from tapnet.queries import beside
from tapnet.stream import Model
from tapnet.tracker import Tracker
from tapnet.train.journal import Board, Lines
from tapnet.video import width_by_height

_log = logging.getLogger(__name__)


def datasets(run: Run, workers: int) -> list[Path]:
    """What the model is judged on, the synthetic validation set first.

    That one is rendered now if the folder of the run has it not. Raises FileNotFoundError for a
    dataset that is not there.
    """
    for path in run.evaluation.datasets:
        open_dataset(path)
    if not run.evaluation.clips:
        return list(run.evaluation.datasets)
    size = width_by_height(run.size)
    folder, frames = run.out / f"validation-{run.evaluation.clips}-{size}", run.data.frames
    group = validation.Group(run.evaluation.clips, frames)
    path = folder / f"scenes-{frames}.pkl"
    if not path.exists():
        _log.info("rendering %d clips to be judged on, once: %s", run.evaluation.clips, path)
        settings = replace(validation.SETTINGS, size=run.size)
        validation.write(
            folder, run.data.pack, workers=workers, groups={path.stem: group}, settings=settings
        )
    return [path, *run.evaluation.datasets]


@dataclass(frozen=True)
class Judge:
    """Scores the weights of a run, keeps the best of them, and paints what they say."""

    run: Run
    datasets: list[Path]
    device: torch.device
    board: Board

    def __post_init__(self) -> None:
        if self.run.evaluation.score not in get_args(Score):
            raise ValueError(
                f"evaluation.score: expected one of {', '.join(get_args(Score))}, got "
                f"{self.run.evaluation.score!r}"
            )

    @property
    def lines(self) -> Lines:
        return Lines(self.run.out / "scores.jsonl")

    def due(self, step: int) -> bool:
        """Whether an evaluation has come up since the last one that was made."""
        every, end = self.run.evaluation.every, step == self.run.steps
        if not self.datasets or not (end or (every and step >= every)):
            return False
        last = max((line["step"] for line in self.lines.read()), default=0)
        return (end and last < step) or bool(every and step // every > last // every)

    def __call__(self, model: nn.Module, step: int) -> float:
        """Scores every dataset and writes that down; the best weights so far are kept.

        Gives the seconds it took, which are written down for later legs.
        """
        began = time.monotonic()
        usable = cast(Model, model)
        tracker = Tracker(usable, checkpoint.name_of(model), self.run.size, self.device)
        mode = self.run.evaluation.query_mode
        results = [
            evaluate(path, tracker, query_mode=mode, resolution=self.run.size)
            for path in self.datasets
        ]
        for path, result in zip(self.datasets, results, strict=True):
            _log.info("step %d, %s: %s", step, path.stem, _summary(result))
        first = float(results[0].mean[self.run.evaluation.score].value)
        before = [line["score"] for line in self.lines.read() if line["score"] is not None]
        if math.isfinite(first) and first > max(before, default=-math.inf):
            about: dict[str, Any] = {"step": str(step), self.run.evaluation.score: f"{first:.4f}"}
            checkpoint.save(self.run.out / "best.safetensors", model, **about)
        scores = {
            path.stem: {name: mean.value for name, mean in result.mean.items()}
            for path, result in zip(self.datasets, results, strict=True)
        }
        for dataset, values in scores.items():
            self.board.scalars(step, {f"{dataset}/{name}": v for name, v in values.items()})
        self._paint(tracker, step)
        found = {name: {k: _plain(v) for k, v in values.items()} for name, values in scores.items()}
        seconds = time.monotonic() - began
        line = {"score": _plain(first), "scores": found, "seconds": round(seconds, 2)}
        self.lines.write(step, line)  # last: now it is made
        return seconds

    def _paint(self, tracker: Tracker, step: int) -> None:
        """Some clips of the first dataset twice: what the model says, beside it the truth."""
        count = self.run.evaluation.videos
        if count and not _can_paint():
            _log.info("no videos are painted, since Pillow is not installed: pip install pillow")
            return
        for clip in itertools.islice(open_dataset(self.datasets[0]), count):
            example = clip.example()
            inside = ~beside(example.query_points, example.video.shape[1:3])  # labels may be out
            tracks = tracker.track(example.video, example.query_points[inside])
            said = draw(example.video, tracks.xy, tracks.visible)
            truth = draw(example.video, example.target_points[inside], ~example.occluded[inside])
            frames = [np.hstack(pair) for pair in zip(said, truth, strict=True)]
            gif = _gif(frames)
            folder = self.run.out / "videos"
            folder.mkdir(exist_ok=True)
            with replacing(folder / f"{clip.name}-{step:08d}.gif") as temporary:
                temporary.write_bytes(gif)
            self.board.animation(step, f"prediction beside truth/{clip.name}", gif, frames[0].shape)


def _summary(result: Result) -> str:
    """The scores of TAP-Vid times 100."""
    shown = {
        "AJ": "average_jaccard",
        "delta_avg": "average_pts_within_thresh",
        "OA": "occlusion_accuracy",
    }
    means = result.mean
    return ", ".join(f"{k} {100 * means[v].value:.1f}" for k, v in shown.items() if v in means)


def _plain(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def _can_paint() -> bool:
    try:
        import PIL  # noqa: F401
    except ImportError:
        return False
    return True


def _gif(frames: list[np.ndarray], fps: int = 8) -> bytes:
    """Frames [H, W, 3] as an endless GIF."""
    from PIL import Image

    first, *others = [Image.fromarray(frame) for frame in frames]
    data = io.BytesIO()
    first.save(data, "GIF", save_all=True, append_images=others, duration=1000 // fps, loop=0)
    return data.getvalue()
