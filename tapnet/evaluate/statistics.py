"""How sure a score is: intervals by bootstrap over videos, and paired comparisons of two models.

A score of a benchmark is a number made of per-video sums, so that videos can be drawn again: the
mean over groups of (sum of parts / sum of wholes). A mean over videos has one group, whose part is
the video's score and whose whole is 1; a keypoint score over all frames has a group per joint.

B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993 (percentile interval);
R. A. Fisher's randomisation test for paired samples, 1935.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
LEVEL = 0.95
FEWEST = 5  # videos: of fewer, samples drawn again tell next to nothing
_EXACT = 13  # videos up to which all 2^V sign flips are tried
_CHUNK = 1000  # swaps at a time


@dataclass(frozen=True)
class Sums:
    """A score of V videos, as parts and wholes [V, G] in G groups.

    A group whose wholes sum to nothing counts `empty`; NaN leaves it out of the mean.
    """

    part: np.ndarray
    whole: np.ndarray
    empty: float = float("nan")

    def value(self, weights: np.ndarray | None = None) -> np.ndarray:
        """[..]: the score of the videos, each counted `weights` [.. V] times; None = once each."""
        counts = np.ones(len(self.part)) if weights is None else weights
        part, whole = counts @ self.part, counts @ self.whole
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.where(whole > 0, part / whole, self.empty)
        known = ~np.isnan(shares)
        count = known.sum(-1)
        total = np.where(known, shares, 0).sum(-1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def take(self, index: np.ndarray) -> Sums:
        """The videos `index` (integers or a bool mask)."""
        return Sums(self.part[index], self.whole[index], self.empty)

    @property
    def judged(self) -> np.ndarray:
        """[V] bool: which videos have anything to judge."""
        return np.asarray((self.whole > 0).any(-1))


def mean_of(values: Sequence[float] | np.ndarray) -> Sums:
    """The mean over videos of one number each; NaN is left out."""
    column = np.asarray(values, float)[:, None]
    known = ~np.isnan(column)
    return Sums(np.where(known, column, 0), known.astype(float))


@dataclass(frozen=True)
class Interval:
    """Where a score lies with probability `LEVEL`; NaN if fewer than `FEWEST` are judged."""

    low: float
    high: float


def interval(sums: Sums, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Percentile bootstrap interval over videos: the same for the same sums and seed."""
    kept = sums.take(sums.judged)
    if len(kept.part) < FEWEST:
        return Interval(float("nan"), float("nan"))
    return _between(kept.value(resamples(len(kept.part), draws, seed)))


@dataclass(frozen=True)
class Comparison:
    """Model a against model b on the videos that both were judged on."""

    videos: int
    difference: float  # score of a minus score of b
    interval: Interval  # of the difference
    p_value: float  # chance of a difference as large if the two were equal
    better: int  # videos on which a is better
    worse: int

    @property
    def sure(self) -> bool:
        """Whether chance explains the difference in less than 1 - `LEVEL` of cases."""
        return self.p_value < 1 - LEVEL


def compare(a: Sums, b: Sums, draws: int = DRAWS, seed: int = 0) -> Comparison:
    """Which of two models is better on the same videos, in the same order, and how sure it is.

    The interval is of the difference, by drawing videos for both at once. The p-value is of the
    test in which the two models change places on each video at random (all ways, if few videos).
    Raises ValueError for different numbers of videos.
    """
    if a.part.shape != b.part.shape:
        raise ValueError(
            f"expected scores of the same videos, got {len(a.part)} and {len(b.part)}; "
            "evaluate both models on one dataset"
        )
    both = a.judged & b.judged
    a, b, count = a.take(both), b.take(both), int(both.sum())
    nan = float("nan")
    if not count:
        return Comparison(0, nan, Interval(nan, nan), nan, 0, 0)
    difference = float(a.value() - b.value())
    lead = _alone(a) - _alone(b)
    weights = resamples(count, draws, seed)
    ends = _between(a.value(weights) - b.value(weights)) if count >= FEWEST else Interval(nan, nan)
    p_value = _flip_test(a, b, abs(difference), draws, seed)
    better, worse = int((lead > 0).sum()), int((lead < 0).sum())
    return Comparison(count, difference, ends, p_value, better, worse)


def _alone(sums: Sums) -> np.ndarray:
    """[V] the score of each video on its own."""
    return sums.value(np.eye(len(sums.part)))


@functools.lru_cache(maxsize=4)
def resamples(videos: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """[draws, V] how often each video is in a sample of as many, drawn with replacement."""
    chances = np.full(videos, 1 / videos)
    drawn = np.random.default_rng(seed).multinomial(videos, chances, draws).astype(float)
    drawn.flags.writeable = False  # it is shared
    return drawn


def _between(drawn: np.ndarray) -> Interval:
    """What holds `LEVEL` of the numbers drawn, as much left out below as above."""
    tail = 50 * (1 - LEVEL)
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    return Interval(float(low), float(high))


def _flip_test(a: Sums, b: Sums, found: float, draws: int, seed: int) -> float:
    """Share of swaps that give a difference of at least `found`; the swap of nothing is one."""
    videos = len(a.part)
    if videos <= _EXACT:
        swaps = np.arange(2**videos)[:, None] >> np.arange(videos) & 1
    else:
        generator = np.random.default_rng(seed)
        swaps = generator.integers(0, 2, (draws, videos))
    both = np.concatenate([a.part, b.part]), np.concatenate([a.whole, b.whole])
    joined = Sums(*both, a.empty)
    extreme = 0
    for rows in np.array_split(swaps, -(-len(swaps) // _CHUNK)):
        stays, goes = 1.0 - rows, rows.astype(float)
        one = joined.value(np.concatenate([stays, goes], axis=1))
        other = joined.value(np.concatenate([goes, stays], axis=1))
        extreme += int((np.abs(one - other) >= found - 1e-12).sum())
    if videos <= _EXACT:
        return extreme / len(swaps)
    return (extreme + 1) / (draws + 1)
