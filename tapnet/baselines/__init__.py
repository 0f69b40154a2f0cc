"""Trackers with nothing to train; the same interface as a model. See docs/baselines.md."""

from __future__ import annotations

from collections.abc import Callable

from tapnet.baselines.cycle import Cycle
from tapnet.baselines.flow import Flow, MultiFlow, farneback
from tapnet.baselines.klt import KLT
from tapnet.baselines.offline import ClipTracker
from tapnet.baselines.raft import RaftFlow, RaftMultiFlow
from tapnet.baselines.sfm import SfM
from tapnet.baselines.still import Still

BASELINES: dict[str, Callable[[], ClipTracker]] = {
    "flow": Flow,
    "flow-farneback": lambda: Flow(farneback),
    "flow-multi": MultiFlow,
    "klt": KLT,
    "sfm": SfM,
    "still": Still,
}
ON_FEATURES: dict[str, type[Cycle]] = {"cycle": Cycle}  # of another model
ON_FLOW: dict[str, type[RaftFlow] | type[RaftMultiFlow]] = {  # of a network of ptlflow
    "raft": RaftFlow,
    "raft-multi": RaftMultiFlow,
}
