"""Trackers with nothing to train: KLT and chained flow, one interface."""

import pytest
import torch

from tapnet.baselines import BASELINES


@pytest.fixture(params=sorted(BASELINES))
def model(request):
    return BASELINES[request.param]()


def test_no_points_give_no_tracks(model) -> None:
    prediction = model(torch.zeros(1, 3, 20, 20, 3, dtype=torch.uint8), torch.zeros(1, 0, 3))
    assert prediction.tracks.shape == (1, 0, 3, 2)
