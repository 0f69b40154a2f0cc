"""TAPIR: Doersch et al., "TAPIR: Tracking Any Point", ICCV 2023.

    python tapnet/experiment.py --config tapnet/configs/tapir_config.py
    python tapnet/experiment.py --config tapnet/configs/tapir_config.py:small   # 6 M parameters
    python tools/start_tapir.py runs/tapir-start.safetensors   # for the next two, for a CPU
    python tapnet/experiment.py --config tapnet/configs/tapir_config.py:matching
    python tapnet/experiment.py --config tapnet/configs/tapir_config.py:refining
    python tapnet/experiment.py --config tapnet/configs/tapir_config.py:smoke   # two minutes

SPEC 2 and 10: 31 M parameters, 100,000 steps of 8 clips (the reference has 8 on each of its
devices), 24 frames of 256x256, 256 tracks a clip, AdamW at 1e-3 with a decay of 0.1. The paper
trains on panning MOVi-E: give its files with `--data.kubric DIR`. The reference lets the gradient
of the refinement reach 32 tracks a clip only; here it reaches all, and the refinement is computed
twice to fit into memory.

Duration: not measured. Score: not measured; `matching` and `refining` took 29 and 37 minutes of one
CPU core, and what they give has AJ 30.3 and delta_avg 46.9 on scenes-24 and delta_avg 27.9 on ten
real clips (docs/training.md).
"""

from dataclasses import replace
from pathlib import Path

from tapnet.config import Evaluation, Optim, Run
from tapnet.configs import tapnet_config
from tapnet.data.augment import Augment
from tapnet.models import TapirSettings

# What the stages for a CPU show.
NEAR = Augment(size=(128, 128), frames=3, points=96, max_stride=7, zoom=(0.9, 1.9))


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


def matching() -> Run:
    """For a CPU: the encoder and the first guess of that TAPIR, without refinement.

    From the shipped TAP-Net's layers, of which the first stay as they are; `taplite` is the
    teacher of its features. The clips are those of `taplite_config.py`.
    """
    run = small()
    return replace(
        run,
        out=Path("runs/tapir-matching"),
        model=replace(run.model, initial_resolution=NEAR.size, num_pips_iter=0),
        loss="taught",
        data=tapnet_config.triples().data,
        augment=NEAR,
        optim=Optim(
            lr=8e-4,
            warmup=40,
            hold=0.5,
            weight_decay=1e-2,
            lr_scale={"encoder.backbone.stem": 0.0, "encoder.backbone.groups.0": 0.0},
            clip_norm=1.0,
            batch=8,
            accumulate=2,
            ema=0.99,
        ),
        evaluation=Evaluation(every=0),
        steps=200,
        init=Path("runs/tapir-start.safetensors"),
    )


def refining() -> Run:
    """For a CPU: the refinement of those guesses, all before it as it is."""
    parent = matching()
    return replace(
        parent,
        out=Path("runs/tapir-refining"),
        model=replace(parent.model, num_pips_iter=4),
        loss="tapir",
        augment=replace(NEAR, frames=12, points=64, max_stride=3),
        optim=replace(
            parent.optim, lr=1e-3, lr_scale={"encoder": 0.0, "head": 0.0}, batch=2, accumulate=1
        ),
        steps=400,
        init=Path("runs/tapir-matching/model.safetensors"),
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
