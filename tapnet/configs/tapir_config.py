"""TAPIR: Doersch et al., "TAPIR: Tracking Any Point", ICCV 2023.

    python tapnet/experiment.py --config tapnet/configs/tapir_config.py
    python tapnet/experiment.py --config tapnet/configs/tapir_config.py:small   # 6 M parameters
    python tapnet/experiment.py --config tapnet/configs/tapir_config.py:smoke   # two minutes

SPEC 2 and 10: 31 M parameters, 100,000 steps of 8 clips (the reference has 8 on each of its
devices), 24 frames of 256x256, 256 tracks a clip, AdamW at 1e-3 with a decay of 0.1. The paper
trains on panning MOVi-E: give its files with `--data.kubric DIR`. The reference lets the gradient
of the refinement reach 32 tracks a clip only; here it reaches all, and the refinement is computed
twice to fit into memory.

Duration: not measured. Score: not measured.
"""

from dataclasses import replace
from pathlib import Path

from tapnet.config import Optim, Run
from tapnet.configs import tapnet_config
from tapnet.models import TapirSettings


def get_config() -> Run:
    return replace(
        tapnet_config.get_config(),
        out=Path("runs/tapir"),
        model=TapirSettings(recompute=True),
        optim=Optim(lr=1e-3, warmup=1000, weight_decay=0.1, batch=8, bfloat16=True),
    )


def small() -> Run:
    """A mixer of a quarter of the width and a third of the depth: 5.9 M parameters."""
    return replace(
        get_config(),
        out=Path("runs/tapir-small"),
        model=TapirSettings(mixer_hidden_dim=128, num_mixer_blocks=4),
    )


def smoke() -> Run:
    """Everything once, small: clips of 8 frames of 64x64."""
    run = tapnet_config.smoke()
    return replace(
        run,
        out=Path("runs/tapir-smoke"),
        model=TapirSettings(
            initial_resolution=(64, 64), mixer_hidden_dim=32, num_mixer_blocks=2, num_pips_iter=2
        ),
        optim=replace(run.optim, lr=1e-3, weight_decay=0.1),
        evaluation=replace(run.evaluation, every=30),
        steps=60,
    )
