"""taplite: one result whatever the way it is run, points that do not disturb one another."""

import itertools
from dataclasses import asdict

import numpy as np
import pytest
import torch

from tapnet.models import build, taplite
from tapnet.models.neighbourhoods import against, cells_around, read_patch, ringed
from tapnet.models.pyramid import LiteNet, folded
from tapnet.models.taplite import Taplite
from tapnet.models.taplite_losses import cross_entropy
from tapnet.tracker import Tracker

SIZE = (64, 96)  # height, width
FRAMES = 5


@pytest.fixture(scope="module")
def model() -> Taplite:
    """Small, with weights that make every output move."""
    torch.manual_seed(0)
    net = build("taplite", fine=16, coarse=24, hidden=32, frames_per_chunk=2)
    assert isinstance(net, Taplite)
    torch.nn.init.normal_(net.correct.out.weight, std=0.1)
    torch.nn.init.normal_(net.search.out.weight, std=0.5)
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def clip() -> torch.Tensor:
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (FRAMES, 8, 12, 3)).astype(np.uint8)
    return torch.from_numpy(small.repeat(8, axis=1).repeat(8, axis=2))


def queries(times: list[int]) -> torch.Tensor:
    rng = np.random.default_rng(2)
    places = rng.uniform(4, [SIZE[0] - 4, SIZE[1] - 4], (len(times), 2))
    return torch.from_numpy(np.c_[np.array(times), places].astype(np.float32))


def places(count: int) -> torch.Tensor:
    rng = np.random.default_rng(3)
    return torch.from_numpy(rng.uniform(4, [SIZE[1] - 4, SIZE[0] - 4], (count, 2))).float()


def test_going_frame_by_frame_gives_what_the_whole_clip_gives(model, clip):
    asked = queries([0, 0, 2])
    whole = model(clip[None], asked[None])
    state = model.init_state()
    for t, frame in enumerate(clip):
        said, state = model.step(frame, state)
        if t == 0:
            state = model.add(state, asked[:2, 1:])
        if t == 2:
            state = model.add(state, asked[2:, 1:])
        if t > 2:
            torch.testing.assert_close(said.tracks[0, :, 0], whole.tracks[0, :, t])
            torch.testing.assert_close(said.occlusion[0, :, 0], whole.occlusion[0, :, t])
            torch.testing.assert_close(said.expected_dist[0, :, 0], whole.expected_dist[0, :, t])


def test_going_backward_is_going_forward_in_the_clip_reversed(model, clip):
    asked = queries([4, 4])
    back = model(clip[None], asked[None])
    there = asked.clone()
    there[:, 0] = 0
    ahead = model(clip.flip(0)[None], there[None])
    torch.testing.assert_close(back.tracks, ahead.tracks.flip(2))
    torch.testing.assert_close(back.occlusion, ahead.occlusion.flip(2))


def test_a_query_stays_where_it_was_asked_and_points_do_move(model, clip):
    asked = queries([0, 1, 4])
    said = model(clip[None], asked[None])
    for row, (t, y, x) in enumerate(asked.tolist()):
        assert said.tracks[0, row, int(t)].tolist() == pytest.approx([x, y])
        assert said.visible[0, row, int(t)]
    assert (said.tracks[0].diff(dim=1).abs().amax((1, 2)) > 1).all()


def test_points_are_visible_from_the_confidence_that_is_set(model, clip):
    asked = queries([0, 1, 4])[None]
    said = model(clip[None], asked)
    assert said.visible_above == model.settings.visible_above != 0.5
    middle = said.confidence.median().item()
    strict = build("taplite", **{**asdict(model.settings), "visible_above": middle})
    strict.load_state_dict(model.state_dict())
    whole = strict.eval()(clip[None], asked)
    assert (whole.visible == (said.confidence > middle)).all()
    assert 0 < whole.visible.float().mean() < 1
    _, state = strict.step(clip[0], strict.init_state())
    online, _ = strict.step(clip[1], strict.add(state, asked[0, :, 1:]))
    assert online.visible_above == middle


def test_points_do_not_disturb_one_another(model, clip):
    asked = queries([0, 1, 3, 4])
    together = model(clip[None], asked[None])
    for row in range(4):
        alone = model(clip[None], asked[None, row : row + 1])
        torch.testing.assert_close(alone.tracks[:, 0], together.tracks[:, row])
        torch.testing.assert_close(alone.occlusion[:, 0], together.occlusion[:, row])


@pytest.mark.parametrize("kept", [0, 1])
def test_grids_dropped_for_memory_are_made_again_alike(model, clip, kept):
    torch.manual_seed(0)
    few = build("taplite", fine=16, coarse=24, hidden=32, frames_per_chunk=1, frames_kept=kept)
    few.load_state_dict(model.state_dict())
    asked = queries([0, 2, 4])[None]
    expected = model(clip[None], asked)
    found = few.eval()(clip[None], asked)
    torch.testing.assert_close(found.tracks, expected.tracks)


def test_points_followed_in_parts_are_followed_alike(model, clip, monkeypatch):
    few = build("taplite", **{**asdict(model.settings), "points_per_chunk": 1})
    few.load_state_dict(model.state_dict())
    asked = queries([0] * 12 + [2] * 12)[None]
    expected = model(clip[None], asked)
    sizes = []
    whole = few.advance
    monkeypatch.setattr(few, "advance", lambda g, p: sizes.append(len(p.xy)) or whole(g, p))
    found = few.eval()(clip[None], asked)
    assert max(sizes) == 32**2 // (SIZE[0] // 8 * SIZE[1] // 8)  # fewer than all
    torch.testing.assert_close(found.tracks, expected.tracks, atol=1e-3, rtol=0)


def test_what_is_settled_is_not_corrected_again(model, clip, monkeypatch):
    """Those that a correction leaves where they are, surely visible: on a CPU they cost no more."""
    grids = model.grids(clip)
    now = grids.frames(slice(1, 2))
    points = model.start(grids.frames(slice(1)), torch.zeros(60, dtype=torch.long), places(60))
    counts, firsts, correction = [], [], model._correction

    def counted(near, task, xy, hidden):
        guess, after = correction(near, task, xy, hidden)
        counts.append(len(xy))
        firsts.append(taplite._confidence(guess))
        return guess, after

    monkeypatch.setattr(model, "_correction", counted)
    monkeypatch.setattr(taplite, "HARDLY", 1e6)
    with torch.no_grad():
        monkeypatch.setattr(taplite, "SETTLED", 1.0)
        often = model.advance(now, points)
        assert counts == [60, 60, 60]
        monkeypatch.setattr(taplite, "SETTLED", firsts[0].median())
        quick = model.advance(now, points)
        assert counts[3] == 60 > counts[4] >= counts[5] > 0
        monkeypatch.setattr(taplite, "SETTLED", 0.0)
        counts.clear()
        model.advance(now, points)
        assert counts == [60]
        monkeypatch.setattr(taplite, "SETTLED", firsts[0].median())
    settled = firsts[0] > firsts[0].median()
    assert (quick.xy[settled] != often.xy[settled]).any(1).all()
    counts.clear()
    with torch.enable_grad():  # then all are computed, and those that are settled left
        slow = model.advance(now, points)
    assert counts == [60, 60, 60]
    for name in ("xy", "hidden", "occlusion", "expected_dist"):
        torch.testing.assert_close(getattr(quick, name), getattr(slow, name), rtol=0, atol=1e-4)


def test_videos_of_a_batch_are_tracked_each_on_its_own(model, clip):
    videos = torch.stack([clip, clip.flip(2)])
    asked = torch.stack([queries([0, 1]), queries([2, 0])])
    both = model(videos, asked)
    for row in range(2):
        one = model(videos[row : row + 1], asked[row : row + 1])
        torch.testing.assert_close(both.tracks[row : row + 1], one.tracks)


def test_rows_kept_are_the_rows_asked_for(model, clip):
    state = model.init_state()
    _, state = model.step(clip[0], state)
    state = model.add(state, queries([0, 0, 0])[:, 1:])
    every, _ = model.step(clip[1], state)
    some, _ = model.step(clip[1], model.keep(state, torch.tensor([2, 0])))
    torch.testing.assert_close(some.tracks, every.tracks[:, [2, 0]])


def test_the_state_does_not_grow(model, clip):
    state = model.init_state()
    _, state = model.step(clip[0], state)
    state = model.add(state, queries([0, 0])[:, 1:])

    def numbers() -> int:
        rows = sum(getattr(state.points, name).numel() for name in vars(state.points))
        return rows + state.grids.fine.numel() + state.grids.coarse.numel()

    before = numbers()
    for frame in clip[1:]:
        _, state = model.step(frame, state)
    assert numbers() == before


@pytest.mark.parametrize("size", [(33, 47), (16, 16), (64, 100)])
def test_any_size_of_frame_is_taken(model, size):
    video = torch.randint(0, 256, (1, 3, *size, 3), dtype=torch.uint8)
    said = model(video, torch.tensor([[[0.0, size[0] / 2, size[1] / 2]]]))
    assert said.tracks.isfinite().all()


def test_no_points_and_points_far_outside_do_no_harm(model, clip):
    assert model(clip[None], torch.zeros(1, 0, 3)).tracks.shape == (1, 0, FRAMES, 2)
    said = model(clip[None], torch.tensor([[[0.0, -1e6, 1e6]]]))
    assert said.tracks.isfinite().all()


def test_floats_and_bytes_are_the_same_picture(model, clip):
    asked = queries([0, 3])[None]
    floats = model(clip[None].float() / 127.5 - 1, asked)
    torch.testing.assert_close(floats.tracks, model(clip[None], asked).tracks)


def test_a_frame_of_another_size_is_refused(model, clip):
    _, state = model.step(clip[0], model.init_state())
    with pytest.raises(ValueError, match=r"expected \(64, 96\) as the frames before"):
        model.step(clip[1][:32], state)
    with pytest.raises(ValueError, match="call step first"):
        model.add(model.init_state(), torch.zeros(1, 2))


def test_training_finds_the_models_own_tracks_nearer_than_others(model, clip):
    asked = queries([0, 1])[None]
    said = model(clip[None], asked)
    near = model.training_losses(clip[None], asked, said.tracks, torch.zeros(1, 2, FRAMES).bool())
    far = model.training_losses(
        clip[None], asked, said.tracks + 9, torch.zeros(1, 2, FRAMES).bool()
    )
    assert near["position"] < far["position"]


def test_clips_cost_alike_together_and_one_by_one(model, clip):
    video = torch.stack([clip, clip.flip(2)])
    asked = torch.stack([queries([0, 0]), queries([0, FRAMES - 2])])  # unlike numbers of frames
    truth = torch.full((2, 2, FRAMES, 2), 30.0)
    truth[1] += 500
    hidden = torch.zeros(2, 2, FRAMES).bool()
    both = model.training_losses(video, asked, truth, hidden)
    parts = [slice(0, 1), slice(1, 2)]
    each = [model.training_losses(video[p], asked[p], truth[p], hidden[p]) for p in parts]
    assert each[0]["position"] != pytest.approx(each[1]["position"].item(), rel=0.01)
    for name, value in both.items():
        assert value.item() == pytest.approx((each[0][name] + each[1][name]).item() / 2, rel=1e-5)


def test_every_part_is_trained(clip):
    torch.manual_seed(3)
    net = build("taplite", fine=16, coarse=24, hidden=32)
    asked = queries([0, 1])[None]
    truth = torch.full((1, 2, FRAMES, 2), 30.0)
    hidden = torch.zeros(1, 2, FRAMES).bool()
    hidden[0, 0, 3] = True
    sum(net.training_losses(clip[None], asked, truth, hidden).values()).backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_hidden_points_cost_less_and_unseen_ones_outside_nothing(model, clip):
    asked = queries([0])[None]
    truth = torch.full((1, 1, FRAMES, 2), 30.0)
    shown, hidden = torch.zeros(1, 1, FRAMES).bool(), torch.ones(1, 1, FRAMES).bool()
    seen = model.training_losses(clip[None], asked, truth, shown)
    unseen = model.training_losses(clip[None], asked, truth, hidden)
    outside = model.training_losses(clip[None], asked, truth + 500, hidden)
    assert unseen["position"] == pytest.approx(0.2 * seen["position"].item(), rel=1e-5)
    assert unseen["search"] == 0
    assert outside["position"] == 0


def test_positions_that_are_not_known_cost_nothing_where_hidden(model, clip):
    asked = queries([0])[None]
    truth, hidden = torch.full((1, 1, FRAMES, 2), 30.0), torch.zeros(1, 1, FRAMES).bool()
    hidden[..., 2] = True
    outside, unknown = truth.clone(), truth.clone()
    outside[..., 2, :], unknown[..., 2, :] = -50, float("nan")
    there = model.training_losses(clip[None], asked, outside, hidden)
    assert model.training_losses(clip[None], asked, unknown, hidden) == there


def test_patches_are_read_where_they_are():
    """On a ramp, features interpolate to the place itself."""
    height, width = 6, 8
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    grid = torch.stack([x, y, torch.ones_like(x)], dim=-1)[None]
    place = torch.tensor([[3.3, 2.8]])
    frame = torch.zeros(1, dtype=torch.long)
    found = read_patch(grid, frame, place, spread=False)[0, 0]
    torch.testing.assert_close(found[:2] / found[2], place[0])
    nine = read_patch(grid, frame, place)[0]
    torch.testing.assert_close(nine[0, :2] / nine[0, 2], place[0] - 1)
    torch.testing.assert_close(nine[5, :2] / nine[5, 2], place[0] + torch.tensor([1.0, 0.0]))


def test_scores_are_products_with_the_cells_around():
    torch.manual_seed(0)
    grid, patch = torch.randn(2, 9, 9, 4), torch.randn(1, 3, 4)
    place, frame = torch.tensor([[4.5, 4.5]]), torch.ones(1, dtype=torch.long)
    scores = against(ringed(grid), frame, place, patch).view(7, 7, 3)
    expected = torch.einsum("yxc,pc->yxp", grid[1, 1:8, 1:8], patch[0])
    torch.testing.assert_close(scores, expected)
    edge = against(ringed(grid), frame, torch.tensor([[0.5, 0.5]]), patch).view(7, 7, 3)
    assert (edge[:3] == 0).all()
    assert (edge[3:, 3:] != 0).all()
    for far in ((-1e9, 4.5), (4.5, 30.0), (1e30, 1e30)):
        assert (against(ringed(grid), frame, torch.tensor([far]), patch) == 0).all()
    cells, part = cells_around(grid, frame, place, 0, 1)
    assert (cells == grid[1, 4:6, 4:6].reshape(1, 4, 4)).all()
    assert part.tolist() == [[0.0, 0.0]]


def test_the_likeness_to_a_patch_is_the_mean_over_its_places(model):
    grids = model.grids(torch.rand(1, 48, 64, 3) * 2 - 1)
    points = model.start(grids, torch.zeros(4, dtype=torch.long), torch.rand(4, 2) * 40 + 4)
    likeness = model._likeness(grids, points)
    height, width = grids.coarse.shape[1:3]
    for row in range(4):
        for y, x in ((0, 0), (2, 3), (height - 1, width - 1)):
            total = 0.0
            for i, j in itertools.product((-1, 0, 1), repeat=2):
                if 0 <= y + i < height and 0 <= x + j < width:
                    part = points.asked_coarse[row, 3 * (i + 1) + j + 1]
                    total += float(part @ grids.coarse[0, y + i, x + j]) / 9
            assert float(likeness[row, 1, y, x]) == pytest.approx(total, abs=1e-5)
            middle = points.asked_coarse[row, 4] @ grids.coarse[0, y, x]
            torch.testing.assert_close(likeness[row, 0, y, x], middle)


def test_the_search_loss_is_least_where_the_heat_is():
    heat = torch.zeros(1, 8, 8)
    heat[0, 3, 5] = 20
    there = cross_entropy(heat, torch.tensor([[5.5, 3.5]]))
    elsewhere = cross_entropy(heat, torch.tensor([[2.5, 3.5]]))
    between = cross_entropy(heat, torch.tensor([[5.0, 3.5]]))
    assert there < 1e-3
    assert elsewhere == pytest.approx(20, abs=1e-3)
    assert between == pytest.approx(10, abs=1e-3)


def test_folding_batch_norms_leaves_the_network_as_it_was():
    """The folded stem and first block equal convolution, norm and ReLU6 one after another."""
    torch.manual_seed(0)
    weights = {}
    for name, value in LiteNet().state_dict().items():
        if not name.endswith("conv.weight"):
            continue
        path = name.split(".")
        conv, norm = "_conv_stem", "_bn0"
        if path[0] == "blocks":
            index = ("expand", "depthwise", "project").index(path[2])
            conv = f"_blocks.{path[1]}._{path[2]}_conv"
            norm = f"_blocks.{path[1]}._bn{index}"
        weights[f"{conv}.weight"] = value.double()
        for part in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{norm}.{part}"] = torch.rand(len(value)).double() + 0.5
    net = LiteNet().double().eval()
    net.load_state_dict(folded(weights))
    image = torch.randn(1, 3, 16, 16).double()
    conv = torch.nn.functional.conv2d(
        torch.nn.functional.pad(image, (0, 1, 0, 1)),
        weights["_conv_stem.weight"],
        stride=2,
    )
    w, b, m, v = (
        weights[f"_bn0.{part}"].double()
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    expected = torch.nn.functional.batch_norm(conv, m, v, w, b, eps=1e-3).clamp(0, 6)
    torch.testing.assert_close(net.stem(image), expected)
    assert [tuple(x.shape) for x in net(torch.zeros(1, 3, 32, 32).double())] == [
        (1, 24, 8, 8),
        (1, 40, 4, 4),
        (1, 112, 2, 2),
    ]


def test_it_is_a_model_like_the_others(model, clip):
    tracker = Tracker(model, "taplite", None)
    tracks = tracker.track(clip.numpy(), "grid:3")
    assert tracks.xy.shape == (9, FRAMES, 2)
    stream = tracker.stream(SIZE)
    stream.step(clip[0].numpy())
    ids = stream.add([[30, 40], [20, 20]])
    now = stream.step(clip[1].numpy())
    assert now.ids.tolist() == ids.tolist()
