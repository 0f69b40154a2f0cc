"""taplite, our own tracker: online, and small enough for a laptop CPU. No paper.

    SCENES="tapnet scenes render --samples 2 --count 1200"
    $SCENES clips/default --seed 1
    $SCENES clips/wild --seed 2 --preset wild
    SCENES="tapnet scenes render --samples 1 --count 450 --frames 60"
    $SCENES clips/long --seed 11
    $SCENES clips/long-wild --seed 12 --preset wild
    SCENES="tapnet scenes render --samples 1 --count 320 --frames 30 --size 448x448 --points 600"
    $SCENES clips/sharp --seed 31
    $SCENES clips/sharp-wild --seed 32 --preset wild
    python tools/start_taplite.py runs/taplite-start.safetensors    # ImageNet in the backbone
    python tapnet/experiment.py --config tapnet/configs/taplite_config.py:short
    python tapnet/experiment.py --config tapnet/configs/taplite_config.py
    python tapnet/experiment.py --config tapnet/configs/taplite_config.py:long
    python tapnet/experiment.py --config tapnet/configs/taplite_config.py:sharp
    python tapnet/experiment.py --config tapnet/configs/taplite_config.py:smoke     # two minutes

Four stages, each from the weights of the one before: clips of 8 frames, of 14, of 20 that may be
three apart, of 18 that are sharp and may bend. What ships (docs/taplite.md) had the first two by a
script before this config was there, 1,550 and 1,320 steps of 4 and 2 clips, then `long` as it
stands here. `sharp` was run to step 585: better on scenes but not on real clips, it does not ship.

Duration: two CPU cores took 105 minutes for those first steps, 100 for `long` and 50 for `sharp`;
the first two as they stand here are far longer and were not run. Score: what ships has AJ 49.3 and
delta_avg 64.2 on scenes-24, delta_avg 33.0 on ten real clips, all at 256x256.
"""

from dataclasses import replace
from pathlib import Path

from tapnet.config import Data, Evaluation, Optim, Run
from tapnet.data.augment import Augment
from tapnet.models import TapliteSettings

OPTIM = Optim(
    lr=6e-4,
    warmup=200,
    hold=0.5,
    weight_decay=1e-2,
    betas=(0.9, 0.98),
    # The first layers of the backbone know edges already; the others learn more slowly.
    lr_scale={
        "encoder.backbone": 0.3,
        "encoder.backbone.stem": 0.0,
        "encoder.backbone.blocks.0": 0.0,
        "encoder.backbone.blocks.1": 0.0,
    },
    clip_norm=1.0,
    batch=8,
    ema=0.998,
    channels_last=True,
)


def get_config() -> Run:
    return Run(
        out=Path("runs/taplite"),
        model=TapliteSettings(),
        loss="own",
        data=Data(shards=(Path("clips/default"), Path("clips/wild"))),
        augment=Augment(size=(224, 224), frames=14, points=96, zoom=(0.9, 1.8)),
        optim=OPTIM,
        evaluation=Evaluation(every=1000),
        steps=20_000,
        init=Path("runs/taplite-short/model.safetensors"),
    )


def short() -> Run:
    """The first stage: search and correction, in windows of a few frames."""
    return replace(
        get_config(),
        out=Path("runs/taplite-short"),
        augment=Augment(size=(192, 192), frames=8, points=80, zoom=(1.1, 2.1)),
        steps=10_000,
        init=Path("runs/taplite-start.safetensors"),
    )


def long() -> Run:
    """The third stage: longer and faster, the long clips twice as often as their number."""
    long = (Path("clips/long"), Path("clips/long-wild"))
    parent = get_config()
    return replace(
        parent,
        out=Path("runs/taplite-long"),
        data=Data(shards=(*long, *long, *parent.data.shards)),
        augment=Augment(size=(224, 224), frames=20, points=72, zoom=(0.9, 1.8), gray=0.12),
        optim=replace(
            OPTIM,
            lr=5e-4,
            warmup=40,
            hold=0.4,
            batch=4,
            ema=0.997,
            lr_scale={**OPTIM.lr_scale, "encoder.backbone.blocks.2": 0.0},
        ),
        steps=900,
        init=Path("runs/taplite/model.safetensors"),
    )


def sharp() -> Run:
    """One more: larger clips, so that what is near is sharp, and pictures that bend."""
    sharp = (Path("clips/sharp"), Path("clips/sharp-wild"))
    parent = long()
    return replace(
        parent,
        out=Path("runs/taplite-sharp"),
        data=Data(shards=(*sharp, *sharp, *parent.data.shards[2:])),  # the long ones once
        augment=Augment(
            size=(224, 224), frames=18, points=72, zoom=(0.9, 2.2), gray=0.12, elastic=0.4
        ),
        optim=replace(parent.optim, lr=4e-4, warmup=30, ema=0.996),
        steps=680,
        init=Path("runs/taplite-long/model.safetensors"),
    )


def smoke() -> Run:
    """Everything once, small: clips of 8 frames of 64x64, rendered now, from random weights."""
    return replace(
        get_config(),
        out=Path("runs/taplite-smoke"),
        data=Data(size=(64, 64), frames=8, points=32, samples=1, workers=1),
        augment=Augment(size=(64, 64), frames=8, points=32),
        optim=replace(OPTIM, warmup=10, batch=2, lr_scale={}),
        evaluation=Evaluation(every=30, clips=4, videos=1),
        steps=60,
        init=None,
    )
