"""Labelled videos. `DATASETS` names the layouts that are read; each gives one clip at a time.

for clip in open_dataset("tapvid_davis.pkl"): ...
"""

from __future__ import annotations

from pathlib import Path

from tapnet.data.badja import Badja
from tapnet.data.clip import Clip, Dataset
from tapnet.data.csv_tracks import CsvTracks
from tapnet.data.jhmdb import Jhmdb
from tapnet.data.rendered import Movi, Scenes
from tapnet.data.tapvid import TapVid
from tapnet.data.tapvid3d import TapVid3d
from tapnet.data.track_rows import columns

__all__ = ["DATASETS", "Clip", "Dataset", "open_dataset"]

DATASETS: dict[str, type[Dataset]] = {
    kind.kind: kind for kind in (Jhmdb, Badja, CsvTracks, TapVid3d, Movi, Scenes, TapVid)
}
"""Every layout by name; where several fit a path, it is the first of them."""


def open_dataset(path: str | Path, kind: str | None = None) -> Dataset:
    """The dataset at `path`; `kind` is a name of `DATASETS`, None = found out by its look.

    Nothing is read yet. Raises FileNotFoundError, or ValueError when `kind` is unknown or the path
    looks like no layout.
    """
    path = Path(path)
    if kind is not None and kind not in DATASETS:
        raise ValueError(f"no kind of dataset {kind!r}: there are {', '.join(DATASETS)}")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; expected a dataset")
    if kind is not None:
        return DATASETS[kind](path)
    for dataset in DATASETS.values():
        if dataset.fits(path):
            return dataset(path)
    raise ValueError(f"{path}: looks like no dataset that is read; {_advice(path)}")


def _advice(path: Path) -> str:
    if path.suffix in (".zip", ".gz", ".7z"):
        return "unpack it first"
    if path.suffix == ".csv" and columns(path) % 3 == 0:
        return "if it is that of TAP-Vid-Kinetics, make the set by `tapnet data prepare kinetics`"
    if path.is_dir() and any(path.glob("*.csv")):
        return "if it is a CSV file with videos, name that file"
    return f"if it is one, say of which kind: {', '.join(DATASETS)}"
