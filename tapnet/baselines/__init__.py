"""Trackers that work today with nothing to train; the same interface as a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapnet.baselines.flow import Flow, MultiFlow, farneback
from tapnet.baselines.klt import KLT
from tapnet.baselines.online import OnlineTracker

BASELINES: dict[str, Callable[[], OnlineTracker[Any, Any]]] = {
    "klt": KLT,
    "flow": Flow,
    "flow-farneback": lambda: Flow(farneback),
    "flow-multi": MultiFlow,
}
