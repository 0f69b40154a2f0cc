"""Draw the curves of trainings: their loss and the scores on the way.

python tools/plot_training.py docs/curve.png runs/tapnet runs/tapir
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tapnet.train.journal import Lines

SMOOTH = 50  # lines of the log averaged at most


def smoothed(values: Sequence[float]) -> list[float]:
    """Each value averaged with those around it, fewer of them towards the ends."""
    reach = min(SMOOTH, len(values) // 10) // 2
    return [
        sum(values[i - n : i + n + 1]) / (2 * n + 1)
        for i, n in ((i, min(reach, i, len(values) - 1 - i)) for i in range(len(values)))
    ]


def draw(out: Path, runs: Sequence[Path]) -> None:
    """A picture with a line for each run, and a dashed one for each further dataset."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    judged = [run for run in runs if Lines(run / "scores.jsonl").read()]  # may be none
    panels = 2 if judged else 1
    figure, [[left, *right]] = pyplot.subplots(
        1, panels, figsize=(5 * panels, 4), layout="constrained", squeeze=False
    )
    for number, run in enumerate(runs):
        log = [line for line in Lines(run / "log.jsonl").read() if "loss" in line]
        if not log:
            raise ValueError(f"{run}: expected a run with a log.jsonl, found none")
        steps, color = [line["step"] for line in log], f"C{number}"
        left.plot(steps, smoothed([line["loss"] for line in log]), color=color, label=run.name)
        scores = Lines(run / "scores.jsonl").read()
        for order, dataset in enumerate(scores[-1]["scores"] if scores else ()):
            right[0].plot(
                [line["step"] for line in scores],
                [100 * line["scores"][dataset]["average_jaccard"] for line in scores],
                color=color,
                linestyle=("-", "--", ":")[order % 3],
                marker=".",
                label=f"{run.name}, {dataset}",
            )
    for axes, name in zip((left, *right), ("loss", "average Jaccard x 100"), strict=False):
        axes.set(xlabel="steps", ylabel=name)
        axes.grid(alpha=0.3)
        axes.legend()
    left.set_yscale("log")
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    draw(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
    print(f"wrote {sys.argv[1]}")
