"""What an evaluation gives: scores of every video, their means, and the protocol behind them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tapnet import metrics
from tapnet.metrics import Mean, QueryMode


@dataclass(frozen=True)
class Protocol:
    """All that must be equal for two scores to compare."""

    dataset: str
    dataset_sha256: str
    query_mode: QueryMode
    resolution: str  # what the model was given: "256x256" (height x width) or "native"
    resize_filter: str  # "lanczos" as TAP-Vid, "bilinear" (antialiased), or "none"
    direction: str  # frames a query is tracked to
    points_per_call: str  # "all" of a video at once, or how many
    model: str
    weights_sha256: str | None  # None = nothing trained
    precision: str | None  # None = no weights
    device: str
    torch_version: str
    tapnet_version: str


@dataclass(frozen=True)
class Row:
    """The scores of one video, 0..1; NaN where there was nothing to judge."""

    name: str
    points: int
    frames: int
    scores: dict[str, float]


@dataclass(frozen=True)
class Result:
    """Scores of every video, and how they came about."""

    protocol: Protocol
    rows: tuple[Row, ...]

    @cached_property
    def mean(self) -> dict[str, Mean]:
        """Mean over videos of each score, with the videos left out; see `metrics.mean`."""
        return metrics.mean({row.name: row.scores for row in self.rows})

    def to_json(self) -> str:
        """Protocol, rows and means; scores are 0..1, null where there was nothing to judge."""
        content = {
            "protocol": asdict(self.protocol),
            "mean": {name: asdict(mean) for name, mean in self.mean.items()},
            "videos": [asdict(row) for row in self.rows],
        }
        return json.dumps(_without_nan(content), indent=2, allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value
