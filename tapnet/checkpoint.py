"""Models on disk: ours (safetensors that explain themselves) and the published ones.

Nothing that is read here can run code: safetensors hold numbers only, published `.npy` files pass
through a restricted unpickler, `.pt` files through `torch.load(weights_only=True)`.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import tapnet
from tapnet.files import replacing
from tapnet.models import MODELS, build
from tapnet.models.layers import bounding_memory
from tapnet.models.published import translate
from tapnet.pickles import load_npy_object

WEIGHTS = Path(__file__).parent / "weights"


def shipped() -> dict[str, Path]:
    """The weights in the package: name -> file. weights/manifest.json says how each was made."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}


def save(
    path: str | Path, model: nn.Module, dtype: torch.dtype | None = None, **notes: str
) -> None:
    """Write a model with its name, settings and notes to `path` (.safetensors), atomically.

    Settings that only bound memory are left out (`models.layers.bounds_memory`).
    `dtype` is what its numbers are stored as (float16 halves the file); None = as they are.
    """
    from safetensors.torch import save as as_bytes

    about = {
        "model": name_of(model),
        "settings": json.dumps(_lasting(name_of(model), asdict(model.settings))),  # type: ignore[call-overload]
        "tapnet": tapnet.__version__,
        **notes,
    }
    weights = {
        name: (value.to(dtype) if dtype and value.is_floating_point() else value).contiguous().cpu()
        for name, value in model.state_dict().items()
    }
    with replacing(path) as temporary:
        temporary.write_bytes(as_bytes(weights, about))  # `save_file` lets nobody else read it


def load(path: str | Path, **settings: Any) -> nn.Module:
    """The model in a file of `save`, in evaluation mode; `settings` replace stored ones.

    What bounds memory is as the code has it now, whatever a file of an earlier version says.
    """
    from safetensors import SafetensorError, safe_open

    path = _existing(path)
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: not a readable safetensors file: {error}") from error
    if about.get("model") not in MODELS or "settings" not in about:
        raise ValueError(
            f"{path}: expected weights written by tapnet (with a model name and settings in the "
            f"header), got a header with {sorted(about) or 'nothing'}"
        )
    try:
        stored = {name: _plain(value) for name, value in json.loads(about["settings"]).items()}
    except (json.JSONDecodeError, RecursionError, AttributeError) as error:
        raise ValueError(f"{path}: the settings in its header are damaged: {error}") from error
    return _filled(path, about["model"], {**_lasting(about["model"], stored), **settings}, weights)


def load_published(
    path: str | Path, model: str | None = None, causal: bool | None = None, **settings: Any
) -> nn.Module:
    """The right model, in evaluation mode, for a published TAP-Net or TAPIR checkpoint.

    path: Haiku `.npy` (TAP-Net, TAPIR, causal TAPIR, BootsTAPIR) or a `.pt` state dict of the
    PyTorch port (TAPIR, BootsTAPIR). Model and settings follow from the weights; whether it is
    causal does not, so `causal` says it, or the file name does (`causal` in it). `model` is only
    checked against what the weights are. `settings` replace what was found: the PyTorch port's
    own demos ran BootsTAPIR at `softmax_temperature=20` and resized with `antialias=False`; it
    was trained at 10 with antialiasing, which are the defaults here for either format.
    Raises FileNotFoundError, or ValueError naming what was expected and what came.
    """
    path = _existing(path)
    try:
        found = translate(_read_published(path))
    except ValueError as error:
        raise ValueError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    if model is not None and model != found.model:
        raise ValueError(f"{path}: expected weights of {model!r}, these are of {found.model!r}")
    if found.model == "tapir":
        found.settings["causal"] = _named_causal(path) if causal is None else causal
    elif causal:
        raise ValueError(f"{path}: expected TAPIR weights for causal=True, got {found.model!r}")
    return _filled(path, found.model, {**found.settings, **settings}, found.weights)


def _lasting(model: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Those settings of a model that results depend on."""
    bounding = bounding_memory(MODELS[model][1])
    return {name: value for name, value in settings.items() if name not in bounding}


def _named_causal(path: Path) -> bool:
    name = re.sub(r"(?<![a-z])no[nt]?[\W_]*causal", "", path.name.lower())
    return re.search(r"(?<![a-z])causal", name) is not None


def name_of(model: nn.Module) -> str:
    """The name of a model in MODELS."""
    return next(name for name, (kind, _) in MODELS.items() if type(model) is kind)


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: expected a file of weights, got a folder")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give the path of a checkpoint")
    return path


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _filled(
    path: Path, name: str, settings: dict[str, Any], weights: Mapping[str, torch.Tensor]
) -> nn.Module:
    try:
        with torch.device("meta"):  # no random weights, which a TAPIR takes seconds to draw
            model = build(name, **settings)
    except Exception as error:  # settings of any kind fail in any way
        raise ValueError(f"{path}: no {name} can have {settings}: {error}") from error
    model.to_empty(device="cpu")
    try:
        model.load_state_dict(dict(weights), strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path}: these weights do not fit {name} {settings}: {error}") from error
    for part, value in model.state_dict().items():
        if not value.isfinite().all():
            raise ValueError(
                f"{path}: expected finite weights, got NaN or infinite ones in {part}; the file is "
                "damaged, or of a training that went wrong"
            )
    return model.eval()


def _read_published(path: Path) -> dict[str, Any]:
    if path.suffix == ".npy":
        return _flatten_haiku(load_npy_object(path))
    if path.suffix in (".pt", ".pth", ".ckpt"):
        return _state_dict(path)
    raise ValueError(f"expected a .npy, .pt, .pth or .ckpt file, got {path.name}")


def _flatten_haiku(tree: Any) -> dict[str, np.ndarray]:
    """Parameters and state of a Haiku checkpoint as "module/name" -> array. SPEC 6.1."""
    if isinstance(tree, tuple | list) and len(tree) == 2:  # the first 2022 release
        tree = {"params": tree[0], "state": tree[1]}
    if not isinstance(tree, Mapping) or "params" not in tree:
        raise ValueError(
            "expected a dict with the keys params and state, got "
            + (
                f"the keys {sorted(map(str, tree))}"
                if isinstance(tree, Mapping)
                else f"{type(tree)}"
            )
        )
    flat = {}
    for part in (tree["params"], tree.get("state") or {}):
        if not isinstance(part, Mapping) or not all(isinstance(m, Mapping) for m in part.values()):
            raise ValueError("expected modules of named arrays under params and state")
        for module, arrays in part.items():
            for name, array in arrays.items():
                if not isinstance(array, np.ndarray | np.generic):
                    raise ValueError(f"{module}/{name}: expected an array, got {type(array)}")
                flat[f"{module}/{name}"] = np.array(array)
    return flat


def _state_dict(path: Path) -> dict[str, torch.Tensor]:
    with open(path, "rb") as file:
        try:
            with warnings.catch_warnings(action="ignore"):  # about the version of the pickle
                content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file can fail in any way
            # torch's own message is left out: it explains how to let the file run its code
            raise ValueError(
                "expected a file of tensors only, got one that is damaged or that holds something "
                "else, which could run code and is not read; take the file from its publisher"
            ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    ):
        raise ValueError(f"expected a state dict (name -> tensor), got {type(content).__name__}")
    return dict(content)
