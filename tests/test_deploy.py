"""The ONNX graphs of taplite say what the model says, with nothing but ONNX Runtime."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import tapnet
from tapnet.deploy import SAID, STATE, write_onnx
from tapnet.models import build

runtime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")
SIZE = (32, 48)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = build("taplite", fine=8, coarse=8, hidden=8, iterations=2)
    torch.nn.init.normal_(net.correct.out.weight, std=0.3)
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    write_onnx(model, folder / "exported", SIZE, points=3)
    return folder


@pytest.fixture(scope="module")
def graphs(folder):
    names = "step", "start"
    return tuple(runtime.InferenceSession(folder / "exported" / f"{name}.onnx") for name in names)


def test_the_graphs_follow_points_as_the_model_does(model, graphs):
    step, start = graphs
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (4, *SIZE, 3)).astype(np.uint8)
    xy = rng.uniform(8, 30, (3, 2)).astype(np.float32)
    _, state = model.step(torch.from_numpy(video[0]), model.init_state())
    state = model.add(state, torch.from_numpy(xy[:, ::-1].copy()))
    grids = {"fine": state.grids.fine.numpy(), "coarse": state.grids.coarse.numpy()}
    carried = dict(zip(STATE, start.run(None, {**grids, "new_xy": xy}), strict=True))
    for frame in video[1:]:
        said, state = model.step(torch.from_numpy(frame), state)
        found = step.run(None, {"frame": frame, **carried})
        carried = dict(zip(STATE, found[: len(STATE)], strict=True))
        np.testing.assert_allclose(carried["xy"], said.tracks[0, :, 0], atol=1e-3)
        np.testing.assert_allclose(carried["occlusion"], said.occlusion[0, :, 0], atol=1e-3)
        np.testing.assert_allclose(carried["expected_dist"], said.expected_dist[0, :, 0], atol=1e-3)
    assert np.abs(carried["xy"] - xy).max() > 1  # they were moved


def test_the_program_of_the_docs_says_what_the_tracker_says(model, folder, monkeypatch):
    text = (Path(__file__).parent.parent / "docs" / "taplite.md").read_text()
    (program,) = [
        block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "onnx" in block
    ]
    monkeypatch.chdir(folder)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, *SIZE, 3)).astype(np.uint8)
    points = rng.uniform(8, 30, (3, 2)).astype(np.float32)
    names = {"frames": frames, "points": points}
    exec(program, names)
    stream = tapnet.Tracker(model, "taplite", SIZE).stream(SIZE)
    stream.step(frames[0])
    stream.add(points[:, ::-1])
    for frame in frames[1:]:
        said = stream.step(frame)
    np.testing.assert_allclose(names["xy"], said.xy, atol=1e-3)
    np.testing.assert_allclose(names["confidence"], said.confidence, atol=1e-3)
    assert names["visible"].tolist() == said.visible.tolist()


def test_shapes_are_fixed_and_parts_named(graphs):
    step, start = graphs
    assert [x.name for x in step.get_inputs()] == ["frame", *STATE]
    assert [x.name for x in step.get_outputs()][: len(STATE)] == [f"new_{n}" for n in STATE]
    for graph in graphs:
        for x in (*graph.get_inputs(), *graph.get_outputs()):
            assert all(isinstance(side, int) for side in x.shape), x.name
    assert set(SAID) <= set(STATE)
    assert start.get_inputs()[-1].shape == [3, 2]


def test_what_cannot_be_written_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="expected a taplite, got a Tapir"):
        write_onnx(build("tapir"), tmp_path)
    for size, points in (((30, 48), 3), (SIZE, 0)):
        with pytest.raises(ValueError, match="multiples of 16 and at least one point"):
            write_onnx(model, tmp_path, size, points)
    assert list(tmp_path.iterdir()) == []
