"""Tables: one row a tracker, never two protocols without a word, and who is better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tapnet.evaluate import Pooled, Protocol, Result, Row, compare, differences, summary, table
from tapnet.evaluate.cost import Cost
from tapnet.evaluate.summary import paired, verdict

NAN = float("nan")
PROTOCOL = Protocol(
    dataset="davis",
    dataset_sha256="ab" * 32,
    kind="tapvid",
    query_mode="first",
    resolution="256x256",
    resize_filter="lanczos",
    direction="both ways",
    support_points="none",
    points_per_call="all",
    model="klt",
    weights_sha256=None,
    precision=None,
    device="cpu",
    torch_version="2",
    tapnet_version="1",
)


def a_result(model: str, scores: list[float], **changes: str) -> Result:
    """Of videos with these AJ and delta_avg."""
    rows = [
        Row(
            f"video {i}",
            points=5,
            frames=10,
            scores={"average_jaccard": score, "average_pts_within_thresh": score},
            cost=Cost(0.5, 3e8, 2e8, NAN, "a machine"),
        )
        for i, score in enumerate(scores)
    ]
    return Result(replace(PROTOCOL, model=model, **changes), tuple(rows))


GOOD = a_result("good", [0.6, 0.65, 0.7, 0.75, 0.8])
POOR = a_result("poor", [0.5, 0.4, 0.1, 0.3, 0.2])


def test_a_table_has_a_row_for_each_tracker_the_best_first() -> None:
    head, rows, verdicts = table([POOR, GOOD]).split("\n\n")
    assert "dataset   davis (tapvid), sha256 abababababababab" in head
    assert "machine   a machine" in head
    assert "WARNING" not in head
    titles, first, second = (line.split() for line in rows.splitlines())
    assert titles == ["model", "videos", "AJ", "delta_avg", "frames/s", "memory"]
    ends = GOOD.intervals["average_jaccard"]
    with_interval = ["70.0", f"({100 * ends.low:.1f}-{100 * ends.high:.1f})"]
    assert first == ["good", "5", *with_interval, *with_interval, "20", "300", "MB"]
    assert second[:3] == ["poor", "5", "30.0"]
    assert verdicts.startswith("no sure difference between good and poor: +40.0 AJ, 95% interval ")
    assert verdicts.strip().endswith("p = 0.062, better on 5 and worse on 0 of 5 videos")


def test_of_few_videos_no_interval_is_told() -> None:
    good, poor = (replace(result, rows=result.rows[:4]) for result in (GOOD, POOR))
    text = table([good, poor])
    assert "67.5  " in text
    assert "(" not in text.split("\n\n")[1]
    told = "no sure difference between good and poor: +35.0 AJ, p = 0.12, better on 4 and"
    assert told in text


def test_a_sure_difference_is_called_one() -> None:
    scores = np.linspace(0.2, 0.8, 10)
    better, worse = a_result("a", list(scores + 0.05)), a_result("b", list(scores))
    told = "a is better than b: +5.0 AJ, 95% interval +5.0 to +5.0, p = 0.002, better on 10"
    assert verdict(better, worse, "AJ").startswith(told)
    assert verdict(worse, better, "AJ") == verdict(better, worse, "AJ")
    assert paired(better, worse, "average_jaccard") == compare(
        better.sums("average_jaccard"), worse.sums("average_jaccard")
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"resolution": "native"}, "resolution: 256x256 (good), native (other)"),
        ({"resize_filter": "bilinear"}, "resize filter: lanczos (good), bilinear (other)"),
        ({"direction": "forward only"}, "direction: both ways (good), forward only (other)"),
        ({"points_per_call": "1"}, "points per call: all (good), 1 (other)"),
        ({"support_points": "grid"}, "support points: none (good), grid (other)"),
    ],
)
def test_rows_of_two_protocols_are_never_together_without_a_word(
    change: dict[str, str], said: str
) -> None:
    other = a_result("other", [0.1, 0.2, 0.3, 0.4, 0.5], **change)
    assert differences([GOOD.protocol, other.protocol]) == [said]
    first = table([GOOD, other]).splitlines()[0]
    assert first == f"WARNING   not one protocol, scores do not compare directly: {said}"
    assert not summary.comparable([GOOD, other])


def test_another_device_is_told_and_nothing_trained_has_no_precision_that_differs() -> None:
    trained = {"weights_sha256": "cd" * 32, "precision": "float32"}
    other = a_result("other", [0.1, 0.2, 0.3, 0.4, 0.5], device="cuda:0", **trained)
    (said,) = summary.warnings([GOOD, other])
    assert said == "computed differently: device: cpu (good), cuda:0 (other)"
    assert summary.comparable([GOOD, other])
    half = a_result("half", [0.1, 0.2, 0.3, 0.4, 0.5], **{**trained, "precision": "bfloat16"})
    full = a_result("full", [0.1, 0.2, 0.3, 0.4, 0.5], **trained)
    assert summary.warnings([full, half]) == [
        "computed differently: precision: float32 (full), bfloat16 (half)"
    ]


@pytest.mark.parametrize("change", [{"dataset_sha256": "ef" * 32}, {"query_mode": "strided"}])
def test_results_of_other_videos_or_queries_have_a_table_of_their_own(
    change: dict[str, str],
) -> None:
    other = a_result("other", [0.1, 0.2, 0.3, 0.4, 0.5], **change)
    text = table([GOOD, other])
    assert text.count("dataset   davis") == 2
    assert "better" not in text
    with pytest.raises(ValueError, match="good and other: expected results of one dataset"):
        paired(GOOD, other, "average_jaccard")


def test_the_headline_is_judged_on_the_most_videos() -> None:
    assert summary.headline([GOOD, POOR]) == "AJ"
    rows = [replace(r, scores={**r.scores, "average_jaccard": NAN}) for r in GOOD.rows[1:]]
    few = replace(GOOD, rows=(GOOD.rows[0], *rows))
    assert summary.headline([few]) == "delta_avg"
    assert "no AJ (nothing to judge): video 1, video 2, video 3, video 4." in table([few])
    nothing = a_result("nothing", [NAN] * 5)
    assert summary.ranked([nothing, POOR])[0] is POOR
    assert "good and nothing: no video has AJ of both" in table([nothing, GOOD])
    with pytest.raises(ValueError, match="expected one result or more, got none"):
        table([])


def test_a_pooled_score_is_not_the_mean_of_videos() -> None:
    sums = [Pooled((1.0,), (1.0,)), Pooled((0.0,), (9.0,))]
    rows = [
        replace(row, scores={"AJ_RD": one.value}, pooled={"AJ_RD": one})
        for row, one in zip(GOOD.rows, sums, strict=False)
    ]
    rows.append(replace(GOOD.rows[2], scores={"AJ_RD": NAN}))
    result = Result(PROTOCOL, tuple(rows))
    assert result.mean["AJ_RD"].value == 1 / 10
    assert result.mean["AJ_RD"].left_out == ("video 2",)
    assert summary.counts([result], {"AJ_RD": "AJ_RD"}) == {"AJ_RD": "2 of 3 videos"}
