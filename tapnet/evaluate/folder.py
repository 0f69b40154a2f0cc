"""The folder of an evaluation: its settings, and a file of predictions for each video."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from tapnet.evaluate.results import Protocol
from tapnet.files import replacing
from tapnet.structs import check_shapes


@dataclass(frozen=True)
class Predicted:
    """What a tracker said of one video, in the pixels of that video."""

    query_points: np.ndarray  # [N, 3] (t, y, x)
    tracks: np.ndarray  # [N, T, 2] float32 (x, y)
    visible: np.ndarray  # [N, T] bool
    confidence: np.ndarray  # [N, T] float32
    size: np.ndarray  # (height, width)

    def __post_init__(self) -> None:
        check_shapes(
            query_points=(self.query_points, "N 3"),
            tracks=(self.tracks, "N T 2"),
            visible=(self.visible, "N T"),
            confidence=(self.confidence, "N T"),
            size=(self.size, "2"),
        )


def claim(out: Path, protocol: Protocol) -> None:
    """Make `out` the folder of this protocol's predictions, or refuse if it is another's."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "settings.json").exists():
        if any(out.glob("*.npz")):
            raise ValueError(f"{out}: expected a new folder, got .npz files without settings.json")
        with replacing(out / "settings.json") as temporary:
            temporary.write_text(json.dumps(asdict(protocol), indent=2))
        return
    found, wanted = asdict(read_settings(out)), asdict(protocol)
    differing = [f"{k} {found[k]!r} (now {wanted[k]!r})" for k in wanted if found[k] != wanted[k]]
    if differing:
        raise ValueError(
            f"{out}: holds predictions made with {', '.join(differing)}; choose another folder, or "
            "remove this one"
        )


def read_settings(out: Path) -> Protocol:
    path = out / "settings.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a folder of predictions")
    try:
        return Protocol(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: expected the settings of an evaluation, but {error}") from error


def _file(out: Path, name: str) -> Path:
    return out / f"{quote(name, safe=' ')}.npz"


def save(out: Path, name: str, predicted: Predicted) -> None:
    with replacing(_file(out, name)) as temporary:
        np.savez_compressed(temporary, **vars(predicted))


def load(out: Path, name: str) -> Predicted | None:
    path = _file(out, name)
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Predicted(**arrays)
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: damaged ({error}); remove it to predict it again") from error
