"""Published checkpoints: their parameter names to ours, and which model they belong to.

Three layouts: Haiku trees of TAP-Net and of TAPIR (`.npy`), state dicts of TAPIR's PyTorch port
(`.pt`). SPEC sections 1 and 6. Nothing here reads files; `tapnet.checkpoint` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tapnet.models.mixer import BRANCHES

PATCH = 49  # scores a grid


@dataclass(frozen=True)
class Published:
    """A published checkpoint in our words."""

    model: str  # a name in MODELS
    settings: dict[str, Any]  # for `build`; causal is not among them, the weights do not tell
    weights: dict[str, Tensor]  # our state dict


def translate(arrays: Mapping[str, np.ndarray | Tensor]) -> Published:
    """The model, settings and state dict that published arrays hold.

    arrays: published name -> array; Haiku trees flattened to "module/name", parameters and state
    together. Raises ValueError naming what was not understood.
    """
    kind = _kind(arrays)
    rules = {"tapnet": _TAPNET, "tapir-haiku": _TAPIR_HAIKU, "tapir-torch": _TAPIR_TORCH}[kind]
    weights = {}
    for name, array in arrays.items():
        ours, change = _rename(name, rules)
        try:
            weights[ours] = change(torch.as_tensor(array).detach()).contiguous()
        except (RuntimeError, TypeError, IndexError) as error:
            raise ValueError(f"{name}: not the array of this name as published: {error}") from error
    first = "head.hidden.weight" if kind == "tapnet" else "mixer.start.weight"
    if first not in weights:
        raise ValueError(f"these weights are not complete: {first} (our name) is not among them")
    if kind == "tapnet":
        return Published("tapnet", _tapnet_settings(weights), weights)
    return Published("tapir", _tapir_settings(weights), weights)


def _kind(arrays: Mapping[str, Any]) -> str:
    if any(name.startswith("tap_net/") for name in arrays):
        return "tapnet"
    if any(name.startswith("tapir/") for name in arrays):
        return "tapir-haiku"
    if any(name.startswith("torch_pips_mixer.") for name in arrays):
        return "tapir-torch"
    some = ", ".join(sorted(arrays)[:3]) or "nothing"
    raise ValueError(
        f"expected published weights of TAP-Net or TAPIR (names like tap_net/..., tapir/... or "
        f"torch_pips_mixer...), got {len(arrays)} arrays such as {some}"
    )


def _tapnet_settings(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {"first_release": weights["head.hidden.weight"].shape[1] == 4}


def _tapir_settings(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Pyramid level and extra convolutions by the shapes; temperature as trained. SPEC 1."""
    expand = weights.get("encoder.extra.0.expand.weight")
    if expand is not None and expand.shape[1] != 256:
        raise ValueError(
            f"these are BootsTAPIR v1 weights (extra convolutions over {expand.shape[1]} channels, "
            "with temporal shift), a retired form that is not supported; take "
            "bootstapir_checkpoint_v2"
        )
    hidden, inputs = weights["mixer.start.weight"].shape
    blocks = {name.split(".")[2] for name in weights if name.startswith("mixer.blocks.")}
    return {
        "pyramid_level": (inputs - 388) // PATCH - 2,
        "extra_convs": expand is not None,
        "softmax_temperature": 20.0 if expand is None else 10.0,
        "mixer_hidden_dim": hidden,
        "num_mixer_blocks": len(blocks),
    }


def _same(x: Tensor) -> Tensor:
    return x


def _flat(x: Tensor) -> Tensor:
    return x.flatten()


def _conv(x: Tensor) -> Tensor:
    """Haiku [(1,) kh, kw, in, out] to torch [out, in, kh, kw]."""
    return (x.squeeze(0) if x.ndim == 5 else x).permute(3, 2, 0, 1)


def _linear(x: Tensor) -> Tensor:
    return x.T


def _time_haiku(x: Tensor) -> Tensor:
    """Depthwise [k, 1, 4 C] to branches [4, C, 1, 1, k]."""
    return _time_torch(x.permute(2, 1, 0))


def _time_torch(x: Tensor) -> Tensor:
    """Depthwise [4 C, 1, k] to branches [4, C, 1, 1, k]; output 4c + j is branch j of channel c."""
    return x.unflatten(0, (-1, BRANCHES)).transpose(0, 1).unsqueeze(3)


def _time_bias(x: Tensor) -> Tensor:
    return x.unflatten(0, (-1, BRANCHES)).T


def _rename(name: str, rules: list[tuple[str, Any, Any]]) -> tuple[str, Any]:
    for pattern, ours, change in rules:
        found = re.fullmatch(pattern, name)
        if found:
            return (ours(found) if callable(ours) else found.expand(ours)), change
    raise ValueError(f"{name}: not a parameter of this model as published")


def _tapnet_block(match: re.Match[str]) -> str:
    unit, block, rest = int(match[1]), int(match[2]), match[3]
    return f"backbone.blocks.{2 * unit + block}.{_TAPNET_PARTS[rest]}"


_TAPNET_PARTS = {
    "shortcut_conv/w": "shortcut.weight",
    "conv_0/w": "conv0.weight",
    "conv_2/w": "conv1.weight",
    "batch_norm/scale": "norm0.weight",
    "batch_norm/offset": "norm0.bias",
    "batch_norm_1/scale": "norm1.weight",
    "batch_norm_1/offset": "norm1.bias",
} | {
    f"batch_norm{theirs}/~/{average}_ema/{part}": f"{ours}.{word}.{part}"
    for theirs, ours in (("", "norm0"), ("_1", "norm1"))
    for average, word in (("mean", "mean"), ("var", "variance"))
    for part in ("hidden", "average", "counter")
}

_HEAD_HAIKU: list[tuple[str, Any, Any]] = [
    (r".*/cost_volume_regression_1/w", "head.hidden.weight", _conv),
    (r".*/cost_volume_regression_1/b", "head.hidden.bias", _same),
    (r".*/cost_volume_regression_2/w", "head.heatmap.weight", _conv),
    (r".*/cost_volume_regression_2/b", "head.heatmap.bias", _same),
    (r".*/cost_volume_occlusion_1/w", "head.occlusion_conv.weight", _conv),
    (r".*/cost_volume_occlusion_1/b", "head.occlusion_conv.bias", _same),
    (r".*/cost_volume_occlusion_2/w", "head.occlusion_hidden.weight", _linear),
    (r".*/cost_volume_occlusion_2/b", "head.occlusion_hidden.bias", _same),
    (r".*/occlusion_out/w", "head.occlusion_out.weight", _linear),
    (r".*/occlusion_out/b", "head.occlusion_out.bias", _same),
]

_UNIT = r".*/tsm_resnet_unit_(\d)/block_(\d)"
_TAPNET: list[tuple[str, Any, Any]] = [
    *_HEAD_HAIKU,
    (r".*/tsm_resnet_stem/w", "backbone.stem.weight", _conv),
    (_UNIT + r"/((?:shortcut_conv|conv_\d)/w)", _tapnet_block, _conv),
    (_UNIT + r"/(.*_ema/counter)", _tapnet_block, lambda x: x.long()),
    (_UNIT + r"/(batch_norm.*)", _tapnet_block, _flat),
]

_GROUP = r".*/block_group_(\d)/~/block_(\d)/~"
_MIX = r".*/pips_mlp_mixer"


def _mixer_block(rest: str) -> Any:
    return lambda match: f"mixer.blocks.{int(match[1] or 0)}.{rest}"


def _extra_block(match: re.Match[str]) -> str:
    number = int(match[1] or 0)
    word = "project" if number % 2 else "expand"
    return f"encoder.extra.{number // 2}.{word}.{'weight' if match[2] == 'w' else 'bias'}"


_BLOCK = _MIX + r"/block(?:_(\d+))?"
_TAPIR_HAIKU: list[tuple[str, Any, Any]] = [
    *_HEAD_HAIKU,
    (r".*/initial_conv/w", "encoder.backbone.stem.weight", _conv),
    (_GROUP + r"/conv_(\d)/w", r"encoder.backbone.groups.\1.\2.conv\3.weight", _conv),
    (_GROUP + r"/shortcut_conv/w", r"encoder.backbone.groups.\1.\2.shortcut.weight", _conv),
    (_GROUP + r"/instancenorm_(\d)/scale", r"encoder.backbone.groups.\1.\2.norm\3.weight", _same),
    (_GROUP + r"/instancenorm_(\d)/offset", r"encoder.backbone.groups.\1.\2.norm\3.bias", _same),
    (r".*/extra_convs/conv2_d(?:_(\d+))?/(w)", _extra_block, _conv),
    (r".*/extra_convs/conv2_d(?:_(\d+))?/(b)", _extra_block, _same),
    (
        r".*/extra_convs/layer_norm(?:_(\d+))?/scale",
        lambda match: f"encoder.extra.{match[1] or 0}.norm.weight",
        _same,
    ),
    (
        r".*/extra_convs/layer_norm(?:_(\d+))?/offset",
        lambda match: f"encoder.extra.{match[1] or 0}.norm.bias",
        _same,
    ),
    (_MIX + r"/linear/w", "mixer.start.weight", _linear),
    (_MIX + r"/linear/b", "mixer.start.bias", _same),
    (_MIX + r"/layer_norm/scale", "mixer.norm.weight", _same),
    (_MIX + r"/linear_1/w", "mixer.out.weight", _linear),
    (_MIX + r"/linear_1/b", "mixer.out.bias", _same),
    (_BLOCK + r"/layer_norm/scale", _mixer_block("norm0.weight"), _same),
    (_BLOCK + r"/layer_norm_1/scale", _mixer_block("norm1.weight"), _same),
    (_BLOCK + r"/mlp1_up/w", _mixer_block("grow"), _time_haiku),
    (_BLOCK + r"/mlp1_up/b", _mixer_block("grow_bias"), _time_bias),
    (_BLOCK + r"/mlp1_up_1/w", _mixer_block("shrink"), _time_haiku),
    (_BLOCK + r"/mlp1_up_1/b", _mixer_block("shrink_bias"), _time_bias),
    (_BLOCK + r"/mlp2_up/w", _mixer_block("expand.weight"), _linear),
    (_BLOCK + r"/mlp2_up/b", _mixer_block("expand.bias"), _same),
    (_BLOCK + r"/mlp2_down/w", _mixer_block("project.weight"), _linear),
    (_BLOCK + r"/mlp2_down/b", _mixer_block("project.bias"), _same),
]

_PORT_GROUP = r"resnet_torch\.block_groups\.(\d)\.blocks\.(\d)"
_PORT_HEAD = r"torch_cost_volume_track_mods"
_PORT_BLOCK = r"torch_pips_mixer\.blocks\.(\d+)"
_TAPIR_TORCH: list[tuple[str, Any, Any]] = [
    (r"resnet_torch\.initial_conv\.weight", "encoder.backbone.stem.weight", _same),
    (_PORT_GROUP + r"\.conv_(\d)\.weight", r"encoder.backbone.groups.\1.\2.conv\3.weight", _same),
    (_PORT_GROUP + r"\.proj_conv\.weight", r"encoder.backbone.groups.\1.\2.shortcut.weight", _same),
    (_PORT_GROUP + r"\.bn_(\d)\.(weight|bias)", r"encoder.backbone.groups.\1.\2.norm\3.\4", _same),
    (r"extra_convs\.blocks\.(\d)\.layer_norm\.(weight|bias)", r"encoder.extra.\1.norm.\2", _same),
    (r"extra_convs\.blocks\.(\d)\.conv\.(weight|bias)", r"encoder.extra.\1.expand.\2", _same),
    (r"extra_convs\.blocks\.(\d)\.conv_1\.(weight|bias)", r"encoder.extra.\1.project.\2", _same),
    (_PORT_HEAD + r"\.hid1\.(weight|bias)", r"head.hidden.\1", _same),
    (_PORT_HEAD + r"\.hid2\.(weight|bias)", r"head.heatmap.\1", _same),
    (_PORT_HEAD + r"\.hid3\.(weight|bias)", r"head.occlusion_conv.\1", _same),
    (_PORT_HEAD + r"\.hid4\.(weight|bias)", r"head.occlusion_hidden.\1", _same),
    (_PORT_HEAD + r"\.occ_out\.(weight|bias)", r"head.occlusion_out.\1", _same),
    (r"torch_pips_mixer\.linear\.(weight|bias)", r"mixer.start.\1", _same),
    (r"torch_pips_mixer\.layer_norm\.weight", "mixer.norm.weight", _same),
    (r"torch_pips_mixer\.linear_1\.(weight|bias)", r"mixer.out.\1", _same),
    (_PORT_BLOCK + r"\.layer_norm\.weight", r"mixer.blocks.\1.norm0.weight", _same),
    (_PORT_BLOCK + r"\.layer_norm_1\.weight", r"mixer.blocks.\1.norm1.weight", _same),
    (_PORT_BLOCK + r"\.mlp1_up\.weight", r"mixer.blocks.\1.grow", _time_torch),
    (_PORT_BLOCK + r"\.mlp1_up\.bias", r"mixer.blocks.\1.grow_bias", _time_bias),
    (_PORT_BLOCK + r"\.mlp1_up_1\.weight", r"mixer.blocks.\1.shrink", _time_torch),
    (_PORT_BLOCK + r"\.mlp1_up_1\.bias", r"mixer.blocks.\1.shrink_bias", _time_bias),
    (
        _PORT_BLOCK + r"\.conv_channels_mixer\.mlp2_up\.(weight|bias)",
        r"mixer.blocks.\1.expand.\2",
        _same,
    ),
    (
        _PORT_BLOCK + r"\.conv_channels_mixer\.mlp2_down\.(weight|bias)",
        r"mixer.blocks.\1.project.\2",
        _same,
    ),
]
