"""TAPVid-3D: judge what a tracker in space said, from files as the set's own script reads them.

    PREDICTIONS/adt/VIDEO.npz   tracks_XYZ [T, N, 3] and visibility [T, N], for every video

The files are made elsewhere: no tracker here works in space. Scores are those of
`metrics3d.tapvid3d` (SPEC 9.5), of all frames, the query's among them. As officially, a score of a
folder of sources (adt, drivetrack, pstudio) is the mean of the means of the sources.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np

import tapnet
from tapnet.data import Dataset, open_dataset
from tapnet.data.tapvid3d import SpaceClip, TapVid3d, read_prediction
from tapnet.evaluate import folder
from tapnet.evaluate.predicting import Progress
from tapnet.evaluate.protocol import Protocol, sha256_of, sha256_of_files
from tapnet.evaluate.results import Pooled, Result, Row
from tapnet.evaluate.statistics import mean_of
from tapnet.metrics3d import Scaling, scaled_intrinsics, tapvid3d

Thresholds = Literal["pixels", "metres"]
_UNKNOWN = "unknown"


def score_space(
    dataset: str | Path | Dataset,
    predictions: str | Path,
    *,
    scaling: Scaling = "median",
    thresholds: Thresholds = "pixels",
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """The scores of the files in the folder `predictions`, which is the name of their tracker.

    `scaling` and `thresholds` are told at `metrics3d.tapvid3d`: "pixels" are those that 1 to 16
    pixels span at the depth of the point, "metres" 0.01 to 2.56. Scaled by `local_neighborhood`,
    the score of a video is the mean of its tracks. `out` is a folder for the result.
    Raises FileNotFoundError for a video without a prediction (the official script scores it 0),
    and ValueError for another kind of dataset, or a prediction of another video.
    """
    opened = dataset if isinstance(dataset, Dataset) else open_dataset(dataset, TapVid3d.kind)
    if not isinstance(opened, TapVid3d):
        raise ValueError(f"{opened.path}: expected TAPVid-3D, got {opened.kind}")
    for name, value, choices in (
        ("scaling", scaling, get_args(Scaling)),
        ("thresholds", thresholds, get_args(Thresholds)),
    ):
        if value not in choices:
            raise ValueError(f"no {name} {value!r}: there are {', '.join(choices)}")
    said = _files(opened, Path(predictions))
    protocol = _protocol(opened, Path(predictions), list(said.values()), scaling, thresholds)
    if out is not None:
        folder.claim(Path(out), protocol, opened.path)
    sources = sorted({_source(name) for name in said})
    rows = []
    for clip in opened:
        scores, by_point = _scores(clip, said[clip.name], scaling, thresholds)
        place = sources.index(_source(clip.name))
        pooled = {name: _of_source(value, place, len(sources)) for name, value in scores.items()}
        rows.append(Row(clip.name, len(clip.points), len(clip), scores, pooled, by_point=by_point))
        if progress is not None:
            progress("scoring", len(rows), clip.name)
    result = Result(protocol, tuple(rows))
    if out is not None:
        result.save(Path(out))
    return result


def _files(dataset: TapVid3d, predictions: Path) -> dict[str, Path]:
    """The file of each clip."""
    if not predictions.is_dir():
        raise FileNotFoundError(f"{predictions}: expected a folder of predictions, got none")
    said = {name: predictions / f"{name}.npz" for name in dataset.names()}
    missing = [str(file) for file in said.values() if not file.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise FileNotFoundError(
            f"{missing[0]}{more}: no such file; expected tracks_XYZ [T N 3] and visibility [T N] "
            f"of each of the {len(said)} videos; to judge a part, name its folder"
        )
    return said


def _protocol(
    dataset: TapVid3d, predictions: Path, files: list[Path], scaling: str, thresholds: str
) -> Protocol:
    scaled = "not scaled" if scaling == "none" else f"scaled by {scaling}"
    near = "1 to 16 px at its depth" if thresholds == "pixels" else "0.01 to 2.56 m"
    return Protocol(
        dataset=dataset.name,
        dataset_sha256=sha256_of(dataset),
        kind=dataset.kind,
        query_mode="set",
        resolution=_UNKNOWN,
        resize_filter=_UNKNOWN,
        direction=_UNKNOWN,
        support_points=_UNKNOWN,
        points_per_call=_UNKNOWN,
        model=predictions.resolve().name,
        weights_sha256=None,
        precision=None,
        device=_UNKNOWN,
        torch_version=_UNKNOWN,
        tapnet_version=tapnet.__version__,
        judged=f"positions in space, {scaled}, a point near within {near}",
        predictions_sha256=sha256_of_files(files),
    )


def _scores(
    clip: SpaceClip, file: Path, scaling: Scaling, thresholds: Thresholds
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """The scores of a video, and [N] those of its points with what was asked."""
    tracks, occluded = read_prediction(file, clip)
    query_points = clip.queries(clip.size).query_points

    def judged(trackwise: bool) -> dict[str, np.ndarray]:
        found = tapvid3d(
            clip.occluded,
            clip.tracks_xyz,
            occluded,
            tracks,
            scaled_intrinsics(clip.intrinsics, clip.size),
            scaling=scaling,
            query_points=query_points,
            fixed=thresholds == "metres",
            trackwise=trackwise,
        )
        return {_named(name): np.asarray(value) for name, value in found.items()}

    t, y, x = query_points.T
    by_track = judged(trackwise=True)
    alone = scaling == "local_neighborhood"  # which judges track by track
    scores = {n: mean_of(v).value() for n, v in by_track.items()} if alone else judged(False)
    told = {"t": t, "y": y, "x": x, **by_track}
    by_point = {name: values.astype(np.float32) for name, values in told.items()}
    return {name: float(value) for name, value in scores.items()}, by_point


def _named(name: str) -> str:
    """Positions in space have names of their own; flags of occlusion mean what they always do."""
    return name if name == "occlusion_accuracy" else f"{name}_3d"


def _source(name: str) -> str:
    return name.rpartition("/")[0]


def _of_source(value: float, place: int, sources: int) -> Pooled:
    """The score of a video of source number `place`, for the mean of the means of sources."""
    known = not np.isnan(value)
    part, whole = np.zeros(sources), np.zeros(sources)
    part[place], whole[place] = value if known else 0, known
    return Pooled(tuple(part.tolist()), tuple(whole.tolist()))
