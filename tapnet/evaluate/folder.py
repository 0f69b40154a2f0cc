"""The folder of a run: its settings, and a file of predictions for each video.

    settings.json      the protocol, and where the dataset was
    VIDEO.npz          what the tracker said of one video, and what that took
    independence.json  if it was checked whether queries influence one another

`results` adds what scoring gives. Every file appears whole or not at all.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from tapnet.evaluate.cost import Cost
from tapnet.evaluate.protocol import Protocol
from tapnet.files import replacing
from tapnet.pickles import open_npz
from tapnet.structs import check_shapes

SETTINGS, RESULT = "settings.json", "result.json"
CURVES = "curves.npz"  # of `results`; no video's
_INDEPENDENCE = "independence.json"
_LONGEST = 255 - len(".npz")  # what file systems take
_ARRAYS = ("query_points", "tracks", "visible", "confidence", "size")


@dataclass(frozen=True)
class Predicted:
    """What a tracker said of one video, in the pixels of that video."""

    query_points: np.ndarray  # [N, 3] (t, y, x)
    tracks: np.ndarray  # [N, T, 2] float32 (x, y)
    visible: np.ndarray  # [N, T] bool
    confidence: np.ndarray  # [N, T] float32
    size: np.ndarray  # (height, width)
    cost: Cost | None = None  # None = not measured

    def __post_init__(self) -> None:
        check_shapes(
            query_points=(self.query_points, "N 3"),
            tracks=(self.tracks, "N T 2"),
            visible=(self.visible, "N T"),
            confidence=(self.confidence, "N T"),
            size=(self.size, "2"),
        )


@dataclass(frozen=True)
class Independence:
    """How much the answer to a query changed when other queries were asked with it."""

    videos: int
    queries: int  # asked alone, and again with all others of their video
    distance: float  # the longest between two such positions, in pixels at 256x256
    confidence: float  # the largest change of it
    flags: int  # visible in one answer and not in the other

    def __str__(self) -> str:
        return (
            f"{self.queries} queries of {self.videos} videos asked alone and with all others: "
            f"positions differ by up to {self.distance:.2g} px (at 256x256), confidence by up to "
            f"{self.confidence:.2g}, {self.flags} visible flags"
        )


def claim(out: Path, protocol: Protocol, dataset: Path) -> None:
    """Make `out` the folder of this protocol's predictions, or refuse if it is another's.

    A folder without any and without a result, as an evaluation leaves that failed at the first
    clip, is made anew.
    """
    out.mkdir(parents=True, exist_ok=True)
    if (out / "run.json").exists():
        raise ValueError(f"{out}: holds a training; choose another folder with --out")
    if not any(out.glob("*.npz")) and not (out / RESULT).exists():
        _write(out / SETTINGS, {"protocol": asdict(protocol), "path": str(dataset.resolve())})
        return
    if not (out / SETTINGS).exists():
        raise ValueError(f"{out}: expected a new folder, got .npz files without {SETTINGS}")
    found, wanted = _settings(out)["protocol"], asdict(protocol)
    told = [key for key in wanted if key in found]  # others came later, and are not known of it
    differing = [f"{k} {found[k]!r} (now {wanted[k]!r})" for k in told if found[k] != wanted[k]]
    if differing:
        raise ValueError(
            f"{out}: holds predictions made with {', '.join(differing)}; choose another folder, or "
            "remove this one"
        )


def read_settings(out: Path) -> Protocol:
    """The protocol of the predictions in `out`. FileNotFoundError, ValueError if there are none."""
    return Protocol(**_settings(out)["protocol"])


def read_dataset_path(out: Path) -> Path:
    """Where the dataset lay when the predictions were made."""
    return Path(_settings(out)["path"])


def _settings(out: Path) -> dict[str, Any]:
    path = out / SETTINGS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a folder of predictions")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        Protocol(**content["protocol"])
        return {"protocol": content["protocol"], "path": str(content["path"])}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: expected the settings of an evaluation, but {error}") from error


def _file(out: Path, name: str) -> Path:
    """The file of a video: no other video's, and none that the folder keeps for itself."""
    quoted = quote(name, safe=" ") or "%"
    if f"{quoted}.npz".lower() == CURVES:
        quoted = f"%{ord(name[0]):02X}{name[1:]}"
    if len(quoted) > _LONGEST:  # quoting makes nine letters of a Chinese one
        quoted = f"{quoted[:128]}%-{sha256(quoted.encode()).hexdigest()}"
    return out / f"{quoted}.npz"


def save(out: Path, name: str, predicted: Predicted) -> None:
    """Keep what was said of the video called `name`."""
    arrays = {key: getattr(predicted, key) for key in _ARRAYS}
    if predicted.cost is not None:
        arrays["cost"] = np.array(json.dumps(asdict(predicted.cost)))
    with replacing(_file(out, name)) as temporary:
        np.savez_compressed(temporary, **arrays)


def has(out: Path, name: str) -> bool:
    """Whether the video called `name` was predicted."""
    return _file(out, name).exists()


def load(out: Path, name: str) -> Predicted | None:
    """What was said of the video called `name`; None if nothing was. ValueError if damaged."""
    path = _file(out, name)
    if not path.exists():
        return None
    try:
        with open_npz(path) as arrays:
            cost = Cost(**json.loads(str(arrays["cost"]))) if "cost" in arrays else None
            return Predicted(**{key: arrays[key] for key in _ARRAYS}, cost=cost)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: damaged ({error}); remove it to predict it again") from error


def save_independence(out: Path, found: Independence) -> None:
    """Keep what was found."""
    _write(out / _INDEPENDENCE, asdict(found))


def load_independence(out: Path) -> Independence | None:
    """What was found; None if it was not checked."""
    path = out / _INDEPENDENCE
    if not path.exists():
        return None
    try:
        return Independence(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: damaged ({error}); remove it to check again") from error


def _write(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")
