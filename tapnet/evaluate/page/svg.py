"""Charts as SVG text: lines with bands, classes with error bars, bars. No library, no script.

A chart is readable on its own (colours are attributes) and follows the page it is put into: its
words have the colour of the text around it, and the class names let a style sheet choose others.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

# Okabe and Ito, "Color Universal Design", 2008; the yellow is too faint on white and left out.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#666666")
DASHES = ("", "6 3", "2 3")  # when colours begin again
WIDTH, HEIGHT = 440, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 42  # of the plot area
_LETTER = 6.3  # pixels, the mean width of one at font size 12
_ROW = 20  # pixels
_NOTE_LETTERS = 92  # in a line of a note


@dataclass(frozen=True)
class Series:
    """One model in a chart; NaN in y leaves a gap."""

    label: str
    style: int  # the same for a model in all charts
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None  # of an interval
    high: np.ndarray | None = None
    notes: Sequence[str] = ()  # one for each point, shown when it is pointed at
    sizes: np.ndarray | None = None  # radius of each point in pixels


@dataclass(frozen=True)
class Drawing:
    """A chart, drawn but for the sheet it stands on."""

    parts: Sequence[str]
    height: float

    def svg(self, note: str = "") -> str:
        """The chart as SVG, with a note in small print under it."""
        lines = textwrap.wrap(note, _NOTE_LETTERS)
        notes = [
            f'<text x="8" y="{self.height + 10 + 12 * i:.0f}" font-size="9">{escape(line)}</text>'
            for i, line in enumerate(lines)
        ]
        height = self.height + 12 * len(lines) + (6 if lines else 0)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
            'role="img" font-family="system-ui, sans-serif" font-size="12" fill="currentColor">'
            f'<rect class="paper" width="{WIDTH}" height="{height:.0f}" fill="#fff"/>'
            f"{''.join([*self.parts, *notes])}</svg>"
        )


@dataclass(frozen=True)
class Axis:
    """A scale with its ticks."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def place(self, value: np.ndarray | float) -> np.ndarray:
        """0..1 along the axis; beyond it is its end."""
        low, high, at = (
            (np.log2(v) if self.log else np.asarray(v, float))
            for v in (self.low, self.high, np.maximum(value, 1e-9) if self.log else value)
        )
        return np.clip((at - low) / (high - low), 0, 1)


def shares() -> Axis:
    """0 to 100 percent, for values 0..1."""
    return Axis("%", 0, 1, [(t / 100, str(t)) for t in range(0, 101, 20)])


def log_axis(label: str, low: float, high: float) -> Axis:
    """Powers of two, each ticked."""
    powers = range(math.ceil(math.log2(low) - 1e-9), math.floor(math.log2(high) + 1e-9) + 1)
    step = -(-len(powers) // 10)
    return Axis(label, low, high, [(2.0**p, f"{2.0**p:g}") for p in powers[::step]], log=True)


def lines(series: Sequence[Series], x: Axis, y: Axis, diagonal: bool = False) -> Drawing:
    """A line with a band for each series; `diagonal` marks where y = x."""
    body = [_axes(x, y)]
    if diagonal:
        a, b = _at(x, y, np.array([0.0, 1.0]), np.array([0.0, 1.0]))
        body.append(_path([a, b], 'class="guide" stroke="#888" stroke-dasharray="3 3"'))
    for one in series:
        body += [_band(one, x, y, 0.3 / max(2, len(series))), *_line(one, x, y)]
    return _chart(body, series)


def classes(series: Sequence[Series], x: Axis, y: Axis, apart: float = 8) -> Drawing:
    """Dots with error bars, those of one class `apart` pixels beside one another."""
    body = [_axes(x, y)]
    for i, one in enumerate(series):
        shift = (i - (len(series) - 1) / 2) * min(apart, 40 / max(len(series), 1))
        body += _error_bars(one, x, y, shift)
    return _chart(body, series)


def bars(rows: Sequence[tuple[str, int, float, str]], label: str) -> Drawing:
    """A horizontal bar for each (name, style, value, value in words); NaN has none."""
    wide = max([len(name) for name, *_ in rows], default=0)
    left = min(150.0, wide * _LETTER + 10)
    words = max([len(text) for *_, text in rows], default=0) * _LETTER + 8
    known = [value for _, _, value, _ in rows if not math.isnan(value)]
    scale = (WIDTH - left - words - _RIGHT) / max([*known, 1e-12])
    height = _ROW * len(rows) + 26
    parts = []
    for i, (name, style, value, text) in enumerate(rows):
        y = 6 + _ROW * i
        length = 0.0 if math.isnan(value) else max(value * scale, 1.0)
        parts += [
            _text(left - 6, y + 12, _short(name, left), anchor="end"),
            f'<rect x="{left:.1f}" y="{y + 2}" width="{length:.1f}" height="14" rx="2" '
            f'class="f{style % len(COLORS)}" fill="{COLORS[style % len(COLORS)]}"/>',
            _text(left + length + 5, y + 12, text),
        ]
    parts.append(_text(left, height - 8, label, kind="axis"))
    return Drawing(parts, height)


def _chart(body: Sequence[str], series: Sequence[Series]) -> Drawing:
    legend, rows = _legend(series)
    return Drawing([*body, legend], HEIGHT + rows * _ROW)


def _at(x: Axis, y: Axis, xs: np.ndarray, ys: np.ndarray) -> list[tuple[float, float]]:
    """Pixels of the chart."""
    across = _LEFT + x.place(xs) * (WIDTH - _LEFT - _RIGHT)
    down = HEIGHT - _BOTTOM - y.place(ys) * (HEIGHT - _TOP - _BOTTOM)
    return list(zip(across.tolist(), down.tolist(), strict=True))


def _axes(x: Axis, y: Axis) -> str:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = []
    for value, text in y.ticks:
        ((_, at),) = _at(x, y, np.array([x.low]), np.array([value]))
        parts.append(f'<path class="grid" stroke="#ddd" d="M{_LEFT} {at:.1f}H{right}"/>')
        parts.append(_text(_LEFT - 6, at + 4, text, anchor="end", kind="tick"))
    for value, text in x.ticks:
        ((at, _),) = _at(x, y, np.array([value]), np.array([y.low]))
        parts.append(_text(at, bottom + 16, text, anchor="middle", kind="tick"))
    parts.append(f'<path class="base" stroke="#888" d="M{_LEFT} {bottom}H{right}"/>')
    parts.append(_text((_LEFT + right) / 2, bottom + 34, x.label, anchor="middle", kind="axis"))
    turned = f"rotate(-90 12 {(_TOP + bottom) / 2:.0f})"
    middle = (_TOP + bottom) / 2
    parts.append(_text(12, middle, y.label, anchor="middle", kind="axis", turned=turned))
    return "".join(parts)


def _band(one: Series, x: Axis, y: Axis, opacity: float) -> str:
    if one.low is None or one.high is None:
        return ""
    known = ~(np.isnan(one.low) | np.isnan(one.high))
    if known.sum() < 2:
        return ""
    edge = _at(x, y, one.x[known], one.low[known])
    edge += _at(x, y, one.x[known], one.high[known])[::-1]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in edge)
    color = one.style % len(COLORS)
    return (
        f'<polygon class="f{color}" fill="{COLORS[color]}" fill-opacity="{opacity:.3f}" '
        f'points="{points}"/>'
    )


def _line(one: Series, x: Axis, y: Axis) -> list[str]:
    known = np.flatnonzero(~np.isnan(one.y)).tolist()
    points = _at(x, y, one.x[known], one.y[known])
    sizes = np.full(len(one.x), 2.4) if one.sizes is None else one.sizes
    dots = [
        _dot(point, one.style, sizes[i], one.notes[i] if one.notes else "")
        for i, point in zip(known, points, strict=True)
    ]
    return [_path(points, _stroke(one.style)), *dots]


def _error_bars(one: Series, x: Axis, y: Axis, shift: float) -> list[str]:
    parts = []
    for i in np.flatnonzero(~np.isnan(one.y)).tolist():
        ends = [one.y[[i]]]
        if one.low is not None and one.high is not None and not np.isnan(one.low[i]):
            ends = [one.low[[i]], one.y[[i]], one.high[[i]]]
        points = [_at(x, y, one.x[[i]], end)[0] for end in ends]
        points = [(a + shift, b) for a, b in points]
        parts.append(_path(points, _stroke(one.style)) if len(points) > 1 else "")
        note = one.notes[i] if one.notes else ""
        parts.append(_dot(points[len(points) // 2], one.style, 4, note))
    return parts


def _path(points: Sequence[tuple[float, float]], attributes: str) -> str:
    if not points:
        return ""
    way = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
    return f'<path fill="none" {attributes} d="M{way}"/>'


def _stroke(style: int) -> str:
    color = style % len(COLORS)
    dash = DASHES[style // len(COLORS) % len(DASHES)]
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'class="s{color}" stroke="{COLORS[color]}" stroke-width="2"{dashes}'


def _dot(point: tuple[float, float], style: int, radius: float, note: str) -> str:
    color = style % len(COLORS)
    told = f"<title>{escape(note)}</title>" if note else ""
    return (
        f'<circle class="f{color}" fill="{COLORS[color]}" cx="{point[0]:.1f}" cy="{point[1]:.1f}" '
        f'r="{radius:.1f}">{told}</circle>'
    )


def _legend(series: Sequence[Series]) -> tuple[str, int]:
    """The names under the chart, and how many rows they take."""
    parts, x, row = [], float(_LEFT), 0
    for one in series:
        name = _short(one.label, WIDTH - _LEFT - _RIGHT - 24)
        width = 24 + len(name) * _LETTER + 14
        if x + width > WIDTH and x > _LEFT:
            x, row = float(_LEFT), row + 1
        y = HEIGHT + 4 + row * _ROW
        parts.append(_path([(x, y + 6), (x + 18, y + 6)], _stroke(one.style)))
        parts.append(_text(x + 23, y + 10, name))
        x += width
    return "".join(parts), row + 1 if series else 0


def _short(text: str, width: float) -> str:
    most = max(3, int(width / _LETTER))
    return text if len(text) <= most else text[: most - 1] + "…"


def _text(
    x: float, y: float, text: str, anchor: str = "start", kind: str = "", turned: str = ""
) -> str:
    attributes = f' class="{kind}"' if kind else ""
    attributes += f' transform="{turned}"' if turned else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{attributes}>{escape(text)}</text>'
