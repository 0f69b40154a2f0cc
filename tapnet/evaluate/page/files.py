"""Tables of results for papers and spreadsheets: LaTeX and CSV, each with the protocol."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from tapnet.evaluate import summary
from tapnet.evaluate.results import Result
from tapnet.evaluate.statistics import LEVEL
from tapnet.evaluate.summary import WITH_INTERVAL, shown

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def latex(results: Sequence[Result]) -> str:
    """A table for `booktabs`, for each dataset and query mode; intervals in small print.

    Bold is the best of a column where the rows share one protocol.
    """
    return "\n".join(_latex(group) for group in summary.groups(results))


def _latex(results: Sequence[Result]) -> str:
    there = summary.columns(results)
    best = summary.best(results, there)
    body = []
    for result in summary.ranked(results):
        cells = [_cell(result, title, name, best[name]) for title, name in there.items()]
        body.append(" & ".join([_escaped(result.protocol.model), *cells]) + r" \\")
    count = len(results[0].rows)
    over = "1 video" if count == 1 else f"{count} videos"
    ends = f", with {LEVEL:.0%} intervals" if r"\scriptsize" in "".join(body) else ""
    caption = (
        f"{results[0].protocol.dataset}: scores times 100{ends} over {over}."
        f"{_told(results, there)} "
        f"Protocol: {summary.protocol_line(results)}."
    )
    heads = " & ".join(["tracker", *(_escaped(title) for title in there)])
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * len(there)}}}",
            r"\toprule",
            rf"{heads} \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _told(results: Sequence[Result], there: dict[str, str]) -> str:
    """On how many videos the columns are judged that are not judged on all."""
    counts = summary.counts(results, there)
    return "".join(f" {title}: {count}." for title, count in counts.items())


def _cell(result: Result, title: str, name: str, best: float) -> str:
    value = _value(result, name)
    if np.isnan(value):
        return "--"
    text = rf"\textbf{{{shown(value)}}}" if value == best else shown(value)
    ends = result.intervals[name]
    if title not in WITH_INTERVAL or np.isnan(ends.low):
        return text
    return rf"{text} {{\scriptsize [{shown(ends.low)}, {shown(ends.high)}]}}"


def _value(result: Result, name: str) -> float:
    return result.mean[name].value if name in result.mean else float("nan")


def _escaped(text: str) -> str:
    escaped = "".join(_SPECIAL.get(sign, sign) for sign in text)
    return escaped.replace("<", r"\textless{}").replace(">", r"\textgreater{}")


def scores_csv(results: Sequence[Result]) -> str:
    """A line for each result and score, 0..1, with its interval and the whole protocol."""
    lines = []
    for result in results:
        for name, mean in result.mean.items():
            ends = result.intervals[name]
            lines.append(
                {
                    **asdict(result.protocol),
                    "score": name,
                    "value": mean.value,
                    "low": ends.low,
                    "high": ends.high,
                    "videos": mean.count,
                    "frames_per_second": result.frames_per_second,
                    "memory_bytes": result.memory,
                    "machine": "; ".join(result.machines),
                }
            )
    return _csv(lines)


def videos_csv(results: Sequence[Result]) -> str:
    """A line for each result and video: every score, 0..1, and the whole protocol."""
    names = list(dict.fromkeys(name for r in results for name in r.mean))
    lines = []
    for result in results:
        for row in result.rows:
            scores = {name: row.scores.get(name, float("nan")) for name in names}
            told = {"video": row.name, "points": row.points, "frames": row.frames, **scores}
            lines.append({**told, **asdict(result.protocol)})
    return _csv(lines)


def _csv(lines: Sequence[dict[str, object]]) -> str:
    """NaN, nothing to judge, is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: "" if value is None or value != value else value for key, value in line.items()}
        for line in lines
    )
    return text.getvalue()
