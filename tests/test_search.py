"""taplite's search: sure points near where they are expected, others anywhere, on a CPU quickly."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from tapnet.models.search import Found, Search, peaks, summed_taps

HIDDEN = 8


@pytest.fixture(scope="module")
def search() -> Search:
    torch.manual_seed(0)
    search = Search(HIDDEN)
    torch.nn.init.normal_(search.out.weight, std=0.3)
    torch.nn.init.normal_(search.weights.weight, std=0.5)
    return search


def asked(height: int, width: int, points: int = 60) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Likeness, expected places (some outside the frame), hidden states, who is sure."""
    generator = torch.Generator().manual_seed(1)
    likeness = torch.rand(points, Search.ALIKE, height, width, generator=generator)
    size = torch.tensor([width, height])
    expected = (1.6 * torch.rand(points, 2, generator=generator) - 0.3) * size
    hidden = torch.randn(points, HIDDEN, generator=generator)
    return likeness, expected, hidden, torch.rand(points, generator=generator) < 0.7


def assert_same(a: Found, b: Found) -> None:
    torch.testing.assert_close(a.place, b.place, rtol=0, atol=1e-4)
    torch.testing.assert_close(a.clear, b.clear, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_summed_taps_are_the_convolution(size: tuple[int, int], bias: bool) -> None:
    conv = torch.nn.Conv2d(16, 1, 3, padding=1, bias=bias)
    x = torch.randn(3, 16, *size).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(summed_taps(conv, x), conv(x)[:, 0], rtol=0, atol=1e-5)


def test_heat_is_the_same_with_and_without_gradients(search: Search) -> None:
    likeness, expected, hidden, _ = asked(6, 7)
    trained = search.everywhere(likeness, expected, hidden)
    with torch.no_grad():
        tracked = search.everywhere(likeness, expected, hidden)
    torch.testing.assert_close(tracked, trained.detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("reach", [1, 3])
@pytest.mark.parametrize("size", [(11, 30), (24, 13), (3, 5), (1, 1)])
@pytest.mark.parametrize("who", ["some", "all", "none"])
def test_a_window_alone_gives_what_the_whole_frame_gives(
    search: Search, size: tuple[int, int], reach: int, who: str
) -> None:
    likeness, expected, hidden, sure = asked(*size)
    sure = {"some": sure, "all": sure | True, "none": sure & False}[who]
    found = {}
    for name, gradients in (("window", torch.no_grad()), ("frame", nullcontext())):
        with gradients:
            found[name] = search.find(likeness, expected, hidden, sure, reach)
    assert_same(found["window"], found["frame"])


@pytest.mark.parametrize("gradients", [torch.no_grad, nullcontext])
def test_a_sure_point_is_found_near_unless_nothing_like_it_is(gradients: Any) -> None:
    search = Search(HIDDEN)
    with torch.no_grad():
        search.out.weight.zero_()
        search.weights.bias[-1] = -9  # where it is expected weighs nothing
    likeness, _, hidden, _ = asked(30, 40, 1)
    likeness, hidden = (0.1 * likeness).repeat(3, 1, 1, 1), hidden.repeat(3, 1)
    likeness[:, :, 20, 33] = 1.0  # far from where all are expected
    likeness[1:, :, 9, 5] = torch.tensor([0.8, 0.4])[:, None]  # near
    likeness[0, :, 9, 5] = 0.8
    expected, sure = torch.tensor([[8.2, 6.7]]).expand(3, 2), torch.tensor([False, True, True])
    with gradients():
        found = search.find(likeness, expected, hidden, sure, 6)
        everywhere = peaks(search.everywhere(likeness, expected, hidden), likeness)
    lost, near, gone = found.place.detach()
    for place in (lost, gone):
        assert (place - torch.tensor([33.5, 20.5])).abs().max() < 1
    assert (near - torch.tensor([5.5, 9.5])).abs().max() < 2.5
    assert_same(found.take(torch.tensor([0, 2])), everywhere.take(torch.tensor([0, 2])))


def test_a_reach_beyond_the_frame_is_all_of_it(search: Search) -> None:
    likeness, expected, hidden, sure = asked(9, 12)
    with torch.no_grad():
        found = search.find(likeness, expected, hidden, sure, 12)
        heat = search.everywhere(likeness, expected, hidden)
    assert_same(found, peaks(heat, likeness))


def test_no_points_are_found_nowhere(search: Search) -> None:
    likeness, expected, hidden, sure = asked(20, 20, 0)
    with torch.no_grad():
        found = search.find(likeness, expected, hidden, sure, 6)
    assert found.place.shape == (0, 2)
    assert found.clear.shape == (0, 7)
