"""Write a TAP-Net whose logits of occlusion begin as: hidden where the highest cost is low.

    python tools/start_occlusion.py runs/tapnet/model.safetensors runs/tapnet-start.safetensors

The head averages its hidden maps over all cells before it says whether a point is hidden, so the
few cells around the peak, which tell, weigh next to nothing, and training hardly finds them. Here
the hidden channels that the position needs least are given to costs above six thresholds, with
weights large enough for the average. All else stays.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from tapnet import checkpoint
from tapnet.models import TapNet
from tapnet.models.layers import CostVolumeHead

THRESHOLDS = (0.6, 0.7, 0.75, 0.8, 0.85, 0.9)  # of the cost: a cosine
GAINS = (8.0, 12.0, 8.0)  # of the three layers before the last
OTHERS = 0.1  # what is left of the weights that were there
LOGIT = 0.5  # where the cost is low everywhere


@torch.no_grad()
def watch_peaks(head: CostVolumeHead) -> None:
    """Set the occlusion layers of a head, and the hidden channels that they watch."""
    weights = head.state_dict()
    for layer in ("occlusion_conv", "occlusion_hidden", "occlusion_out"):
        weights[f"{layer}.weight"].mul_(OTHERS)
        weights[f"{layer}.bias"].zero_()
    weights["occlusion_out.bias"].fill_(LOGIT)
    hidden, heatmap = weights["hidden.weight"], weights["heatmap.weight"][0]
    used = hidden.flatten(1).norm(dim=1) * heatmap.flatten(1).norm(dim=1)
    spare = used.argsort()[: len(THRESHOLDS)].tolist()
    for i, (channel, threshold) in enumerate(zip(spare, THRESHOLDS, strict=True)):
        for kernel in (hidden[channel], heatmap[channel]):
            kernel.zero_()
        hidden[channel, 0, 1, 1] = GAINS[0]
        weights["hidden.bias"][channel] = -GAINS[0] * threshold
        for layer, seen, gain in (
            ("occlusion_conv", channel, GAINS[1]),
            ("occlusion_hidden", i, GAINS[2]),
        ):
            weights[f"{layer}.weight"][i].zero_()
            weights[f"{layer}.weight"][i, seen] = gain
        weights["occlusion_out.weight"][0, i] = -1 / len(THRESHOLDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()

    model = checkpoint.load(args.weights)
    if not isinstance(model, TapNet) or model.settings.first_release:
        parser.error(f"{args.weights}: expected a TAP-Net in its later form")
    watch_peaks(model.head)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(args.out, model, starts_from=str(args.weights))
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
