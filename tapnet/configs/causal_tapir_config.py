"""Causal TAPIR, which goes frame by frame: Vecerik et al., "RoboTAP", 2023.

    python tapnet/experiment.py --config tapnet/configs/causal_tapir_config.py
    python tapnet/experiment.py --config tapnet/configs/causal_tapir_config.py:smoke  # two minutes

TAPIR whose refinement sees earlier frames only, and one more pooled grid (SPEC 3 and 10); all else
as in `tapir_config.py`.

Duration: not measured. Score: not measured.
"""

from dataclasses import replace
from pathlib import Path

from tapnet.config import Run
from tapnet.configs import tapir_config


def get_config() -> Run:
    return causal(tapir_config.get_config(), "runs/causal-tapir")


def smoke() -> Run:
    """Everything once, small: clips of 8 frames of 64x64."""
    return causal(tapir_config.smoke(), "runs/causal-tapir-smoke")


def causal(run: Run, out: str) -> Run:
    return replace(run, out=Path(out), model=replace(run.model, causal=True, pyramid_level=1))
