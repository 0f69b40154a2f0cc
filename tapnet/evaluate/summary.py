"""What every table of results shows, whatever it is written in: text, HTML, LaTeX or CSV."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tapnet import metrics
from tapnet.evaluate.protocol import computed_differently, differences
from tapnet.evaluate.results import Result
from tapnet.evaluate.statistics import LEVEL, Comparison, Interval, compare

WITH_INTERVAL = (
    "AJ",
    "delta_avg",
    "3D-AJ",
    "APD",
    "OA",
    "@0.1",
    "@0.2",
)  # where there is no room for all
COLUMNS = {  # title: score
    "AJ": "average_jaccard",
    "delta_avg": "average_pts_within_thresh",
    "3D-AJ": "average_jaccard_3d",
    "APD": "average_pts_within_thresh_3d",
    "OA": "occlusion_accuracy",
    "AJ_RD": "AJ_RD",
    **{f"<{d}": f"pts_within_{d}" for d in metrics.THRESHOLDS},
    "PCK-T": "pck_t",
    **{f"@{a}": f"PCK@{a}" for a in metrics.ALPHAS},
    **{f"@{a} later": f"PCK@{a}_later" for a in metrics.ALPHAS},
}
HEADLINES = (
    "AJ",
    "delta_avg",
    "3D-AJ",
    "APD",
)  # the first that is judged on the most videos decides


def columns(results: Sequence[Result]) -> dict[str, str]:
    """The titles and scores that any of the results has; the headlines if no video has any."""
    there = {title: name for title, name in COLUMNS.items() if any(_has(r, name) for r in results)}
    return there or {
        title: COLUMNS[title]
        for title in HEADLINES
        if any(COLUMNS[title] in r.mean for r in results)
    }


def headline(results: Sequence[Result]) -> str:
    """The title of the score by which models and videos are ordered."""
    there = columns(results)
    choices = [title for title in HEADLINES if title in there] or list(there) or ["AJ"]

    def videos(title: str) -> int:
        return sum(r.mean[there[title]].count for r in results if there[title] in r.mean)

    return max(choices, key=videos) if there else choices[0]


def groups(results: Sequence[Result]) -> list[list[Result]]:
    """The results that may stand in one table: of one dataset, asked and judged in one way."""
    found: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        p = result.protocol
        found.setdefault((p.dataset_sha256, p.kind, p.query_mode, p.judged), []).append(result)
    return list(found.values())


def ranked(results: Sequence[Result]) -> list[Result]:
    """The best by the headline first; those without that score last."""
    name = COLUMNS[headline(results)]

    def order(result: Result) -> float:
        value = result.mean[name].value if name in result.mean else float("nan")
        return float("inf") if np.isnan(value) else -value

    return sorted(results, key=order)


def warnings(results: Sequence[Result]) -> list[str]:
    """What is to be said of a table with these rows: how their protocols differ."""
    said = []
    if differing := differences([result.protocol for result in results]):
        said.append(f"not one protocol, scores do not compare directly: {'; '.join(differing)}")
    if differing := computed_differently([result.protocol for result in results]):
        said.append(f"computed differently: {'; '.join(differing)}")
    return said


def protocol_line(results: Sequence[Result]) -> str:
    """What all results share in one line, or that they do not, and in what."""
    return "; ".join([results[0].protocol.line()] if comparable(results) else warnings(results))


def comparable(results: Sequence[Result]) -> bool:
    """Whether all were taken under one protocol, so that one may be called the best."""
    return not differences([result.protocol for result in results])


def best(results: Sequence[Result], there: dict[str, str]) -> dict[str, float]:
    """The highest of each score; NaN, which nothing equals, if the results do not compare."""
    if not comparable(results):
        return dict.fromkeys(there.values(), float("nan"))
    return {
        name: max((r.mean[name].value for r in results if _has(r, name)), default=float("nan"))
        for name in there.values()
    }


def _has(result: Result, name: str) -> bool:
    return name in result.mean and result.mean[name].count > 0


def paired(a: Result, b: Result, name: str) -> Comparison:
    """`a` against `b` in the score `name`. ValueError if they are of other videos."""
    if groups([a, b]) != [[a, b]] or [r.name for r in a.rows] != [r.name for r in b.rows]:
        raise ValueError(
            f"{a.protocol.model} and {b.protocol.model}: expected results of one dataset and query "
            f"mode, got {a.protocol.line()} and {b.protocol.line()}"
        )
    return compare(a.sums(name), b.sums(name))


def verdict(a: Result, b: Result, title: str) -> str:
    """Which of the two is better in a column, and how sure that is, in a sentence."""
    found = paired(a, b, COLUMNS[title])
    one, other = a.protocol.model, b.protocol.model
    if not found.videos:
        return f"{one} and {other}: no video has {title} of both"
    if found.difference < 0:
        return verdict(b, a, title)
    numbers = (
        f"{100 * found.difference:+.1f} {title}, {ends_shown(found.interval)}"
        f"{p_shown(found.p_value)}, better on {found.better} and worse on {found.worse} of "
        f"{found.videos} videos"
    )
    if found.sure:
        return f"{one} is better than {other}: {numbers}"
    return f"no sure difference between {one} and {other}: {numbers}"


def ends_shown(ends: Interval) -> str:
    """The interval of a difference, with a comma; nothing where there is none."""
    if np.isnan(ends.low):
        return ""
    return f"{LEVEL:.0%} interval {100 * ends.low:+.1f} to {100 * ends.high:+.1f}, "


def p_shown(p_value: float) -> str:
    """Such as "p = 0.03"."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def shown(value: float) -> str:
    """A share times 100; "-" where there was nothing to judge."""
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def costs(results: Sequence[Result]) -> dict[str, list[str]]:
    """What tracking took, by title: a text for each result; only what was measured of any."""
    told = {
        "frames/s": [speed_shown(result.frames_per_second) for result in results],
        "memory": [memory_shown(result.memory) for result in results],
    }
    return {title: texts for title, texts in told.items() if set(texts) != {"-"}}


def memory_shown(size: float) -> str:
    """Bytes for people."""
    if np.isnan(size):
        return "-"
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def speed_shown(frames_per_second: float) -> str:
    """Frames a second for people."""
    if np.isnan(frames_per_second):
        return "-"
    return f"{frames_per_second:.3g}" if frames_per_second < 100 else f"{frames_per_second:.0f}"


def counts(results: Sequence[Result], there: dict[str, str]) -> dict[str, str]:
    """Titles of the columns that are not judged on all videos, and on how many they are."""
    total = len(results[0].rows)
    found = {}
    for title, name in there.items():
        judged = {result.mean[name].count for result in results if name in result.mean}
        if judged != {total}:
            told = " or ".join(map(str, sorted(judged)))
            found[title] = f"{told} of {total} videos"
    return found


def left_out(results: Sequence[Result], there: dict[str, str]) -> list[str]:
    """Which videos the columns leave out, in sentences; once where all results agree."""
    told: dict[str, list[str]] = {}
    for result in results:
        columns: dict[tuple[str, ...], list[str]] = {}
        for title, name in there.items():
            if name in result.mean and result.mean[name].left_out:
                columns.setdefault(result.mean[name].left_out, []).append(title)
        for names, titles in columns.items():
            text = f"no {', '.join(titles)} (nothing to judge): {', '.join(names)}."
            told.setdefault(text, []).append(result.protocol.model)
    return [
        text if len(models) == len(results) else f"{', '.join(models)}: {text}"
        for text, models in told.items()
    ]
