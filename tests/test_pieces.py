"""Pieces of work side by side on the cores of a CPU."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from tapnet.models import build
from tapnet.models.pieces import cores_for, each


@pytest.fixture(autouse=True)
def _two_threads(own_threads: None) -> None:
    torch.set_num_threads(2)


def seen(piece: int) -> tuple[int, int, bool, bool, str]:
    """What a piece of work finds around it."""
    return (
        piece,
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        threading.current_thread().name,
    )


@pytest.mark.parametrize("inference", [False, True])
def test_pieces_are_done_in_order_each_on_a_core_as_the_caller_would(inference: bool) -> None:
    with torch.inference_mode(inference), torch.no_grad():
        found = each(seen, range(7), 2)
    assert [one[0] for one in found] == list(range(7))
    assert {one[1:4] for one in found} == {(1, False, inference)}
    assert threading.current_thread().name not in {one[4] for one in found}


def test_other_threads_keep_all_cores() -> None:
    counts: list[int] = []

    def count() -> None:
        counts.append(torch.get_num_threads())

    def count_elsewhere(_: int) -> None:
        other = threading.Thread(target=count)
        other.start()
        other.join()

    with torch.no_grad():
        each(count_elsewhere, range(4), 2)
    count()
    assert counts == [2] * 5


def test_few_pieces_at_a_time_have_their_share_of_the_threads() -> None:
    torch.set_num_threads(5)
    with torch.no_grad():
        assert {one[1] for one in each(seen, range(6), 2)} == {2}
    assert torch.get_num_threads() == 5


def test_fewer_pieces_than_cores_share_them() -> None:
    with torch.no_grad():
        (alone,) = each(seen, [3], 2)
    assert alone[:2] == (3, 2)
    assert alone[4] == threading.current_thread().name


def test_the_first_fault_is_told_and_what_is_left_is_not_done() -> None:
    begun: list[int] = []

    def fail(piece: int) -> None:
        begun.append(piece)
        if piece == 0:
            raise ValueError("piece 0")
        time.sleep(0.01)

    with torch.no_grad(), pytest.raises(ValueError, match="piece 0"):
        each(fail, range(1000), 2)
    assert len(begun) < 1000
    assert torch.get_num_threads() == 2


def test_only_work_on_a_cpu_without_gradients_is_shared_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.zeros(1)
    assert cores_for(x) == 1  # gradients are wanted
    with torch.no_grad():
        assert cores_for(x) == 2
        assert cores_for(x.to("meta")) == 1
        with torch.autocast("cpu", torch.bfloat16):
            assert cores_for(x) == 1
        with monkeypatch.context() as patch:
            patch.setattr(torch.backends.openmp, "is_available", lambda: False)
            assert cores_for(x) == 1
        monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
        assert cores_for(x) == 1


def test_tapir_says_the_same_on_one_core_and_on_two() -> None:
    torch.manual_seed(0)
    small = {"num_mixer_blocks": 2, "mixer_hidden_dim": 32, "initial_resolution": (64, 64)}
    model = build("tapir", **small).eval()
    video = torch.randint(0, 256, (1, 5, 64, 64, 3), dtype=torch.uint8)
    asked = torch.rand(1, 7, 3) * torch.tensor([4.0, 64.0, 64.0])
    with torch.inference_mode():
        two = model(video, asked)
        torch.set_num_threads(1)
        one = model(video, asked)
    for name in ("tracks", "occlusion", "expected_dist"):
        torch.testing.assert_close(getattr(two, name), getattr(one, name), rtol=0, atol=1e-3)
