from dataclasses import replace

import numpy as np
import pytest
import torch

from tapnet.structs import Example, Prediction


def test_a_shape_that_does_not_fit_is_named_with_what_was_expected() -> None:
    with pytest.raises(ValueError, match=r"occlusion: expected \[B N T\] with B=1, N=3, T=2, got"):
        Prediction(tracks=torch.zeros(1, 3, 2, 2), occlusion=torch.zeros(1, 2, 3))
    with pytest.raises(ValueError, match=r"target_points: expected \[N T 2\]"):
        Example(
            "a",
            np.zeros((4, 8, 8, 3), np.uint8),
            np.zeros((2, 3)),
            np.zeros((2, 5, 2)),
            np.zeros((2, 4), bool),
        )


def test_a_point_is_visible_when_both_logits_together_leave_more_than_half() -> None:
    tracks = torch.zeros(1, 1, 3, 2)
    occlusion = torch.tensor([[[-3.0, -0.5, 3.0]]])
    assert Prediction(tracks, occlusion).visible.tolist() == [[[True, True, False]]]
    # (1 - s(-.5)) (1 - s(0)) = 0.62 * 0.5 < 0.5
    unsure = Prediction(tracks, occlusion, expected_dist=torch.tensor([[[-3.0, 0.0, -3.0]]]))
    assert unsure.visible.tolist() == [[[True, False, False]]]
    assert replace(unsure, visible_above=0.3).visible.tolist() == [[[True, True, False]]]
