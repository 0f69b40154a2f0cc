"""The weights that ship: they are what their manifest says, load offline, and track."""

import hashlib
import json

import numpy as np
import pytest
import torch

import tapnet
from tapnet import checkpoint, metrics, scenes
from tapnet.tracker import DEFAULT, choices

MANIFEST = json.loads((checkpoint.WEIGHTS / "manifest.json").read_text())


def test_every_file_has_its_line_and_every_line_its_file():
    assert {f"{name}.safetensors" for name in checkpoint.shipped()} == set(MANIFEST)
    for name, told in MANIFEST.items():
        content = (checkpoint.WEIGHTS / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == told["sha256"], name
        assert len(content) < 16e6
        assert {"licence", "trained_on", "command", "scores", "starts_from"} <= set(told)


def test_the_default_tracker_needs_no_file():
    tracker = tapnet.load()
    assert tracker.name == DEFAULT == "taplite"
    assert choices()[0] == "taplite"
    assert all(p.dtype == torch.float32 for p in tracker.model.parameters())
    assert tracker.model.settings == checkpoint.load(checkpoint.shipped()["taplite"]).settings


@pytest.fixture(scope="module")
def clip():
    """A synthetic clip made of objects and textures that were not trained on."""
    from tapnet.data.synthetic import Recipe

    settings = scenes.Settings(frames=12, points=64, samples=1)
    return Recipe(seed=5, settings=settings, part="validation").example(0)


def test_loading_draws_no_random_numbers():
    before = torch.get_rng_state()
    for path in checkpoint.shipped().values():
        checkpoint.load(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_follows_points_that_classical_trackers_lose(clip):
    found = {}
    for name in ("taplite", "tapnet", "klt", "still"):
        model = tapnet.load(name).model
        said = model(torch.from_numpy(clip.video)[None], torch.from_numpy(clip.query_points)[None])
        scores = metrics.tapvid(
            clip.query_points,
            clip.occluded,
            clip.target_points,
            ~said.visible[0].numpy(),
            said.tracks[0].numpy().astype(np.float64),
            "first",
        )
        found[name] = float(scores["average_jaccard"])
    assert found["taplite"] > found["klt"]
    assert found["tapnet"] > 1.5 * found["still"]
    assert found["taplite"] > 0.4


def test_it_says_when_a_point_leaves_and_finds_it_again():
    """The left half of a picture is covered for some frames."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 3, 24, 24)))
    picture = torch.nn.functional.interpolate(coarse, (256, 256), mode="bicubic")[0]
    frame = (picture.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    video = np.stack([frame] * 12)
    video[4:8, :, :128] = 128
    tracks = tapnet.load("taplite").track(video, [[0, 100, 60], [0, 100, 200]])
    np.testing.assert_allclose(tracks.xy[1], np.full((12, 2), [200, 100]), atol=2)
    assert tracks.visible[1].all()
    assert tracks.visible[0, :4].all()
    assert not tracks.visible[0, 4:8].any()
    assert tracks.visible[0, 10:].all()
    np.testing.assert_allclose(tracks.xy[0, 10:], np.full((2, 2), [60, 100]), atol=2)
