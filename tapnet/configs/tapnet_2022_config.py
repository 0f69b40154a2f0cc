"""TAP-Net as it was first released: Doersch et al., "TAP-Vid", NeurIPS 2022, with its contrast.

    python tapnet/experiment.py --config tapnet/configs/tapnet_2022_config.py
    python tapnet/experiment.py --config tapnet/configs/tapnet_2022_config.py:smoke  # two minutes

SPEC 4.3 and 10: four cost volumes, pixel-centre coordinates, and a loss by which the feature of a
query should match its own track best; 500,000 steps of 4 clips (the reference has 4 on each of its
devices). The published checkpoint is not of this model but of `tapnet_config.py`.

Duration: not measured. Score: not measured.
"""

from dataclasses import replace
from pathlib import Path

from tapnet.config import Run
from tapnet.configs import tapnet_config
from tapnet.models import TapNetSettings


def get_config() -> Run:
    return as_first_released(tapnet_config.get_config(), "runs/tapnet-2022", 4, 500_000)


def smoke() -> Run:
    """Everything once, small: clips of 8 frames of 64x64."""
    return as_first_released(tapnet_config.smoke(), "runs/tapnet-2022-smoke", 2, 100)


def as_first_released(run: Run, out: str, batch: int, steps: int) -> Run:
    return replace(
        run,
        out=Path(out),
        model=TapNetSettings(first_release=True),
        loss="first_release",
        optim=replace(run.optim, batch=batch),
        steps=steps,
    )
