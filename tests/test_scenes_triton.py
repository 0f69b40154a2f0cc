"""The renderer in Triton agrees with the one on the CPU; without a GPU, in Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("numba", reason="scenes need numba: pip install 'tapnet[train]'")
pytest.importorskip("triton", reason="the triton package is not installed")

from test_scenes import ASSETS, busy_scene

from tapnet.scenes.clip import pictures
from tapnet.scenes.stage import build
from tapnet.scenes.world import Body, Skin


def compare() -> None:
    """Assert that both renderers show the same small scene, with a box under the camera in it."""
    top = Body("box", size=(2.0, 6.0, 0.4), skin=Skin("surface"), position=(1.0, -3.0, 0.9))
    scene = busy_scene(samples=2)
    bodies = (scene.bodies[0], scene.bodies[2], replace(top, waves=scene.bodies[1].waves))
    scene = replace(scene, bodies=bodies, frames=1, size=(16, 20))
    stage = build(scene, ASSETS)
    for cpu, gpu in zip(pictures(stage), pictures(stage, "triton"), strict=True):
        crossing = (cpu.ids >= 8) & (cpu.depth < 1.5)  # the box, which has the last 192 faces
        assert crossing.sum() > 20
        assert (cpu.ids == gpu.ids).mean() > 0.99
        same = cpu.ids == gpu.ids
        np.testing.assert_allclose(cpu.depth[same], gpu.depth[same], rtol=1e-4)
        shown = np.abs(np.sqrt(cpu.light) - np.sqrt(gpu.light)).max(-1) * 255
        assert (shown[same] > 8).mean() < 0.01
        assert np.median(shown) < 0.1


def test_the_triton_renderer_agrees_with_the_one_on_the_cpu() -> None:
    if torch.accelerator.is_available():
        return compare()
    environment = {**os.environ, "TRITON_INTERPRET": "1"}  # read when triton is first imported
    command = [sys.executable, str(Path(__file__))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    compare()
