"""Write a small TAPIR whose first layers are those of the shipped TAP-Net.

    python tools/start_tapir.py runs/tapir-start.safetensors

Both have the first six blocks of one residual network and the same head. TAPIR's last two blocks
have no counterpart: they begin as what lets features through. All else is fresh.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from tapnet import checkpoint
from tapnet.configs import tapir_config
from tapnet.models import Tapir


def from_tapnet(tapnet: dict[str, Tensor], model: Tapir) -> int:
    """Copy the weights that `model` shares with a TAP-Net's state dict; how many there were."""
    mine = model.state_dict()
    copied = 0
    for name, value in tapnet.items():
        part, *rest = name.split(".")
        if part == "backbone" and rest[0] == "blocks":
            group, block = divmod(int(rest[1]), 2)
            name = ".".join(["encoder.backbone.groups", str(group), str(block), *rest[2:]])
        elif part == "backbone":
            name = f"encoder.{name}"
        if name not in mine:  # averages of batch norms
            continue
        rows = mine[name][: len(value)]  # its head says two things at the end, TAP-Net's one
        rows.copy_(value)
        copied += value.numel()
    for block in model.encoder.backbone.groups[-1]:
        nn.init.zeros_(block.conv1.weight)
        if block.shortcut is not None:
            nn.init.dirac_(block.shortcut.weight)
    return copied


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    model = Tapir(tapir_config.small().model)
    tapnet = checkpoint.load(checkpoint.shipped()["tapnet"]).state_dict()
    copied = from_tapnet(tapnet, model)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(args.out, model, starts_from="the shipped TAP-Net")
    print(f"wrote {args.out}: {copied:,} of {sum(p.numel() for p in model.parameters()):,} weights")


if __name__ == "__main__":
    main()
