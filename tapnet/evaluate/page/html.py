"""The page: one HTML file with everything in it, for every width of screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from importlib import resources

import numpy as np

import tapnet
from tapnet.evaluate import summary
from tapnet.evaluate.page.clips import FAR, NEAR, Film
from tapnet.evaluate.page.plots import Plot
from tapnet.evaluate.page.svg import COLORS
from tapnet.evaluate.protocol import Protocol
from tapnet.evaluate.results import Result
from tapnet.evaluate.statistics import DRAWS, FEWEST, LEVEL
from tapnet.evaluate.summary import COLUMNS, shown

TITLE = "Scores of point trackers"


def document(sections: Sequence[str]) -> str:
    """The whole file."""
    style = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{TITLE}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<h1>{TITLE}</h1>\n"
        f'<p class="soft">Made by tapnet {tapnet.__version__}. Scores are times 100. Two scores '
        "compare only under one protocol, which stands with every table and plot.</p>\n"
        f"{''.join(sections)}</body>\n</html>\n"
    )


def section(results: Sequence[Result], plots: Sequence[Plot], films: Sequence[Film]) -> str:
    """All about the results of one dataset, asked in one query mode."""
    protocol = results[0].protocol
    warnings = summary.warnings(results)
    shared = summary.protocol_line(results)
    parts = [
        f"<h2>{escape(protocol.dataset)}, {_asked(protocol)}</h2>\n",
        _protocol_lines(results),
        *(f'<p class="warning">{escape(text.capitalize())}.</p>\n' for text in warnings),
        _scores(results, shared),
        "<h3>Which is better, and how sure</h3>\n",
        _verdicts(results, shared),
        '<h3>In pictures</h3>\n<div class="plots">\n',
        *(_figure(plot, shared) for plot in plots),
        "</div>\n",
        _films(films, summary.headline(results), shared),
        _videos(results, shared),
        _protocols(results),
    ]
    return f"<section>\n{''.join(parts)}</section>\n"


def _asked(protocol: Protocol) -> str:
    if protocol.query_mode == "set":
        return protocol.judged
    if protocol.of_the_set:
        return f"queries {protocol.queries}"
    return f"query mode {protocol.query_mode}"


def _protocol_lines(results: Sequence[Result]) -> str:
    """What the rows share."""
    facts = [result.protocol.conditions() for result in results]
    items = []
    for name in facts[0]:
        values = dict.fromkeys(fact[name] for fact in facts)
        items.append(f"<li>{name}: {' / '.join(escape(value) for value in values)}</li>")
    items += [
        f"<li>machine: {escape(machine)}</li>"
        for machine in dict.fromkeys(m for r in results for m in r.machines)
    ]
    return f'<ul class="protocol">{"".join(items)}</ul>\n'


def _scores(results: Sequence[Result], shared: str) -> str:
    there = summary.columns(results)
    comparable = summary.comparable(results)
    best = summary.best(results, there)
    counts = summary.counts(results, there)
    heads = ["tracker", *(_counted(title, counts) for title in there)]
    ranked = summary.ranked(results)
    costs = summary.costs(ranked)
    heads += [*costs, "videos"]
    rows = []
    for i, result in enumerate(ranked):
        cells = [_score(result, name, best[name]) for name in there.values()]
        cells += [*(texts[i] for texts in costs.values()), str(len(result.rows))]
        rows.append((_keyed(result, results), cells))
    caption = (
        f"In small print: the {LEVEL:.0%} interval, from {DRAWS} samples of the videos drawn with "
        f"replacement, where there are {FEWEST} or more. {_meant(there)}"
        + ("Bold: the best of a column. " if comparable else "")
        + escape(" ".join(map(_sentence, summary.left_out(results, there))))
    )
    return _table(heads, rows, caption, shared)


def _sentence(text: str) -> str:
    """With a capital, unless it begins with the name of a model."""
    return f"N{text[1:]}" if text.startswith("no ") else text


def _meant(there: dict[str, str]) -> str:
    """What the columns say, of those there are."""
    told = {
        "AJ": "AJ: position and visibility; delta_avg: position; OA: visibility; AJ_RD: points "
        "that come back; &lt;d: share of visible points within d pixels at 256x256.",
        "3D-AJ": "3D-AJ: position in space and visibility; APD: position; OA: visibility.",
        "PCK-T": "PCK-T: share of visible points within 0.2 times the square root of the area of "
        "the object.",
        "@0.1": "@a: share of joints within a times the size of the person, on all frames; later: "
        "without the query frame, on which every tracker is right.",
    }
    return "".join(f"{text} " for title, text in told.items() if title in there)


def _counted(title: str, counts: dict[str, str]) -> str:
    """A head, with the number of videos behind it where that is not all of them."""
    return escape(title) + (f"<small>{counts[title]}</small>" if title in counts else "")


def _score(result: Result, name: str, best: float) -> str:
    value = result.mean[name].value if name in result.mean else float("nan")
    if np.isnan(value):
        return "-"
    text = f'<span class="best">{shown(value)}</span>' if value == best else shown(value)
    ends = result.intervals[name]
    if np.isnan(ends.low):
        return text
    return f"{text}<small>{shown(ends.low)}–{shown(ends.high)}</small>"  # noqa: RUF001


def _verdicts(results: Sequence[Result], shared: str) -> str:
    if len(results) < 2:
        return "<p>There is one tracker only.</p>\n"
    title = summary.headline(results)
    order = [r for r in summary.ranked(results) if COLUMNS[title] in r.mean]
    heads = [title, *(escape(r.protocol.model) for r in order)]
    rows = [
        (_keyed(a, results), [_lead(a, b, title) if a is not b else "" for b in order])
        for a in order
    ]
    told = "".join(f"<li>{escape(summary.verdict(order[0], b, title))}</li>" for b in order[1:])
    caption = (
        f"The {title} of a row minus that of a column on the same videos, its {LEVEL:.0%} "
        "interval, and how often chance alone gives as much if the two were equal (randomisation "
        f"test over videos). Bold: less often than in {1 - LEVEL:.0%} of cases. With many trackers "
        "some pair is bound to look sure by chance."
    )
    return f"<ul>{told}</ul>\n{_table(heads, rows, caption, shared)}"


def _lead(a: Result, b: Result, title: str) -> str:
    found = summary.paired(a, b, COLUMNS[title])
    if not found.videos:
        return "-"
    text = f"{100 * found.difference:+.1f}"
    text = f'<span class="best">{text}</span>' if found.sure else text
    ends = summary.ends_shown(found.interval).removeprefix(f"{LEVEL:.0%} interval ").rstrip(", ")
    return f"{text}<small>{ends}<br>{escape(summary.p_shown(found.p_value))}</small>"


def _protocol(shared: str) -> str:
    return f'<p class="protocol">Protocol: {escape(shared)}.</p>\n' if shared else ""


def _figure(plot: Plot, shared: str) -> str:
    return (
        f"<figure>\n<h3>{escape(plot.title)}</h3>\n{plot.drawing.svg()}\n<figcaption>{escape(plot.caption)}"
        f'<span class="protocol">Protocol: {escape(shared)}.</span></figcaption>\n</figure>\n'
    )


def _films(films: Sequence[Film], title: str, shared: str) -> str:
    if not films:
        return ""
    figures = [
        f'<figure><video controls loop muted playsinline preload="none" '
        f'poster="{film.poster}" src="{film.uri}"></video>'
        f"<figcaption>{escape(film.model)} on {escape(film.video)}: {title} "
        f"{shown(film.score)}</figcaption></figure>\n"
        for film in films
    ]
    return (
        "<h3>Where each does worst</h3>\n"
        "<p>A white ring is where a point is, a disc where the tracker says it is, with a line "
        f"between them: green below {NEAR:g} px at 256x256, amber below {FAR:g}, red beyond. A red "
        "ring alone was missed; a red disc alone is seen where the point is hidden.</p>\n"
        f'{_protocol(shared)}<div class="films">\n{"".join(figures)}</div>\n'
    )


def _videos(results: Sequence[Result], shared: str) -> str:
    title = summary.headline(results)
    name = COLUMNS[title]
    heads = ["video", "queries", "frames", *(escape(r.protocol.model) for r in results)]
    rows = []
    for i, row in enumerate(results[0].rows):
        scores = [shown(r.rows[i].scores.get(name, float("nan"))) for r in results]
        rows.append((escape(row.name), [str(row.points), str(row.frames), *scores]))
    table = _table(heads, rows, f"{title} of every video.", shared)
    return f"<details>\n<summary>Every video ({len(rows)})</summary>\n{table}</details>\n"


def _protocols(results: Sequence[Result]) -> str:
    told: dict[str, list[str]] = {
        name.replace("_", " "): [str(asdict(r.protocol)[name] or "-") for r in results]
        for name in asdict(results[0].protocol)
    }
    told["independence"] = [str(r.independence or "not checked") for r in results]
    told["machine"] = ["; ".join(r.machines) or "-" for r in results]
    rows = [(name, [escape(value) for value in _once(values)]) for name, values in told.items()]
    table = _table(
        ["field", *map(escape, told["model"])],
        rows,
        "All that is known of how the scores were taken.",
        "",
        "words",
    )
    return f"<details>\n<summary>The protocol in full</summary>\n{table}</details>\n"


def _once(values: Sequence[str]) -> Sequence[str]:
    """One value for all columns if they agree."""
    return values[:1] if len(set(values)) == 1 else values


def _keyed(result: Result, results: Sequence[Result]) -> str:
    """The name of a model after a dot of its colour in the plots."""
    style = next(i for i, other in enumerate(results) if other is result) % len(COLORS)
    return (
        f'<svg class="key" viewBox="0 0 2 2"><circle class="f{style}" fill="{COLORS[style]}" '
        f'cx="1" cy="1" r="1"/></svg>{escape(result.protocol.model)}'
    )


def _table(
    heads: Sequence[str],
    rows: Iterable[tuple[str, Sequence[str]]],
    caption: str,
    shared: str,
    kind: str = "",
) -> str:
    """Everything but `shared` is HTML."""
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{name}</th>{_cells(cells, len(heads) - 1)}</tr>\n'
        for name, cells in rows
    )
    classes = f' class="{kind}"' if kind else ""
    return (
        f'<div class="wide" tabindex="0"><table{classes}>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody>\n</table></div>\n"
        f'<p class="soft">{caption}</p>\n{_protocol(shared)}'
    )


def _cells(cells: Sequence[str], columns: int) -> str:
    """A cell that stands alone is as wide as all columns."""
    span = f' colspan="{columns}"' if len(cells) == 1 < columns else ""
    return "".join(f"<td{span}>{cell}</td>" for cell in cells)
