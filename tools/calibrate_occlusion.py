"""Write a TAP-Net whose logits of occlusion are calibrated on clips: scaled and shifted.

    python tools/calibrate_occlusion.py tapnet/configs/tapnet_config.py:occlusion \\
        runs/tapnet-occlusion/model.safetensors runs/tapnet-calibrated.safetensors --clips 48

The clips are those that the config trains on, augmented as it says. Scale and shift are those of
the least cross-entropy (Platt 1999) and go into the head's last layer; nothing else changes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from tapnet import checkpoint, config
from tapnet.models import TapNet
from tapnet.train.processes import Processes
from tapnet.train.running import batches_of, source_of


def fitted(logits: Tensor, hidden: Tensor) -> tuple[float, float]:
    """Scale and shift of logits [M] that fit best to what is hidden [M] bool."""
    line = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([line], max_iter=100, line_search_fn="strong_wolfe")
    logits, target = logits.double(), hidden.double()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(line[0] * logits + line[1], target)
        loss.backward()
        return loss

    optimizer.step(closure)
    scale, shift = line.tolist()
    return scale, shift


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="of a training: FILE[:VARIANT]")
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--shards", type=Path, nargs="+", help="other folders of clips")
    args = parser.parse_args()

    run = config.read(args.config)
    data = replace(run.data, shards=tuple(args.shards or run.data.shards), workers=0)
    run = replace(run, data=data, optim=replace(run.optim, batch=1, accumulate=1))
    model = checkpoint.load(args.weights).eval()
    if not isinstance(model, TapNet):
        parser.error(f"{args.weights}: expected a TAP-Net")
    far = 10**6  # steps: further than the training came, so other crops and colours than it saw
    clips = batches_of(source_of(run), run, Processes(torch.device("cpu")), far)
    logits, hidden = [], []
    with torch.inference_mode():
        for _ in range(args.clips):
            batch = next(clips)
            logits.append(model(batch.video, batch.query_points).occlusion.flatten())
            hidden.append(batch.occluded.flatten())
    scale, shift = fitted(torch.cat(logits), torch.cat(hidden))
    last = model.head.occlusion_out
    with torch.no_grad():
        last.weight.mul_(scale)
        last.bias.mul_(scale).add_(shift)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(args.out, model)
    print(f"wrote {args.out}: logits times {scale:.3f} plus {shift:.3f}")


if __name__ == "__main__":
    main()
