"""Assists of the annotator: how far from the truth, and how fast the flow path is found.

    python benchmarks/assist.py [--clips 12] [--long-clips 4] [--points 16]     # accuracy and plot
    python benchmarks/assist.py --dataset clips.pkl                             # of real videos
    python benchmarks/assist.py --speed                                         # minutes

Accuracy: clips of the synthetic validation set, clicked by simulated annotators every 4, 8, 12 or
24 frames, beside the truth by Gaussian noise; the same clicks for every assist. The error is the
distance to the truth, on the frames where the point is visible and on all from its first click to
its last, clicked frames too. "no fault" is the truth, moved to go through the same noisy clicks:
no path through them can be expected to be better. The plot goes to
docs/annotation/assist_error.png.

Real videos: a file in TAP-Vid's layout, the first frames of each clip; every second visible label
of a point is a click, those between are judged, in pixels at 256x256.

Speed: the exact dynamic programme and the fast search in one run, 480x854, 20 and 50 frames of
flow of a rendered scene; processor seconds, costs and their ratio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from tapnet import scenes, video
from tapnet.annotation import flow_assist, flow_search
from tapnet.annotation.assist import fill
from tapnet.annotation.content import Click, Content
from tapnet.annotation.simulated import annotate
from tapnet.baselines.flow import dis
from tapnet.data import tapvid, validation
from tapnet.data.synthetic import Recipe
from tapnet.progress import Progress
from tapnet.scenes import Settings
from tapnet.structs import Example

EVERY = 4, 8, 12, 24
NOISE = 0.0, 0.5**0.5, 1.0  # pixels along each axis: none, 1 px in all, 1 px each
ASSISTS = "linear", "flow", "tracker"
PLOT = Path(__file__).parents[1] / "docs" / "annotation" / "assist_error.png"
SPEED_SCENE = 1  # points move by about 11 pixels a frame at most
Case = tuple[float, int, str]  # noise, frames between clicks, assist
Errors = dict[Case, list[tuple[np.ndarray, np.ndarray]]]


@dataclass(frozen=True)
class Result:
    """Of the clips of one length."""

    errors: dict[Case, np.ndarray]  # mean and median on visible frames, mean and median on all
    clicks: list[float]  # of a track, for each of EVERY


def examples(group: str, first: int, count: int) -> Iterator[Example]:
    """Clips of the validation set, rendered."""
    part = validation.GROUPS[group]
    settings = validation.of_length(validation.SETTINGS, part.frames)
    recipe = Recipe(validation.SEED, settings, None, "validation")
    for i in range(first, first + count):
        yield recipe.example(part.first + i)


def judge(example: Example, points: int, errors: Errors, clicks: dict[int, list[int]]) -> None:
    """Adds the errors on a clip: distances, and whether the point is visible."""
    generator = np.random.default_rng(0)
    seen = np.flatnonzero((~example.occluded).sum(1) >= 3)
    rows = generator.permutation(seen)[:points]
    offsets = generator.normal(size=example.target_points.shape)
    keys = [(s, k, assist, row) for s in NOISE for k in EVERY for assist in ASSISTS for row in rows]
    contents = [
        annotate(
            example.target_points[row],
            example.occluded[row],
            k,
            s * offsets[row],
            example.size,
            assist,
        )
        for s, k, assist, row in keys
    ]
    paths = fill(video.open(example.video), contents)
    for (s, k, assist, row), content, path in zip(keys, contents, paths, strict=True):
        part = slice(content.clicks[0].frame, content.clicks[-1].frame + 1)
        truth, visible = example.target_points[row], ~example.occluded[row]
        found = {assist: path.xy}
        if assist == "linear":
            found["no fault"] = truth + _beside(content, truth)
            clicks.setdefault(k, []).append(len(content.clicks))
        for name, xy in found.items():
            away = np.linalg.norm(xy - truth, axis=1)[part]
            errors.setdefault((s, k, name), []).append((away, visible[part]))


def _beside(content: Content, truth: np.ndarray) -> np.ndarray:
    """[T, 2]: how far the clicks are beside the truth, straight from one to the next."""
    at = [click.frame for click in content.clicks]
    beside = np.array([(click.x, click.y) for click in content.clicks]) - truth[at]
    return np.stack([np.interp(np.arange(len(truth)), at, part) for part in beside.T], 1)


def figures(entries: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Mean and median error on visible frames, and on all."""
    away, visible = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    return np.array(
        [f(part) for part in (away[visible], away) for f in (np.mean, np.median)], float
    )


def needed(medians: list[float], clicks: list[float], target: float = 1.0) -> str:
    """Clicks a track at which the median error is `target` pixels, between those measured."""
    if min(medians) > target:
        return f"more than {max(clicks):.1f}"
    for i in range(len(medians) - 1, -1, -1):  # from the fewest clicks on
        if medians[i] <= target:
            if i == len(medians) - 1:
                return f"{clicks[i]:.1f} or fewer"
            pair = np.log(medians[i : i + 2])
            share = (np.log(target) - pair[0]) / (pair[1] - pair[0])
            return f"{np.exp(np.interp(share, [0, 1], np.log(clicks[i : i + 2]))):.1f}"
    raise AssertionError


def report(result: Result) -> None:
    names = [*ASSISTS, "no fault"]
    for s in NOISE:
        print(f"\nclicks beside the truth by {s:.2f} px along each axis (standard deviation)")
        for k, many in zip(EVERY, result.clicks, strict=True):
            base = result.errors[s, k, "linear"]
            for name in names:
                now = result.errors[s, k, name]
                print(
                    f"  every {k:2d} ({many:4.1f} clicks) {name:9s}"
                    f" visible: mean {now[0]:5.2f} median {now[1]:5.2f}"
                    f"   all: mean {now[2]:5.2f} median {now[3]:5.2f} px"
                    f"   of linear: {' '.join(f'{x:.2f}' for x in now / np.maximum(base, 1e-9))}"
                )
        for name in names:
            medians = [float(result.errors[s, k, name][1]) for k in EVERY]
            print(
                f"  clicks a track for a median of 1 px, {name}: {needed(medians, result.clicks)}"
            )


def plot(results: dict[str, Result], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    colours = {"linear": "#888888", "flow": "#1f77b4", "tracker": "#d62728", "no fault": "#2ca02c"}
    figure, axes = pyplot.subplots(
        len(results), len(NOISE), figsize=(11, 1 + 3.2 * len(results)), sharey="row", squeeze=False
    )
    for row, (group, result) in zip(axes, results.items(), strict=True):
        for axis, s in zip(row, NOISE, strict=True):
            for name, colour in colours.items():
                values = np.array([result.errors[s, k, name] for k in EVERY])
                if values.max() > 0:
                    axis.plot(
                        result.clicks, values[:, 0], "o-", color=colour, label=f"{name}, mean"
                    )
                    axis.plot(result.clicks, values[:, 1], "o:", color=colour, label="median")
            axis.set(xscale="log", yscale="log", xlabel="clicks a track")
            axis.set_xticks(result.clicks, [f"{x:.1f}" for x in result.clicks])
            axis.minorticks_off()
            ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10]
            axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
            axis.axhline(1, color="black", linewidth=0.5)
            axis.set_title(f"{group}, noise {s:.2f} px an axis", fontsize=10)
        row[0].set_ylabel("error on visible frames, px")
    handles, labels = axes[0, -1].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, ncols=4, loc="lower center")
    figure.tight_layout(rect=(0, 0.5 / figure.get_figheight(), 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def accuracy(counts: dict[str, tuple[int, int]], points: int) -> None:
    results: dict[str, Result] = {}
    for group, (first, count) in counts.items():
        errors: Errors = {}
        clicks: dict[int, list[int]] = {}
        with Progress(group, "clips") as progress:
            for done, example in enumerate(examples(group, first, count), start=1):
                judge(example, points, errors, clicks)
                progress(done, count)
        print(f"\n{group}: clips {first} to {first + count - 1}, {points} points each")
        results[group] = Result(
            {case: figures(entries) for case, entries in errors.items()},
            [float(np.mean(clicks[k])) for k in EVERY],
        )
        report(results[group])
        plot(results, PLOT)
    print(f"\n{PLOT.name} written")


def real(dataset: Path, points: int, frames: int) -> None:
    """Clips of people's labels: mean and median error of each assist on every second label."""
    for clip in tapvid.read(dataset):
        opened = video.open(np.stack(list(islice(clip.images(), frames))))
        size = np.array(opened.size[::-1])
        xy = clip.points[:, : len(opened)] * size
        known = clip.visible[:, : len(opened)] & ((xy >= 0) & (xy <= size)).all(-1)
        rows = np.flatnonzero(known.sum(1) >= 3)[:points]
        if not len(rows):
            print(f"{clip.name}: no point has three labels in the first {frames} frames")
            continue
        labels, found = [np.flatnonzero(known[row]) for row in rows], []
        for assist in ASSISTS:
            contents = [
                Content(
                    clicks=tuple(Click(int(t), *xy[row, t].tolist()) for t in at[::2]),
                    assist=assist,
                )
                for row, at in zip(rows, labels, strict=True)
            ]
            away = [
                np.linalg.norm((path.xy[judged] - xy[row, judged]) * 256 / size, axis=1)
                for row, judged, path in zip(
                    rows, [at[1:-1:2] for at in labels], fill(opened, contents), strict=True
                )
            ]
            found.append(np.concatenate(away))
        apart = np.concatenate([np.diff(at[::2]) for at in labels]).mean()
        errors = ", ".join(
            f"{assist} {away.mean():.2f} / {np.median(away):.2f}"
            for assist, away in zip(ASSISTS, found, strict=True)
        )
        print(
            f"{clip.name}: {len(opened)} frames, {len(rows)} points, {len(found[0])} labels, "
            f"{apart:.1f} frames between clicks; mean / median px: {errors}",
            flush=True,
        )


def speed(points: int) -> None:
    settings = Settings(frames=51, size=(480, 854), points=64)
    example = scenes.render(scenes.sample(SPEED_SCENE, settings))
    pairs = zip(example.video[:-1], example.video[1:], strict=True)
    flows = np.stack([dis(before, after) for before, after in pairs])
    for frames in (20, 50):
        both = np.flatnonzero(~example.occluded[:, 0] & ~example.occluded[:, frames])
        for row in both[:points]:
            places = np.clip(example.target_points[row, [0, frames]] - 0.5, 0, [853, 479])
            clicks = np.column_stack([[0, frames], places])
            seconds, costs = [], []
            for search in (flow_assist.path, flow_assist.fast_path):
                begin = time.process_time()
                found = search(flows[:frames], clicks)
                seconds.append(time.process_time() - begin)
                costs.append(flow_assist.cost(flows[:frames], found))
            whole = flow_search.cheapest(flows[:frames], *places)
            step = np.abs(np.diff(found, axis=0)).max()
            print(
                f"{frames} frames, steps up to {step:.1f} px: "
                f"exact {seconds[0]:.1f} s, cost {costs[0]:.2f} px; "
                f"fast {seconds[1]:.2f} s, cost {flow_assist.cost(flows[:frames], whole):.2f} px, "
                f"{costs[1]:.2f} px between pixels; "
                f"{seconds[0] / seconds[1]:.0f} times as fast",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--clips", type=int, default=12, help="of 24 frames")
    parser.add_argument("--long-clips", type=int, default=4, help="of 96 frames")
    parser.add_argument("--first", type=int, default=12, help="the first 12 set the constants")
    parser.add_argument("--points", type=int, default=16, help="of a clip")
    parser.add_argument("--dataset", type=Path, help="real clips in TAP-Vid's layout")
    parser.add_argument("--frames", type=int, default=72, help="of a real clip at most")
    args = parser.parse_args()
    if args.dataset:
        real(args.dataset, args.points, args.frames)
        return
    if args.speed:
        speed(min(args.points, 2))
        return
    counts = {"scenes-24": (args.first, args.clips), "scenes-96": (3, args.long_clips)}
    accuracy({group: count for group, count in counts.items() if count[1]}, args.points)


if __name__ == "__main__":
    main()
