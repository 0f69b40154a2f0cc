"""Labelled videos. `DATASETS` names the layouts that are read; each gives one clip at a time.

for clip in open_dataset("tapvid_davis.pkl"): ...
"""

from __future__ import annotations

from pathlib import Path

from tapnet.data.clip import Clip, Dataset
from tapnet.data.jhmdb import Jhmdb
from tapnet.data.tapvid import TapVid

__all__ = ["DATASETS", "Clip", "Dataset", "open_dataset"]

DATASETS: dict[str, type[Dataset]] = {kind.kind: kind for kind in (Jhmdb, TapVid)}


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
    fitting = [dataset for dataset in DATASETS.values() if dataset.fits(path)]
    if not fitting:
        raise ValueError(
            f"{path}: looks like no dataset that is read ({', '.join(DATASETS)}); "
            "name its kind if it is one"
        )
    return fitting[0](path)
