"""A result as a plain text table."""

from __future__ import annotations

import numpy as np

from tapnet import metrics
from tapnet.evaluate.results import Result

_COLUMNS = {
    "AJ": "average_jaccard",
    "delta_avg": "average_pts_within_thresh",
    "OA": "occlusion_accuracy",
    **{f"<{d}": f"pts_within_{d}" for d in metrics.THRESHOLDS},
    "PCK-T": "pck_t",
}


def report(result: Result) -> str:
    """A plain text table: the protocol, every video, the mean and over how many videos it is.

    Scores are times 100; "-" where there was nothing to judge.
    """
    columns = {title: name for title, name in _COLUMNS.items() if name in result.mean}
    name_width = max(len(row.name) for row in result.rows) + 2
    name_width = max(name_width, len("videos counted") + 2)

    def line(head: str, points: object, frames: object, cells: list[str]) -> str:
        return f"{head:<{name_width}}{points:>6}{frames:>7}" + "".join(
            f"{cell:>{len(title) + 2 if len(title) > 4 else 6}}"
            for title, cell in zip(columns, cells, strict=True)
        )

    lines = [*_protocol_lines(result), "", line("video", "points", "frames", list(columns))]
    for row in result.rows:
        cells = [_shown(row.scores.get(name, float("nan"))) for name in columns.values()]
        lines.append(line(row.name, row.points, row.frames, cells))
    means = [result.mean[name] for name in columns.values()]
    lines.append(line("mean", "", "", [_shown(mean.value) for mean in means]))
    lines.append(line("videos counted", "", "", [str(mean.count) for mean in means]))
    return "\n".join([*lines, _jaccard_line(result), *_left_out_lines(result, columns)]) + "\n"


def _protocol_lines(result: Result) -> list[str]:
    protocol = result.protocol
    stride = ", every 5th frame" if protocol.query_mode == "strided" else ""
    filter_ = "" if protocol.resize_filter == "none" else f", resized by {protocol.resize_filter}"
    weights = protocol.weights_sha256
    facts = {
        "dataset": f"{protocol.dataset}, {len(result.rows)} videos, "
        f"sha256 {protocol.dataset_sha256[:16]}",
        "model": f"{protocol.model}, "
        + (f"weights sha256 {weights[:16]}" if weights else "nothing trained"),
        "queries": f"{protocol.query_mode}{stride}; tracked {protocol.direction}; "
        f"{protocol.points_per_call} points per call",
        "video": f"{protocol.resolution}{filter_}; scored at 256x256",
        "computed": f"{protocol.precision or 'no weights'}, {protocol.device}, "
        f"torch {protocol.torch_version}, tapnet {protocol.tapnet_version}",
        "scores": "times 100; <d: share of visible points within d px",
    }
    return [f"{name:<10}{value}" for name, value in facts.items()]


def _jaccard_line(result: Result) -> str:
    means = [result.mean[f"jaccard_{d}"].value for d in metrics.THRESHOLDS]
    thresholds = " ".join(map(str, metrics.THRESHOLDS))
    return f"mean Jaccard at {thresholds} px: {' '.join(map(_shown, means))}"


def _left_out_lines(result: Result, columns: dict[str, str]) -> list[str]:
    """Which videos a mean leaves out; columns that leave out the same ones share a line."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for title, name in columns.items():
        groups.setdefault(result.mean[name].left_out, []).append(title)
    return [
        f"no {', '.join(titles)} (nothing to judge): {', '.join(names)}"
        for names, titles in groups.items()
        if names
    ]


def _shown(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}"
