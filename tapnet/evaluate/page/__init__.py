"""The report of runs: one HTML page that needs nothing else, its plots, LaTeX and CSV tables.

report.html  scores, comparisons, plots, worst videos, protocols
plots/       every plot as SVG
table.tex  scores.csv  videos.csv
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tapnet.data import Dataset, open_dataset
from tapnet.evaluate import folder, summary
from tapnet.evaluate.folder import RESULT
from tapnet.evaluate.page import files, html
from tapnet.evaluate.page.clips import Film, films
from tapnet.evaluate.page.plots import plots
from tapnet.evaluate.protocol import Protocol, sha256_of
from tapnet.evaluate.results import Result, read_result
from tapnet.evaluate.summary import COLUMNS
from tapnet.files import replacing

Run = tuple[Path, Result]
Progress = Callable[[int, int], None]  # clips made, clips in all


def find_runs(paths: Iterable[str | Path]) -> list[Run]:
    """The runs in these folders: each is the folder of a run, or holds such folders.

    Runs of equal names are told apart by what their protocols differ in, or by their folders.
    Raises FileNotFoundError where there is no run.
    """
    found: dict[Path, Result] = {}
    for path in map(Path, paths):
        inner = sorted(result.parent for result in path.glob(f"*/{RESULT}"))
        outs = [path] if (path / RESULT).is_file() else inner
        if not outs:
            raise FileNotFoundError(
                f"{path}: expected a folder of `tapnet evaluate --out`, got none with {RESULT}"
            )
        found |= {out: read_result(out) for out in outs}
    return _told_apart(list(found.items()))


def write_report(
    runs: Sequence[Run],
    out: str | Path,
    *,
    datasets: Sequence[Dataset] = (),
    clips: int = 2,
    speed: bool = True,
    progress: Progress | None = None,
) -> list[str]:
    """Write the report of `runs` (see `find_runs`) into the folder `out`.

    `clips` is how many of its worst videos are shown of each run whose predictions are kept; 0
    keeps every frame out of the page. Their dataset is looked for in `datasets`, then where it lay
    when the run was made. Without `speed` none is told: that of a machine which did other work says
    nothing. Returns what is not shown, and why.
    Raises ValueError for no runs.
    """
    if not runs:
        raise ValueError("runs: expected one or more, got none")
    if not speed:
        runs = [(place, result.without_speed()) for place, result in runs]
    place, missing, sections = Path(out), [], []
    results = [result for _, result in runs]
    for number, group in enumerate(summary.groups(results), start=1):
        members = [run for run in runs if any(run[1] is result for result in group)]
        shown: list[Film] = []
        if clips and group[0].protocol.predictions_sha256 is None:
            dataset = _dataset(members, datasets)
            if isinstance(dataset, str):
                missing.append(dataset)
            else:
                name = COLUMNS[summary.headline(group)]
                shown = films(dataset, members, name, clips, progress)
        drawn, shared = plots(group), summary.protocol_line(group)
        (place / "plots").mkdir(parents=True, exist_ok=True)
        for plot in drawn:
            path = place / "plots" / f"{number}-{plot.name}.svg"
            _write(path, plot.drawing.svg(f"{plot.caption} Protocol: {shared}.") + "\n")
        sections.append(html.section(group, drawn, shown))
    _write(place / "table.tex", files.latex(results))
    _write(place / "scores.csv", files.scores_csv(results))
    _write(place / "videos.csv", files.videos_csv(results))
    _write(place / "report.html", html.document(sections))
    return missing


def _dataset(runs: Sequence[Run], datasets: Sequence[Dataset]) -> Dataset | str:
    """The videos of these runs, or why there are none."""
    protocol, path = runs[0][1].protocol, folder.read_dataset_path(runs[0][0])
    hint = f"no clips of {protocol.dataset}"
    for dataset in datasets:
        if sha256_of(dataset) == protocol.dataset_sha256:
            return dataset
    if not path.exists():
        return f"{hint}: it is no longer at {path}; name it with --dataset"
    dataset = open_dataset(path, protocol.kind)
    if sha256_of(dataset) != protocol.dataset_sha256:
        return f"{hint}: {path} has changed since; name the dataset with --dataset"
    return dataset


def _told_apart(runs: Sequence[Run]) -> list[Run]:
    """The runs, with names of models that differ wherever they would share a table."""
    groups = summary.groups([result for _, result in runs])
    named: list[Run] = []
    for out, result in runs:
        p = result.protocol
        group = next(g for g in groups if any(other is result for other in g))
        alike = [r.protocol for r in group if r.protocol.model == p.model]
        if len(alike) > 1:
            words = _unlike(p, alike)
            if [_unlike(other, alike) for other in alike].count(words) > 1:
                words.append(str(out))
            name = f"{p.model} ({', '.join(words)})" if words else p.model
            result = replace(result, protocol=replace(p, model=name))
        named.append((out, result))
    return named


def _unlike(one: Protocol, alike: Sequence[Protocol]) -> list[str]:
    """Words for what of the protocol differs among those of one name."""
    words = []
    for name in ("resolution", "resize_filter", "direction", "points_per_call", "precision"):
        if len({getattr(other, name) for other in alike}) > 1:
            words.append(str(getattr(one, name)))
    if len({other.settings for other in alike}) > 1 and one.settings:
        words.append(one.settings)
    if len({other.weights_sha256 for other in alike}) > 1 and one.weights_sha256:
        words.append(f"weights {one.weights_sha256[:8]}")
    return words


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
