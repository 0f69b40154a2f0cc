"""The plots of a report: what each shows of a table's results, and in which words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tapnet import metrics
from tapnet.evaluate import curves, summary
from tapnet.evaluate.page.svg import Axis, Drawing, Series, bars, classes, lines, log_axis, shares
from tapnet.evaluate.results import Result
from tapnet.evaluate.statistics import LEVEL, Sums, interval, mean_of, resamples
from tapnet.evaluate.summary import COLUMNS

SHOWN_VIDEOS = 30  # one by one; of more, the hardest
_DRAWS = 200  # for the bands of medians, which take long
_BAND = f"bands: {LEVEL:.0%} bootstrap interval over videos"


@dataclass(frozen=True)
class Plot:
    """A chart and what must be said with it."""

    name: str  # of its file
    title: str
    drawing: Drawing
    caption: str


def plots(results: Sequence[Result]) -> list[Plot]:
    """All that these results of one dataset have data for."""
    drawn = [draw(results) for draw in _PLOTS]
    return [plot for plot in drawn if plot is not None]


def _with_curves(results: Sequence[Result], name: str) -> list[tuple[int, Result, np.ndarray]]:
    """Style, result and [V, ...] curves of the results that have any."""
    there = [(i, r) for i, r in enumerate(results) if all(name in row.curves for row in r.rows)]
    return [(i, r, r.curve(name)) for i, r in there]


def _means(values: np.ndarray, x: np.ndarray, style: int, result: Result, unit: str) -> Series:
    """The mean over videos of each column of [V, D], with its band."""
    columns = [mean_of(values[:, d]) for d in range(values.shape[1])]
    y = np.array([float(column.value()) for column in columns])
    ends = [interval(column) for column in columns]
    name = result.protocol.model
    notes = [f"{name}: {100 * b:.1f} % at {a:g} {unit}" for a, b in zip(x, y, strict=True)]
    low, high = np.array([e.low for e in ends]), np.array([e.high for e in ends])
    return Series(name, style, x, y, low, high, notes)


def _thresholds(results: Sequence[Result], name: str) -> list[Series]:
    return [
        _means(values, curves.DISTANCES, i, result, "px")
        for i, result, values in _with_curves(results, name)
        if not np.isnan(values).all()
    ]


def _within(results: Sequence[Result]) -> Plot | None:
    series = _thresholds(results, "within")
    if not series:
        return None
    drawing = lines(series, _pixels(), shares())
    caption = (
        "Share of the visible points whose position is nearer to the truth than a threshold, "
        f"whatever was said of their visibility; mean of videos; {_BAND}. delta_avg is the mean "
        "at 1, 2, 4, 8 and 16."
    )
    return Plot("within", "Positions", drawing, caption)


def _jaccard(results: Sequence[Result]) -> Plot | None:
    series = _thresholds(results, "jaccard")
    if not series:
        return None
    drawing = lines(series, _pixels(), shares())
    caption = (
        "Jaccard index: points that are visible, said to be so and nearer than a threshold, among "
        f"all that are visible or wrongly said to be; mean of videos; {_BAND}. AJ is the mean at "
        "1, 2, 4, 8 and 16."
    )
    return Plot("jaccard", "Positions and visibility", drawing, caption)


def _pixels() -> Axis:
    return log_axis("threshold, pixels at 256x256", curves.DISTANCES[0], curves.DISTANCES[-1])


def _gaps(results: Sequence[Result]) -> Plot | None:
    series, counts = [], np.zeros(len(curves.GAPS))
    for i, result, total in _with_curves(results, "gap_sum"):
        number = result.curve("gap_count")
        columns = [Sums(total[:, [g]], number[:, [g]]) for g in range(len(curves.GAPS))]
        y = np.array([float(column.value()) for column in columns])
        ends = [interval(column) for column in columns]
        counts = np.maximum(counts, number.sum(axis=0))
        notes = [f"{result.protocol.model}: AJ {100 * v:.1f}" for v in y]
        low, high = np.array([e.low for e in ends]), np.array([e.high for e in ends])
        places = np.arange(len(y), dtype=float)
        series.append(Series(result.protocol.model, i, places, y, low, high, notes))
    if not counts.any():
        return None
    last = int(np.flatnonzero(counts)[-1]) + 1  # class of the longest gap there is
    edges = [*curves.GAPS, None]
    names = ["none", *map(_class_name, edges[1:-1], edges[2:])][:last]
    ticks = [(float(g), name) for g, name in enumerate(names)]
    x = Axis("longest gap of the point, frames", -0.5, len(names) - 0.5, ticks)
    numbers = ", ".join(f"{int(n)}" for n in counts[:last])
    caption = (
        "AJ of points by the longest time that they were out of sight and came back; mean of the "
        f"points of all videos ({numbers} points); bars: {LEVEL:.0%} interval over videos."
    )
    return Plot("gaps", "AJ against occlusion length", classes(series, x, shares()), caption)


def _class_name(first: int | None, after: int | None) -> str:
    if after is None:
        return f"{first}+"
    return f"{first}" if first == after - 1 else f"{first}–{after - 1}"  # noqa: RUF001


def _errors(results: Sequence[Result]) -> Plot | None:
    series = []
    x = np.array(curves.SINCE, float)
    for i, result, counts in _with_curves(results, "errors"):
        y = curves.median_errors(counts.sum(axis=0))
        flat = counts.reshape(len(counts), -1)
        drawn = np.stack(
            [
                curves.median_errors((w @ flat).reshape(counts.shape[1:]))
                for w in resamples(len(counts), _DRAWS)
            ]
        )
        known = ~np.isnan(drawn).all(axis=0)
        low, high = np.full(len(x), np.nan), np.full(len(x), np.nan)
        tail = 50 * (1 - LEVEL)
        if known.any():
            low[known], high[known] = np.nanpercentile(drawn[:, known], [tail, 100 - tail], axis=0)
        name = result.protocol.model
        notes = [f"{name}: {b:.2g} px from {a:g} frames on" for a, b in zip(x, y, strict=True)]
        series.append(Series(name, i, x, y, low, high, notes))
    known = [value for one in series for value in one.y if not np.isnan(value)]
    if not known:
        return None
    low = 2.0 ** np.floor(np.log2(max(min(known), 0.125)))
    high = 2.0 ** np.ceil(np.log2(max(*known, 2 * low)))
    last = max(one.x[~np.isnan(one.y)].max(initial=2) for one in series)
    across = log_axis("frames from the query (1, 2–3, 4–7, ...)", 1, last)  # noqa: RUF001
    drawing = lines(series, across, log_axis("pixels at 256x256", low, high))
    caption = f"Median error of the visible points by the time from their query; {_BAND}."
    return Plot("errors", "Error over time since the query", drawing, caption)


def _reliability(results: Sequence[Result]) -> Plot | None:
    series, videos = [], 0
    for i, result, counts in _with_curves(results, "confidence_count"):
        count = counts.sum(axis=0)
        if not count.any():
            continue
        said, right = (result.curve(f"confidence_{n}").sum(axis=0) for n in ("sum", "right"))
        error = np.abs(said - right).sum() / count.sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y = said / count, right / count
        told = [f"{int(n)} positions: said {100 * a:.0f} %, right {100 * b:.0f} %"
                for n, a, b in zip(count, x, y, strict=True)]  # fmt: skip
        label = f"{result.protocol.model} (off by {100 * error:.1f})"
        sizes = 2 + 6 * np.sqrt(count / count.sum())
        series.append(Series(label, i, x, y, notes=told, sizes=sizes))
        videos = max(videos, int(counts.any(axis=1).sum()))
    if not series:
        return None
    across, up = shares(), shares()
    x = Axis("confidence, %", across.low, across.high, across.ticks)
    caption = (
        f"Share of positions that are visible and within {curves.RIGHT_WITHIN:g} px, by the "
        "confidence that the tracker gave them; on the dotted line confidence means what it says. "
        "Dots are larger where there are more positions. "
        "Off by: the mean distance from it, in points (expected calibration error, 10 bins). "
        f"Of {videos} videos with labels of occlusion."
    )
    drawing = lines(series, x, Axis("right, %", up.low, up.high, up.ticks), diagonal=True)
    return Plot("reliability", "Reliability of confidence", drawing, caption)


def _keypoints(results: Sequence[Result]) -> Plot | None:
    series = []
    x = np.array(metrics.ALPHAS)
    for i, result in enumerate(results):
        names = [f"PCK@{alpha}_later" for alpha in metrics.ALPHAS]
        if not all(name in result.mean for name in names):
            continue
        y = np.array([result.mean[name].value for name in names])
        ends = [result.intervals[name] for name in names]
        low, high = np.array([e.low for e in ends]), np.array([e.high for e in ends])
        name = result.protocol.model
        notes = [f"{name}: {100 * b:.1f} % within {a:g}" for a, b in zip(x, y, strict=True)]
        series.append(Series(name, i, x, y, low, high, notes))
    if not series:
        return None
    across = Axis("threshold, share of the person's size", 0.05, 0.55, [(a, f"{a:g}") for a in x])
    caption = (
        "Share of the joints whose position is nearer to the truth than a share of the person's "
        f"size, without the query frame; mean of joints; {_BAND}."
    )
    return Plot("keypoints", "Joints", lines(series, across, shares()), caption)


def _speed(results: Sequence[Result]) -> Plot | None:
    measured = [(i, r) for i, r in enumerate(results) if not np.isnan(r.frames_per_second)]
    if not measured:
        return None
    rows = [
        (r.protocol.model, i, r.frames_per_second, summary.speed_shown(r.frames_per_second))
        for i, r in measured
    ]
    points = np.mean([row.points for _, r in measured for row, _ in r.costs])
    caption = (
        f"Frames of a video by the seconds in the tracker, all its queries at once ({points:.0f} "
        f"a video on average); decoding and resizing not counted. {_machines(measured)}"
    )
    return Plot("speed", "Speed", bars(rows, "frames per second"), caption)


def _memory(results: Sequence[Result]) -> Plot | None:
    measured = [(i, r) for i, r in enumerate(results) if not np.isnan(r.memory)]
    if not measured:
        return None
    rows = []
    for i, r in measured:
        text = summary.memory_shown(r.memory)
        if not np.isnan(r.device_memory):
            text += f" + {summary.memory_shown(r.device_memory)} on the device"
        rows.append((r.protocol.model, i, r.memory / 1e6, text))
    caption = (
        "The most memory that the process held while it tracked a video: Python, the libraries and "
        f"the video among it. {_machines(measured)}"
    )
    return Plot("memory", "Peak memory", bars(rows, "megabytes"), caption)


def _machines(measured: Sequence[tuple[int, Result]]) -> str:
    found: dict[str, list[str]] = {}
    for _, result in measured:
        for machine in result.machines:
            found.setdefault(machine, []).append(result.protocol.model)
    if len(found) == 1:
        return f"Machine: {next(iter(found))}."
    told = "; ".join(f"{', '.join(models)}: {machine}" for machine, models in found.items())
    return f"NOT one machine: {told}."


def _videos(results: Sequence[Result]) -> Plot | None:
    title = summary.headline(results)
    name = COLUMNS[title]
    values = np.array([[row.scores.get(name, np.nan) for row in r.rows] for r in results])
    if values.shape[1] < 2 or np.isnan(values).all():
        return None
    known = np.flatnonzero(~np.isnan(values).all(axis=0))
    order = known[np.argsort(np.nanmean(values[:, known], axis=0))][:SHOWN_VIDEOS]
    places = np.arange(1, len(order) + 1, dtype=float)
    series = []
    for i, result in enumerate(results):
        y = values[i, order]
        notes = [f"{result.rows[v].name}, {result.protocol.model}: {100 * values[i, v]:.1f}"
                 for v in order]  # fmt: skip
        series.append(Series(result.protocol.model, i, places, y, notes=notes))
    which = f"the hardest {len(order)} of {len(known)}" if len(known) > len(order) else "all"
    ticks = [(p, f"{p:g}") for p in places if p == 1 or p % 5 == 0]
    x = Axis("videos, hardest first", 0.5, len(order) + 0.5, ticks)
    y_axis = Axis(f"{title}, %", 0, 1, shares().ticks)
    caption = f"{title} of single videos: {which}; their names are in the table of videos."
    return Plot("videos", "Video by video", classes(series, x, y_axis, apart=0), caption)


_PLOTS: tuple[Callable[[Sequence[Result]], Plot | None], ...] = (
    _within,
    _jaccard,
    _gaps,
    _errors,
    _reliability,
    _keypoints,
    _videos,
    _speed,
    _memory,
)
