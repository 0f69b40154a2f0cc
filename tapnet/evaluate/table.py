"""Results as plain text tables, never without their protocol."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tapnet import metrics
from tapnet.evaluate import summary
from tapnet.evaluate.protocol import IN_THE_IMAGE
from tapnet.evaluate.results import Result
from tapnet.evaluate.statistics import FEWEST, LEVEL
from tapnet.evaluate.summary import COLUMNS, WITH_INTERVAL, shown


def table(results: Sequence[Result]) -> str:
    """A line for each result: scores with intervals, speed and memory; then who is better.

    Results of another dataset or query mode stand in a table of their own, and rows of different
    protocols are told apart above the table. Raises ValueError for no results.
    """
    if not results:
        raise ValueError("expected one result or more, got none")
    return "\n\n".join(_table(group) for group in summary.groups(results)) + "\n"


def _table(results: Sequence[Result]) -> str:
    there, ranked = summary.columns(results), summary.ranked(results)
    costs = summary.costs(ranked)
    lines = [["model", "videos", *there, *costs]]
    for i, result in enumerate(ranked):
        lines.append([*_cells(result, there), *(texts[i] for texts in costs.values())])
    notes = [*summary.left_out(results, there), *_independence(results)]
    parts = [*_protocol_lines(results), "", *_aligned(lines), "", *_verdicts(results), *notes]
    return "\n".join(parts).rstrip()


def _cells(result: Result, there: dict[str, str]) -> list[str]:
    cells = [result.protocol.model, str(len(result.rows))]
    for title, name in there.items():
        value = result.mean[name].value if name in result.mean else float("nan")
        cell = shown(value)
        ends = result.intervals.get(name)
        if title in WITH_INTERVAL and ends is not None and not np.isnan(ends.low):
            cell += f" ({shown(ends.low)}-{shown(ends.high)})"
        cells.append(cell)
    return cells


def _aligned(lines: list[list[str]]) -> list[str]:
    """Columns two spaces apart; the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def _protocol_lines(results: Sequence[Result]) -> list[str]:
    """What all rows share, once; what they do not, each with its models; the warnings first."""
    lines = [f"WARNING   {text}" for text in summary.warnings(results)]
    facts = [result.protocol.facts() for result in results]
    for name in facts[0]:
        values = dict.fromkeys(fact[name] for fact in facts)
        if name == "model" or len(values) == 1:
            lines += [f"{name:<10}{value}" for value in values]
            continue
        for value in values:
            models = [
                result.protocol.model
                for result, fact in zip(results, facts, strict=True)
                if fact[name] == value
            ]
            lines.append(f"{name:<10}{value} ({', '.join(models)})")
    machines = dict.fromkeys(machine for result in results for machine in result.machines)
    lines += [f"machine   {machine}" for machine in machines]
    told = f"times 100; {LEVEL:.0%} interval over videos"
    if results[0].protocol.judged == IN_THE_IMAGE:
        told = (
            "times 100, positions judged at 256x256 unless named otherwise; <d: share of "
            f"visible points within d px; ({LEVEL:.0%} interval over videos)"
        )
    lines.append(f"scores    {told}")
    return lines


def _verdicts(results: Sequence[Result]) -> list[str]:
    """The best against each of the others."""
    title = summary.headline(results)
    best, *others = summary.ranked(results)
    if COLUMNS[title] not in best.mean:
        return []
    return [summary.verdict(best, other, title) for other in others]


def _independence(results: Sequence[Result]) -> list[str]:
    return [
        f"independence of {result.protocol.model}: {result.independence}"
        for result in results
        if result.independence is not None
    ]


def report(result: Result) -> str:
    """A line for each video of one result, the mean, and over how many videos it is."""
    there = summary.columns([result])
    lines = [["video", "points", "frames", *there]]
    for row in result.rows:
        scores = [shown(row.scores.get(name, float("nan"))) for name in there.values()]
        lines.append([row.name, str(row.points), str(row.frames), *scores])
    means = [result.mean[name] for name in there.values()]
    lines.append(["mean", "", "", *(shown(mean.value) for mean in means)])
    if len(result.rows) >= FEWEST:
        ends = [result.intervals[name] for name in there.values()]
        lines.append([f"{LEVEL:.0%} from", "", "", *(shown(end.low) for end in ends)])
        lines.append([f"{LEVEL:.0%} to", "", "", *(shown(end.high) for end in ends)])
    lines.append(["videos counted", "", "", *(str(mean.count) for mean in means)])
    parts = [*_protocol_lines([result]), "", *_aligned(lines), *_jaccard_line(result)]
    notes = [*summary.left_out([result], there), *_independence([result])]
    return "\n".join([*parts, *notes]) + "\n"


def _jaccard_line(result: Result) -> list[str]:
    names = [f"jaccard_{d}" for d in metrics.THRESHOLDS]
    if not all(name in result.mean for name in names):
        return []
    thresholds = " ".join(map(str, metrics.THRESHOLDS))
    means = " ".join(shown(result.mean[name].value) for name in names)
    return [f"mean Jaccard at {thresholds} px: {means}"]
