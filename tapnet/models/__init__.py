"""The networks. `build(name, **settings)` makes one with fresh weights; MODELS lists the names."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from torch import nn

from tapnet.models.features import FrameFeatures
from tapnet.models.tapir import Tapir, TapirSettings
from tapnet.models.taplite import Taplite, TapliteSettings
from tapnet.models.tapnet import TapNet, TapNetSettings

MODELS: dict[str, tuple[type[nn.Module], type]] = {
    "tapnet": (TapNet, TapNetSettings),
    "tapir": (Tapir, TapirSettings),
    "taplite": (Taplite, TapliteSettings),
}

__all__ = [
    "MODELS",
    "FrameFeatures",
    "TapNet",
    "TapNetSettings",
    "Tapir",
    "TapirSettings",
    "Taplite",
    "TapliteSettings",
    "build",
]


def build(name: str, **settings: Any) -> nn.Module:
    """A new model with fresh weights; `settings` are the fields of its settings class.

    Raises ValueError naming the choices for an unknown model or setting.
    """
    if name not in MODELS:
        raise ValueError(f"no model {name!r}: there are {', '.join(MODELS)}")
    model, settings_class = MODELS[name]
    known = [field.name for field in fields(settings_class)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(
            f"{name} has no setting {', '.join(unknown)}: there are {', '.join(known)}"
        )
    return model(settings_class(**settings))
