"""`tapnet evaluate`, `evaluate-3d` and `report`: score trackers on labelled sets, show scores."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from tapnet.cores import leave_busy_cores
from tapnet.progress import PLAIN_SECONDS, QUIET_SECONDS, Progress

if TYPE_CHECKING:
    from tapnet.evaluate import Result
    from tapnet.evaluate.protocol import Resolution

Models = Annotated[
    str | None,
    arg(metavar="NAME,...", help_behavior_hint="(default: the first that `tapnet models` lists)"),
]
PointsPerCall = Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: all)")]
Out = Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: none)")]
Scaling = Literal[
    "median",
    "mean",
    "none",
    "per_trajectory",
    "median_on_queries",
    "reproduce_2d",
    "local_neighborhood",
]
Thresholds = Literal["pixels", "metres"]
Kind = Annotated[str | None, arg(metavar="KIND", help_behavior_hint="(default: found out)")]


def evaluate(
    dataset: Annotated[Path, arg(metavar="PATH")],
    model: Models = None,
    kind: Kind = None,
    query_mode: Literal["first", "strided"] = "first",
    resolution: Annotated[str, arg(metavar="HxW|N|native|model")] = "256x256",
    resize_filter: Literal["lanczos", "bilinear"] = "lanczos",
    direction: Literal["both", "forward"] = "both",
    points_per_call: PointsPerCall = None,
    check_independence: FlagCreatePairsOff[bool] = False,
    device: str = "auto",
    out: Out = None,
) -> None:
    """Score trackers on a benchmark, and say under which protocol.

    The defaults are the official protocol of TAP-Vid: every tracker is given 256x256 pixels.

    For example:
      tapnet evaluate --dataset tapvid_davis.pkl --model klt --query-mode strided
      tapnet evaluate --dataset tapvid_davis.pkl --model klt,flow,flow-multi --out runs

    Args:
        dataset: A dataset as it is published: a file or a folder. Nothing in it is run.
        model: Which trackers: names that `tapnet models` lists, or files of weights, separated by
            commas. They share a table, with the best compared to each of the others.
        kind: Which kind of dataset it is, where its look does not tell.
        query_mode: Ask for each track once where it is first visible, or every fifth frame.
        resolution: What videos are resized to for the tracker, height first; one number N = about
            N x N pixels in the shape of the video; "native" = not at all; "model" = what each
            tracker asks for. Positions are judged at 256x256.
        resize_filter: How they are resized; lanczos is the benchmark's own.
        direction: Track from a query both ways in time, or forward only; what was not tracked
            counts as said to be occluded.
        points_per_call: Points that are tracked together; 1 = each on its own.
        check_independence: Also track some points alone, and tell how much the answers differ.
        device: auto, cpu, or what torch calls the device.
        out: Folder for the runs, one folder in it for each tracker; a run that was stopped goes
            on from there.
    """
    from tapnet import evaluate as evaluation
    from tapnet.cli import check_folder, prepare_folder
    from tapnet.data import open_dataset
    from tapnet.tracker import DEFAULT, load

    names = [name.strip() for name in (model or DEFAULT).split(",") if name.strip()]
    if not names:
        raise ValueError(f"model: expected one name or more, separated by commas, got {model!r}")
    given, opened = _resolution(resolution), open_dataset(dataset, kind)
    called = [load(name, device).name for name in names]  # all names are right
    if len(set(called)) < len(called) and out is not None:
        raise ValueError(f"model: expected trackers of different names, got {model}")
    if out is not None:
        prepare_folder(out)
    folders = [None if out is None else out / name for name in called]
    for place in filter(None, folders):
        check_folder(place)
    leave_busy_cores()  # the table tells the number of threads
    results = []
    for name, folder in zip(names, folders, strict=True):
        result = evaluation.evaluate(
            opened,
            load(name, device),
            query_mode=query_mode,
            resolution=given,
            resize_filter=resize_filter,
            direction=direction,
            points_per_call=points_per_call,
            check_independence=check_independence,
            out=folder,
            progress=_told(name),
        )
        results.append(result)
        if folder is not None:
            _write(folder / "report.txt", evaluation.report(result))
    _show(results, out)


def evaluate_3d(
    dataset: Annotated[Path, arg(metavar="PATH")],
    predictions: Annotated[str, arg(metavar="DIR,...")],
    scaling: Scaling = "median",
    thresholds: Thresholds = "pixels",
    out: Out = None,
) -> None:
    """Score points tracked in space, from files, on TAPVid-3D.

    For example:
      tapnet evaluate-3d --dataset tapvid3d_dataset --predictions mine,theirs --out runs

    Args:
        dataset: TAPVid-3D, or the folder of one of its sources.
        predictions: Folders with what was predicted of each video, in files named and placed as
            those of the dataset: tracks_XYZ [T N 3] and visibility [T N]. They are separated by
            commas; the name of a folder is that of the tracker.
        scaling: What is multiplied with the predictions first: the ratio of the truth to them, of
            the medians or means of a video, of its medians on the frames of the queries, of each
            track's depth there, of each point's depth, or nothing; local_neighborhood also judges
            a track with all points near it.
        thresholds: Which positions are near: within what 1 to 16 pixels span at their depth, or
            within 0.01 to 2.56 metres.
        out: Folder for the results, one folder in it for each tracker.
    """
    from tapnet.data import open_dataset
    from tapnet.evaluate import score_space

    opened = open_dataset(dataset, "tapvid3d")
    places = [Path(place) for place in predictions.split(",") if place]
    names = [place.resolve().name for place in places]
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"predictions: expected one folder or more, of different names, got {predictions!r}"
        )
    results = [
        score_space(
            opened,
            place,
            scaling=scaling,
            thresholds=thresholds,
            out=None if out is None else out / name,
            progress=_told(name),
        )
        for place, name in zip(places, names, strict=True)
    ]
    _show(results, out)


def report(
    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN...")],
    /,
    out: Annotated[Path, arg(metavar="DIR")] = Path("report"),
    dataset: Annotated[tuple[Path, ...], arg(metavar="PATH...")] = (),
    clips: int = 2,
    no_speed: FlagCreatePairsOff[bool] = False,
) -> None:
    """Make a page of runs: scores, comparisons, plots, worst videos, protocols.

    For example:
      tapnet report runs --out report
      tapnet report runs/klt runs/flow --out report --clips 0

    Args:
        runs: Folders that `tapnet evaluate --out` made: of single runs, or of many.
        out: Folder for report.html, which holds all it shows, the plots as SVG, and the tables
            as LaTeX and CSV.
        dataset: Where the datasets of the runs are now, if they were moved.
        clips: Worst videos that are shown of each run; 0 keeps every frame out of the page.
        no_speed: Do not tell how fast the trackers were: a machine that did other work meanwhile
            says nothing of it.
    """
    from tapnet.cli import prepare_folder
    from tapnet.data import open_dataset
    from tapnet.evaluate import page

    if clips < 0:
        raise ValueError(f"clips: expected 0 or more, got {clips}")
    if not runs:
        raise ValueError("expected folders of runs, got none; name one or more")
    found, datasets = page.find_runs(runs), [open_dataset(path) for path in dataset]
    made = not out.exists()
    prepare_folder(out)
    try:
        with Progress("painting", "clips") as progress:
            missing = page.write_report(
                found, out, datasets=datasets, clips=clips, speed=not no_speed, progress=progress
            )
    except BaseException:
        if made and not any(out.iterdir()):
            out.rmdir()
        raise
    for reason in missing:
        print(f"tapnet: warning: {reason}", file=sys.stderr)
    print(f"wrote {out / 'report.html'} and tables and plots beside it")


def _show(results: Sequence[Result], out: Path | None) -> None:
    from tapnet import evaluate as evaluation

    alone = len(results) == 1
    text = evaluation.report(results[0]) if alone else evaluation.table(results)
    print(text, end="")
    if out is not None and not alone:
        _write(out / "table.txt", text)
    if out is not None:
        print(f"wrote {out}; for a page with plots: tapnet report {out} --out DIR")


def _resolution(text: str) -> Resolution:
    from tapnet.cli import resolution_of

    names: dict[str, Resolution] = {"native": "native", "model": "model"}
    return names.get(text) or resolution_of(text)


def _told(name: str) -> Callable[[str, int, str], None]:
    """Tells now and then on stderr how far the evaluation of a tracker is."""
    began = last = time.monotonic()

    def progress(work: str, done: int, video: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - began > QUIET_SECONDS and now - last > PLAIN_SECONDS:
            last = now
            print(f"{name}: {work}, {done} videos done, last {video}", file=sys.stderr)

    return progress


def _write(path: Path, text: str) -> None:
    from tapnet.files import replacing

    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
