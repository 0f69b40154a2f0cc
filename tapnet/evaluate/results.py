"""What an evaluation gives: scores of every video, their means, and the protocol behind them."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tapnet.evaluate.cost import Cost
from tapnet.evaluate.folder import CURVES, RESULT, Independence
from tapnet.evaluate.protocol import Protocol
from tapnet.evaluate.statistics import Interval, Sums, interval, mean_of
from tapnet.files import replacing
from tapnet.metrics import Mean
from tapnet.pickles import open_npz

POINTS = "points.csv"


@dataclass(frozen=True)
class Pooled:
    """A score that is taken over all videos at once: sums of one video, see `statistics.Sums`."""

    part: tuple[float, ...]
    whole: tuple[float, ...]
    empty: float | None = None  # what a group without anything counts; None = it is left out

    @property
    def value(self) -> float:
        """The score of this video alone."""
        empty = float("nan") if self.empty is None else self.empty
        return float(Sums(np.array([self.part]), np.array([self.whole]), empty).value())


@dataclass(frozen=True)
class Row:
    """The scores of one video, 0..1; NaN where there was nothing to judge."""

    name: str
    points: int  # queries
    frames: int
    scores: dict[str, float]
    pooled: dict[str, Pooled] = field(default_factory=dict)  # of scores that are no plain mean
    cost: Cost | None = None  # None = not measured
    by_point: dict[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)  # [N]
    curves: dict[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Result:
    """Scores of every video, and how they came about."""

    protocol: Protocol
    rows: tuple[Row, ...]
    independence: Independence | None = None  # None = not checked

    @cached_property
    def mean(self) -> dict[str, Mean]:
        """The score over all videos of each name, with the videos left out."""
        names = dict.fromkeys(name for row in self.rows for name in row.scores)
        return {name: self._mean(name) for name in names}

    def _mean(self, name: str) -> Mean:
        sums = self.sums(name)
        missing = tuple(self.rows[i].name for i in np.flatnonzero(~sums.judged))
        return Mean(float(sums.value()), len(self.rows) - len(missing), missing)

    def sums(self, name: str) -> Sums:
        """What the score `name` is made of, video by video: for `statistics`."""
        groups = next((len(r.pooled[name].part) for r in self.rows if name in r.pooled), 0)
        if not groups:
            return mean_of([row.scores.get(name, float("nan")) for row in self.rows])
        none = Pooled((0.0,) * groups, (0.0,) * groups)
        pooled = [row.pooled.get(name, none) for row in self.rows]
        empty = next((p.empty for p in pooled if p.empty is not None), float("nan"))
        return Sums(np.array([p.part for p in pooled]), np.array([p.whole for p in pooled]), empty)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """95 % bootstrap interval over videos of each score."""
        return {name: interval(self.sums(name)) for name in self.mean}

    @property
    def costs(self) -> list[tuple[Row, Cost]]:
        """The videos whose cost was measured, and of which anything was asked."""
        return [(row, row.cost) for row in self.rows if row.cost is not None and row.points]

    @property
    def machines(self) -> list[str]:
        """What the predictions were made on; one, unless a run went on elsewhere."""
        return list(dict.fromkeys(cost.machine for _, cost in self.costs))

    @property
    def frames_per_second(self) -> float:
        """Frames of all videos by seconds in the model, all queries of a video together."""
        seconds = sum(cost.seconds for _, cost in self.costs)
        return sum(row.frames for row, _ in self.costs) / seconds if seconds else float("nan")

    def without_speed(self) -> Result:
        """The same, with nothing said of seconds."""
        rows = [
            row if row.cost is None else replace(row, cost=replace(row.cost, seconds=float("nan")))
            for row in self.rows
        ]
        return replace(self, rows=tuple(rows))

    @property
    def memory(self) -> float:
        """Bytes of the process at most while it tracked; NaN where the system does not tell."""
        return max((cost.memory for _, cost in self.costs), default=float("nan"))

    @property
    def device_memory(self) -> float:
        """Bytes on the accelerator at most; NaN without one."""
        return max((cost.device_memory for _, cost in self.costs), default=float("nan"))

    def curve(self, name: str) -> np.ndarray:
        """[V, ...] a curve of `curves` for every video; KeyError if this kind has none."""
        return np.stack([row.curves[name] for row in self.rows])

    def to_json(self) -> str:
        """Protocol, means, intervals and rows; scores are 0..1, null where nothing was judged."""
        content = {
            "protocol": asdict(self.protocol),
            "mean": {
                name: {**asdict(mean), "interval": list(asdict(self.intervals[name]).values())}
                for name, mean in self.mean.items()
            },
            "speed": {
                "frames_per_second": self.frames_per_second,
                "memory_bytes": self.memory,
                "device_memory_bytes": self.device_memory,
                "machines": self.machines,
            },
            "independence": None if self.independence is None else asdict(self.independence),
            "videos": [_told(row) for row in self.rows],
        }
        return json.dumps(_without_nan(content), indent=1, allow_nan=False)

    def save(self, out: Path) -> None:
        """Write result.json, points.csv (a line for every query) and curves.npz into `out`."""
        if all(row.curves for row in self.rows):
            stacked: dict[str, Any] = {name: self.curve(name) for name in self.rows[0].curves}
            with replacing(out / CURVES) as temporary:
                np.savez_compressed(temporary, **stacked)
        with replacing(out / POINTS) as temporary:
            self._write_points(temporary)
        with replacing(out / RESULT) as temporary:
            temporary.write_text(self.to_json() + "\n", encoding="utf-8")

    def _write_points(self, path: Path) -> None:
        columns = list(next((row.by_point for row in self.rows if row.by_point), {}))
        with open(path, "w", newline="", encoding="utf-8") as file:
            file.write(f"# {self.protocol.line()}; {self.protocol.facts()['model']}\n")
            writer = csv.writer(file)
            writer.writerow(["video", "query", *columns])
            for row in self.rows:
                for n, values in enumerate(zip(*row.by_point.values(), strict=True)):
                    writer.writerow([row.name, n, *(f"{value:.6g}" for value in values)])


def read_result(out: Path) -> Result:
    """What `Result.save` wrote into `out`, but for the single points.

    Raises FileNotFoundError, and ValueError if the files are damaged.
    """
    path = out / RESULT
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; expected the folder of an evaluation that was scored"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content["independence"]
        result = Result(
            Protocol(**content["protocol"]),
            tuple(_row(told) for told in content["videos"]),
            None if found is None else Independence(**found),
        )
        return _with_curves(result, out / CURVES)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f"{out}: damaged result ({error}); evaluate again to score it") from error


def _with_curves(result: Result, path: Path) -> Result:
    if not path.exists():
        return result
    with open_npz(path) as arrays:
        stacked = {name: arrays[name] for name in arrays.files}
    rows = [
        Row(**{**vars(row), "curves": {name: array[i] for name, array in stacked.items()}})
        for i, row in enumerate(result.rows)
    ]
    return Result(result.protocol, tuple(rows), result.independence)


def _told(row: Row) -> dict[str, Any]:
    told = {name: getattr(row, name) for name in ("name", "points", "frames", "scores")}
    told["pooled"] = {name: asdict(pooled) for name, pooled in row.pooled.items()}
    told["cost"] = None if row.cost is None else asdict(row.cost)
    return told


def _row(told: dict[str, Any]) -> Row:
    nan = float("nan")
    pooled = {
        name: Pooled(tuple(sums["part"]), tuple(sums["whole"]), sums["empty"])
        for name, sums in told["pooled"].items()
    }
    return Row(
        told["name"],
        told["points"],
        told["frames"],
        {name: nan if score is None else score for name, score in told["scores"].items()},
        pooled,
        None if told["cost"] is None else _cost(told["cost"]),
    )


def _cost(told: dict[str, Any]) -> Cost:
    known: dict[str, Any] = {k: float("nan") if v is None else v for k, v in told.items()}
    return Cost(**known)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value
