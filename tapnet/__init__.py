"""Track any point in any video.

    import tapnet
    tracker = tapnet.load()
    tracks = tracker.track("video.mp4", "grid:16")
    tracks.draw("video.mp4", "tracked.mp4")

Names are looked up when they are first used, so that `import tapnet` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tapnet.structs import Example, Prediction
    from tapnet.tracker import Tracker, load
    from tapnet.tracks import Tracks

__version__ = "0.1.0"
__all__ = ["Example", "Prediction", "Tracker", "Tracks", "load"]

_HOME = {
    "Example": "structs",
    "Prediction": "structs",
    "Tracker": "tracker",
    "load": "tracker",
    "Tracks": "tracks",
}
_MODULES = {
    "baselines",
    "checkpoint",
    "data",
    "draw",
    "evaluate",
    "export",
    "geometry",
    "metrics",
    "models",
    "queries",
    "scenes",
    "video",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"tapnet.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"tapnet.{name}")
    raise AttributeError(f"module 'tapnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME, *_MODULES])
