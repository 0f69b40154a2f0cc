"""Files of weights from strangers: what is wrong with one is said with its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tapnet import checkpoint


@pytest.mark.parametrize("zipped", [True, False])
def test_damage_anywhere_in_a_state_dict_is_named(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    layers = {f"layer{i}.weight": torch.zeros(3, 3) for i in range(4)}
    torch.save(layers, path, _use_new_zipfile_serialization=zipped)
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 3):
            damaged[place] = generator.integers(256)
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"weights\.pt: expected "):
            checkpoint.load_published(path)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("tapir", {"num_mixer_blocks": "x"}),
        ("tapir", {"mixer_hidden_dim": 0}),
        ("tapir", {"mixer_hidden_dim": -1}),
        ("tapir", {"pyramid_level": None}),
        ("taplite", {"fine": 1.5}),
        ("taplite", {"depth": 3}),
    ],
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_settings_that_no_model_can_have_are_named(
    model: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    about = {"model": model, "settings": json.dumps(settings)}
    save_file({"any": torch.zeros(1)}, path, metadata=about)
    with pytest.raises(ValueError, match=rf"model\.safetensors: no {model} can have .*{settings}"):
        checkpoint.load(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = checkpoint.load(checkpoint.shipped()["taplite"])
    name = next(name for name, weight in model.named_parameters() if weight.ndim == 4)
    model.state_dict()[name][7, 0, 1, 1] = value
    checkpoint.save(path, model)
    with pytest.raises(ValueError, match=rf"safetensors: expected finite weights, .* in {name}"):
        checkpoint.load(path)


def test_a_header_of_endless_settings_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    about = {"model": "tapir", "settings": "[" * 100_000}
    save_file({"any": torch.zeros(1)}, path, metadata=about)
    with pytest.raises(ValueError, match=r"model\.safetensors: the settings in its header are"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("name", "causal"),
    [
        ("causal_tapir_checkpoint.npy", True),
        ("bootstapir-causal.pt", True),
        ("Causal TAPIR.pt", True),
        ("canon_causal.pt", True),
        ("tapir_checkpoint.npy", False),
        ("acausal.pt", False),
        ("noncausal_tapir.pt", False),
        ("non-causal_tapir.pt", False),
        ("tapir.Non_Causal.pt", False),
        ("tapir not causal.pt", False),
        ("tapir-no-causal.pt", False),
    ],
)
def test_a_name_says_whether_a_model_is_causal(name: str, causal: bool) -> None:
    assert checkpoint._named_causal(Path(name)) is causal
