"""What holds for every model: shapes, independence, chunking, odd sizes, gradients, both dtypes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import training
import vectors
from torch.overrides import TorchFunctionMode

from tapnet import models
from tapnet.data import batches
from tapnet.geometry import sample_grid
from tapnet.models import build, layers
from tapnet.models.encoder import default_resolutions
from tapnet.models.layers import local_scores, soft_argmax, temporal_shift
from tapnet.train.objectives import LOSSES

SMALL = {"num_mixer_blocks": 2, "mixer_hidden_dim": 32, "initial_resolution": (64, 64)}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "tapnet": ("tapnet", {}),
    "tapnet-2022": ("tapnet", {"first_release": True}),
    "tapir": ("tapir", SMALL),
    "causal-tapir": ("tapir", SMALL | {"causal": True}),
    "bootstapir": ("tapir", SMALL | {"pyramid_level": 1, "extra_convs": True}),
}


@pytest.fixture(params=KINDS, scope="module")
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    name, settings = KINDS[request.param]
    network = build(name, **settings).eval()
    for part in network.modules():  # averages as after some training, so that norms do something
        if isinstance(part, layers.MovingAverage):
            part.average.fill_(1.0)
    return network.requires_grad_(False)


def clip(frames: int = 5, height: int = 64, width: int = 64, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (batch, frames, height, width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def points(count: int, frames: int = 5, height: int = 64, width: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    share = torch.rand(1, count, 3, generator=generator)
    return (share * torch.tensor([frames, height, width])).floor()


def test_a_prediction_has_the_shapes_of_the_question(model: Any) -> None:
    prediction = model(clip(batch=2), points(3).repeat(2, 1, 1))
    assert prediction.tracks.shape == (2, 3, 5, 2)
    assert prediction.occlusion.shape == (2, 3, 5)
    assert model(clip(), points(0)).tracks.shape == (1, 0, 5, 2)
    assert model(clip(frames=1), points(2, frames=1)).tracks.shape == (1, 2, 1, 2)


def test_the_result_of_a_query_does_not_depend_on_the_others(model: Any) -> None:
    together = model(clip(), points(40))
    for row in (0, 17, 39):
        alone = model(clip(), points(40)[:, row : row + 1])
        torch.testing.assert_close(alone.tracks[0, 0], together.tracks[0, row], atol=2e-3, rtol=0)
        torch.testing.assert_close(
            alone.occlusion[0, 0], together.occlusion[0, row], atol=1e-4, rtol=0
        )


def test_videos_of_a_batch_do_not_touch_each_other(model: Any) -> None:
    two = clip(batch=2)
    both = model(two, points(3).repeat(2, 1, 1)).tracks
    torch.testing.assert_close(both[1:], model(two[1:], points(3)).tracks, atol=2e-3, rtol=0)


def test_chunks_bound_memory_and_change_nothing(model: Any) -> None:
    name = "tapnet" if isinstance(model, models.TapNet) else "tapir"
    fields = {
        "tapnet": ("frames_per_chunk", "points_per_chunk", "frames_per_window"),
        "tapir": ("frames_per_chunk", "rows_per_chunk", "frames_per_window"),
    }
    kept = model.settings
    # The small mixer reaches 16 frames, so windows must hold their neighbours.
    frames, window = (13, 5) if name == "tapnet" else (45, 7)
    asked = points(5, frames) + torch.tensor([0.25, 0.0, 0.0])  # between two frames
    asked[0, 1:3, 0] = torch.tensor([7.5, 8.5])  # and halfway, which goes to the even one
    whole = model(clip(frames), asked)
    try:
        small = dict(zip(fields[name], (3, 2, window), strict=True))
        model.settings = type(kept)(**(vars(kept) | small))
        cut = model(clip(frames), asked)
        assert model(clip(frames), points(0)).tracks.shape == (1, 0, frames, 2)
    finally:
        model.settings = kept
    torch.testing.assert_close(cut.tracks, whole.tracks, atol=2e-3, rtol=0)
    torch.testing.assert_close(cut.occlusion, whole.occlusion, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(40, 72), (35, 51), (97, 33)])
def test_any_size_of_video_is_answered_in_its_own_pixels(model: Any, size: tuple[int, int]) -> None:
    prediction = model(clip(3, *size), points(4, 3, *size))
    assert prediction.tracks.isfinite().all()
    if isinstance(model, models.TapNet):  # a convex mean of cell centres lies inside
        assert (prediction.tracks >= -1).all()
        assert (prediction.tracks <= torch.tensor([size[1] + 8, size[0] + 8])).all()


def test_uint8_and_floats_are_the_same_video(model: Any) -> None:
    video = clip()
    floats = video.float() / 255 * 2 - 1
    assert torch.equal(model(video, points(2)).tracks, model(floats, points(2)).tracks)


def test_double_precision_agrees_with_single(model: Any) -> None:
    single = model(clip(3), points(2, 3))
    try:
        double = model.double()(clip(3), points(2, 3))
    finally:
        model.float()
    assert double.tracks.dtype == torch.float64
    torch.testing.assert_close(single.tracks, double.tracks.float(), atol=1e-2, rtol=0)


def test_a_track_is_pinned_to_its_query_before_any_refinement(model: Any) -> None:
    asked = torch.tensor([[[2.0, 10.5, 20.25], [3.5, 30.0, 40.0]]])  # 3.5 belongs to frame 4
    prediction = model(clip(), asked)
    first = (*prediction.refinements, prediction)[0]
    assert first.tracks[0, 0, 2].tolist() == [20.25, 10.5]
    assert first.tracks[0, 1, 4].tolist() == [40.0, 30.0]


def test_points_that_are_no_numbers_are_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="query_points: expected finite numbers"):
        model(clip(), torch.tensor([[[0.0, float("nan"), 3.0]]]))


def test_wrong_shapes_are_named(model: Any) -> None:
    with pytest.raises(ValueError, match=r"video: expected \[B T H W 3\], got \[5, 64, 64, 3\]"):
        model(clip()[0], points(2))
    with pytest.raises(
        ValueError, match=r"query_points: expected \[B N 3\] with B=1, got \[2, 2, 3\]"
    ):
        model(clip(), points(2).repeat(2, 1, 1))


def test_unknown_models_and_settings_are_named_with_the_choices() -> None:
    with pytest.raises(ValueError, match="no model 'tapirr': there are tapnet, tapir"):
        build("tapirr")
    with pytest.raises(ValueError, match="tapir has no setting pyramid: there are pyramid_level"):
        build("tapir", pyramid=1)
    with pytest.raises(ValueError, match="resolution: expected multiples of 8"):
        build("tapir", **(SMALL | {"initial_resolution": (60, 64)}))(clip(1), points(1, 1))


@pytest.mark.parametrize("kind", ["tapnet", "tapir", "causal-tapir", "bootstapir"])
def test_every_parameter_learns(kind: str) -> None:
    torch.manual_seed(0)
    name, settings = KINDS[kind]
    network = build(name, **settings)
    if kind == "bootstapir":  # these start at zero, which keeps what lies before from learning
        for block in network.encoder.extra:
            torch.nn.init.normal_(block.project.weight, std=0.02)
    prediction = network.train()(clip(4), points(3, 4))
    every = (prediction, *prediction.refinements)
    loss = sum(p.tracks.square().mean() + p.occlusion.square().mean() for p in every)
    loss = loss + sum(p.expected_dist.square().mean() for p in every if p.expected_dist is not None)
    loss.backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert still in ([], ["head.heatmap.bias"])  # a constant on the heat map changes nothing


def test_frame_by_frame_equals_the_whole_clip_and_states_are_values() -> None:
    torch.manual_seed(0)
    network = build("tapir", **SMALL, causal=True).eval()
    video, asked = clip(), torch.tensor([[[0.0, 20.0, 30.0], [0.0, 40.5, 11.0]]])
    with torch.inference_mode():
        levels = network.feature_grids(video)
        features = network.query_features(levels, asked, (64, 64))
        whole = network.prediction(network.estimate(levels, features), 1, (64, 64))
        _, state = network.step(video[0, 0], network.init_state())
        state = network.add(state, asked[0, :, 1:])
        first = state
        for t in range(1, 5):
            now, state = network.step(video[0, t], state)
        again, _ = network.step(video[0, 1], first)
        once, _ = network.step(video[0, 1], first)
        dropped, _ = network.step(video[0, 1], network.keep(first, torch.tensor([1])))
    assert now.tracks.shape == (1, 2, 1, 2)
    assert torch.equal(again.tracks, once.tracks)  # stepping did not change the state given
    torch.testing.assert_close(dropped.tracks, once.tracks[:, 1:], atol=2e-3, rtol=0)
    assert whole.tracks.shape == (1, 2, 5, 2)
    with pytest.raises(ValueError, match="expected a causal TAPIR"):
        build("tapir", **SMALL).step(video[0, 0], network.init_state())


def test_online_is_the_clip_seen_from_its_first_frame_on() -> None:
    torch.manual_seed(0)
    network = build("tapir", **SMALL, causal=True).eval()
    video, asked = clip(), torch.tensor([[[0.0, 20.0, 30.0], [0.0, 40.5, 11.0]]])
    with torch.inference_mode():
        _, state = network.step(video[0, 0], network.init_state())
        state = network.add(state, asked[0, :, 1:])
        found = []
        for t in range(5):  # the first frame once more, now with its points
            now, state = network.step(video[0, t], state)
            found.append(now.tracks)
        levels = network.feature_grids(video)
        features = network.query_features(levels, asked, (64, 64))
        whole = network.prediction(network.estimate(levels, features), 1, (64, 64))
    torch.testing.assert_close(torch.cat(found, dim=2), whole.tracks, atol=2e-3, rtol=0)


def test_no_model_needs_grid_sample(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX and MPS lack its five-dimensional form."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("grid_sample")

    monkeypatch.setattr(torch.nn.functional, "grid_sample", refuse)
    monkeypatch.setattr(torch, "grid_sampler", refuse)
    model(clip(2), points(2, 2))


def test_frames_are_counted_exactly_whatever_the_precision() -> None:
    """bfloat16 cannot count to 299: the frame must not travel in it."""
    grid = torch.zeros(300, 20, 20, 4, dtype=torch.bfloat16)
    grid[299, 0, 0] = 1
    query, center = torch.ones(300, 1, 4).bfloat16(), torch.full((300, 1, 2), 0.5)
    scores = local_scores(grid, query, center).view(300, 7, 7)[:, 3, 3]
    assert scores.nonzero().tolist() == [[299]]
    assert scores[299] == 4


def test_half_precision_keeps_positions_single() -> None:
    torch.manual_seed(0)
    network = build("tapir", **SMALL).eval()
    video, asked = clip(2, 32, 32), torch.tensor([[[0.0, 5.0, 9.0]]])
    level = network.encoder(video, (64, 64), 8)
    grids = tuple(grid.bfloat16() for grid in level.grids)
    network.head.bfloat16()  # convolutions in halves are slow on a CPU: only the small ones run
    position, _, _ = network._match(type(level)(level.resolution, grids), grids[1][:, 0, :1, 0])
    assert position.dtype == torch.float32
    assert network.float()(video, asked).tracks.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_video_is_resized_for_weights_in_half_precision(dtype: torch.dtype) -> None:
    network = build("tapir", **SMALL).eval().to(dtype)
    level = network.encoder(clip(1, 24, 40), (16, 16), 8)
    assert {grid.dtype for grid in level.grids} == {dtype}


def test_a_soft_argmax_of_one_peak_is_its_centre_and_ties_go_to_the_first() -> None:
    heat = torch.zeros(2, 20, 30)
    heat[0, 4, 7] = 100.0
    heat[1, 2, 3] = heat[1, 15, 25] = 100.0
    assert soft_argmax(heat).tolist() == [[7.5, 4.5], [3.5, 2.5]]


@pytest.mark.parametrize("width", [9, 90], ids=["with all cells", "with some"])
def test_local_scores_are_those_of_interpolated_features(width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    grid = torch.randn(2, 6, width, 4, generator=generator)
    queries = torch.randn(2, 3, 4, generator=generator)
    centers = torch.tensor(
        [[[3.2, 4.7], [5.9, 8.8], [0.5, 0.5]], [[0.1, 0.2], [-7.0, 40.0], [3.0, 4.5]]]
    )
    found = local_scores(grid, queries, centers).view(2, 3, 7, 7)
    padded = np.pad(grid.numpy(), ((0, 0), (60, 60), (60, 60), (0, 0)))
    for frame, row in np.ndindex(2, 3):
        y, x = centers[frame, row].tolist()
        for i in range(7):
            for j in range(7):
                v, u = y + i - 3 - 0.5 + 60, x + j - 3 - 0.5 + 60
                v0, u0 = int(np.floor(v)), int(np.floor(u))
                a, b = v - v0, u - u0
                cell = padded[frame, v0 : v0 + 2, u0 : u0 + 2]
                weights = np.outer([1 - a, a], [1 - b, b])[..., None]
                value = float((cell * weights).sum((0, 1)) @ queries[frame, row].numpy())
                assert found[frame, row, i, j].item() == pytest.approx(value, abs=1e-4)


def test_temporal_shift_moves_the_channels_as_the_reference_does() -> None:
    x = torch.arange(3 * 8.0).view(1, 3, 8, 1, 1)  # frame t, channel c: 8 t + c
    assert temporal_shift(x)[0, :, :, 0, 0].tolist() == [
        [15, 1, 2, 3, 4, 5, 6, 0],  # channel 7 of the next frame first, nothing before
        [23, 9, 10, 11, 12, 13, 14, 0],
        [0, 17, 18, 19, 20, 21, 22, 8],
    ]


@pytest.mark.parametrize("path", vectors.all_of("temporal_shift.npz"))
def test_the_shift_is_the_references(path: Path) -> None:
    _, arrays = vectors.read(path)
    for frames, fraction in ((4, 0.125), (8, 0.25), (1, 0.125)):
        x = torch.from_numpy(arrays["x"]).permute(0, 3, 1, 2).unflatten(0, (-1, frames))
        shifted = temporal_shift(x, fraction).flatten(0, 1).permute(0, 2, 3, 1)
        np.testing.assert_array_equal(shifted.numpy(), arrays[f"shift_T{frames}"])


@pytest.mark.parametrize("path", vectors.all_of("unit_ops.npz"))
def test_sampling_soft_argmax_and_resolutions_are_the_references(path: Path) -> None:
    _, arrays = vectors.read(path)
    grid, at = (torch.from_numpy(arrays[f"interp3d|{n}"]) for n in ("grid", "coords_tyx"))
    np.testing.assert_allclose(sample_grid(grid, at), arrays["interp3d|jax"], atol=1e-5)
    heat = torch.from_numpy(arrays["softargmax|heatmap"])
    height, width = heat.shape[-2:]
    found = soft_argmax(heat.log().flatten(0, 2)).view(*heat.shape[:3], 2)
    scaled = found * torch.tensor([128 / width, 96 / height])
    np.testing.assert_allclose(scaled, arrays["softargmax|jax_points_noquery"], atol=2e-4)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((256, 256), [(256, 256)]),
        ((128, 200), [(256, 256)]),
        ((480, 640), [(256, 256), (344, 400), (480, 640)]),
        ((512, 512), [(256, 256), (512, 512)]),
        ((10, 1024), [(256, 256), (48, 512), (16, 1024)]),  # no side vanishes
    ],
)
def test_larger_videos_are_refined_at_growing_resolutions(size: Any, expected: Any) -> None:
    assert list(default_resolutions(size, (256, 256))) == expected


def test_a_clip_without_frames_and_no_refinement_are_refused() -> None:
    model = build("tapir", **SMALL)
    with pytest.raises(ValueError, match="video: expected at least one frame, got none"):
        model(clip(frames=0), points(1))
    with pytest.raises(ValueError, match="refinement_resolutions: expected at least one"):
        model(clip(), points(1), refinement_resolutions=[])


class AutocastOfGpus(TorchFunctionMode):
    """Beside autocast on a CPU: the operations that autocast on a GPU does in single precision."""

    SINGLE = frozenset(
        {
            *("sum", "prod", "norm", "softmax", "log_softmax", "layer_norm", "softplus"),
            *("pow", "square", "rsqrt", "exp", "log", "log1p"),
        }
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in self.SINGLE:
            args = [
                x.float() if isinstance(x, torch.Tensor) and x.dtype == torch.bfloat16 else x
                for x in args
            ]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["tapnet", "tapir", "taplite"])
def test_every_model_learns_in_bfloat16_as_gpus_compute_it(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, **(SMALL if name == "tapir" else {})).train()
    batch = batches.stack([training.moving(0, 3, 64, 8)])
    terms = {}
    for precise in (True, False):
        with AutocastOfGpus(), torch.autocast("cpu", torch.bfloat16, enabled=not precise):
            terms[precise] = LOSSES["own" if name == "taplite" else "tapir"](model, batch)
    assert {term.dtype for term in terms[False].values()} == {torch.float32}
    for part, value in terms[True].items():
        assert terms[False][part].item() == pytest.approx(value.item(), rel=0.1, abs=0.02), part
    torch.stack(list(terms[False].values())).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
