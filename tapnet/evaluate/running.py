"""Predict every video of a dataset, and score what was predicted."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from tapnet.data import Dataset, open_dataset
from tapnet.evaluate import folder, keypoints
from tapnet.evaluate.predicting import Progress, independence, predict
from tapnet.evaluate.protocol import (
    OFFICIAL,
    Direction,
    ResizeFilter,
    Resolution,
    Settings,
    sha256_of,
)
from tapnet.evaluate.results import Result
from tapnet.evaluate.scoring import score_folder
from tapnet.metrics import QueryMode


def evaluate(
    dataset: str | Path | Dataset,
    tracker: Any,
    *,
    query_mode: QueryMode = "first",
    resolution: Resolution = OFFICIAL,
    resize_filter: ResizeFilter = "lanczos",
    direction: Direction = "both",
    points_per_call: int | None = None,
    check_independence: bool = False,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """The scores of `tracker` on a dataset: by default under the official protocol of TAP-Vid.

    `dataset` is what `tapnet.data.open_dataset` opens, or gives. `tracker` has `.model`, `.name`
    and `.resolution`, as `tapnet.load` gives. What else there is to choose: `Settings`.
    `check_independence` also asks some queries alone, and tells how much the answers differ.

    `out` is a folder for predictions and scores; predictions that are there are used, and
    ValueError is raised if they were made under another protocol. `progress` is called with the
    pass ("predicting", "scoring"), the videos done and the name of the last.
    """
    settings = Settings(query_mode, resolution, resize_filter, direction, points_per_call)
    opened = _opened(dataset)
    if opened.kind == "jhmdb":
        keypoints.check_mode(query_mode)
    with contextlib.ExitStack() as stack:
        if out is None:
            out = stack.enter_context(tempfile.TemporaryDirectory(prefix="tapnet-evaluate-"))
        place = Path(out)
        protocol = predict(opened, tracker, settings, place, progress)
        if check_independence and folder.load_independence(place) is None:
            folder.save_independence(place, independence(opened, tracker, settings))
        return score_folder(opened, place, protocol, progress)


def score(
    dataset: str | Path | Dataset, out: str | Path, progress: Progress | None = None
) -> Result:
    """The scores of the predictions in the folder `out`, made by `evaluate` from `dataset`.

    Raises FileNotFoundError where predictions are missing, and ValueError if they were made from
    another dataset.
    """
    opened, place = _opened(dataset), Path(out)
    protocol = folder.read_settings(place)
    if protocol.dataset_sha256 != (found := sha256_of(opened)):
        raise ValueError(
            f"{out}: expected predictions for {opened.path} (sha256 {found[:16]}), got some for "
            f"{protocol.dataset} (sha256 {protocol.dataset_sha256[:16]})"
        )
    return score_folder(opened, place, protocol, progress)


def _opened(dataset: str | Path | Dataset) -> Dataset:
    return dataset if isinstance(dataset, Dataset) else open_dataset(dataset)
