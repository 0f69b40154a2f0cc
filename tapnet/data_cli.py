"""`tapnet data ...`: make, check and list labelled datasets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from tapnet.progress import Progress

Kind = Annotated[str | None, arg(metavar="KIND", help_behavior_hint="(default: found out)")]
Workers = Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: one per CPU)")]


def prepare(
    name: Annotated[Positional[Literal["kinetics"]], arg(metavar="kinetics")],
    /,
    csv: Annotated[Path, arg(metavar="FILE.csv")],
    videos: Annotated[Path, arg(metavar="DIR")],
    out: Annotated[Path, arg(metavar="DIR")],
    shards: int = 10,
    workers: Workers = None,
) -> None:
    """Make TAP-Vid-Kinetics from its labels and a folder of clips; a stopped run goes on.

    For example:
      tapnet data prepare kinetics --csv tapvid_kinetics.csv --videos clips --out kinetics

    Args:
        name: The set to make.
        csv: Its labels, as published.
        videos: Folder with the clips ID_START_END.mp4 (abcdefghijk_000010_000020.mp4), in it or in
            folders in it.
        out: Folder for the shards NNNN_of_0010.pkl; it is made if it is not there.
        shards: How many shards; 10 are official.
        workers: Processes that decode; 0 decodes in this one.
    """
    from tapnet.data import kinetics_shards

    processes = (os.cpu_count() or 1) if workers is None else workers
    with Progress("preparing", "clips") as progress:
        report = kinetics_shards.prepare(
            csv, videos, out, shards=shards, workers=processes, progress=progress
        )
    print(f"wrote {len(report.made)} shards to {out}, {len(report.kept)} were there")
    print(f"{report.clips} clips; {len(report.short)} are shorter than 250 frames")
    if report.missing:
        print(f"{len(report.missing)} clips have no video:")
        print("".join(f"  {clip}\n" for clip in report.missing), end="")
    if report.damaged:
        print(f"{len(report.damaged)} videos are damaged:")
        print("".join(f"  {clip}: {why}\n" for clip, why in report.damaged.items()), end="")


def check(
    path: Annotated[Positional[Path], arg(metavar="PATH")],
    /,
    kind: Kind = None,
    labels_only: FlagCreatePairsOff[bool] = False,
) -> None:
    """Say what lies at a path, how much of it, and whether it is whole.

    For example:
      tapnet data check tapvid_davis.pkl

    Args:
        path: A dataset: a file or a folder. Nothing in it is run.
        kind: Which kind it is, where its look does not tell; `tapnet data list` names them.
        labels_only: Do not decode the frames.
    """
    from tapnet.data import checking
    from tapnet.video import width_by_height

    with Progress("decoding", "videos") as progress:
        found = checking.check(path, kind, decode=not labels_only, progress=progress)
    dataset = found.dataset
    print(f"{path}: {dataset.name}, in the layout of {dataset.title}")
    print(f"files    {found.files}, {found.bytes / 1e6:,.1f} MB")
    print(f"videos   {found.clips}, {found.frames} frames", end="")
    print(f" of {', '.join(map(width_by_height, found.sizes[:8]))}" if found.sizes else "")
    print(f"tracks   {found.tracks}: {found.labelled} labels, {found.visible} of visible points")
    for problem in found.problems:
        print(f"problem  {problem}")
    if found.problems:
        raise ValueError(f"{path}: not whole; the set is had from {dataset.had_from}")
    print(f"whole    as far as can be told: {', '.join(found.verified)}")


def kinds() -> None:
    """List the kinds of datasets that are read, and where they are had from.

    For example:
      tapnet data list
    """
    from tapnet.data import DATASETS

    for name, kind in DATASETS.items():
        print(f"{name:<10}{kind.title}\n{'':<10}{kind.had_from}")


DATA: dict[str, Callable[..., None]] = {"prepare": prepare, "check": check, "list": kinds}
