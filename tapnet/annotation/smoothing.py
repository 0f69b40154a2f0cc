"""The path through the clicks that fits best what a tracker and the flow say, and how sure it is.

A path is judged by how far it is from positions that were said, how far its steps are from steps
that were said, and how sharply it bends; what was said counts by its own uncertainty. Each of these
is a Student-t law, so that what is far off hardly counts: it is minimised by weighted least squares
whose weights are renewed a few times (IRLS). The equations tie a frame to the two before and after
it, and are solved for all tracks at once; their inverse gives the uncertainty of the path.

Axes: N tracks, T frames; positions (x, y), units pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

FREEDOM = 1.0  # degrees of freedom of the laws: 1 is Cauchy's, with the widest tails
FIXED = 1e6  # weight of a click, 1 / pixels²
IDLE = 1e-3  # weight of standing still, for where nothing else is said


@dataclass(frozen=True)
class Said:
    """Positions, or steps from a frame to the next, that something said."""

    xy: np.ndarray  # [N, T, 2] positions, or [N, T - 1, 2] steps
    sigma: np.ndarray  # [N, T] or [N, T - 1] their uncertainty; infinite where nothing is said


Steps = Callable[[np.ndarray], Sequence[Said]]  # steps that are said along a path [N, T, 2]


@dataclass(frozen=True)
class Fit:
    """A path and its uncertainty."""

    xy: np.ndarray  # [N, T, 2]
    sigma: np.ndarray  # [N, T] along each axis


def fit(
    clicked: np.ndarray,
    start: np.ndarray,
    positions: Sequence[Said],
    steps: Steps | None,
    bend: float,
    rounds: int,
) -> Fit:
    """The path that fits best, begun at `start` [N, T, 2], whose `clicked` [N, T] frames stay.

    `bend` is the usual change of a step from one frame to the next. Every track needs a click.
    """
    xy = start.astype(np.float64)
    equations = _Equations.none(xy.shape[:2])
    for turn in range(rounds):
        equations = _Equations.none(xy.shape[:2])
        equations.add_positions(np.where(clicked, FIXED, 0), start)
        equations.add_steps(np.full(np.diff(xy[..., 0]).shape, IDLE), np.zeros_like(xy[:, 1:]))
        for said in positions:
            equations.add_positions(_weights(said, xy, even=turn == 0), said.xy)
        for said in steps(xy) if steps else ():
            equations.add_steps(_weights(said, np.diff(xy, axis=1)), said.xy)
        curve = np.diff(xy, 2, axis=1)
        usual = Said(np.zeros_like(curve), np.full(curve.shape[:2], bend))
        equations.add_bends(_weights(usual, curve, even=turn == 0))
        xy = np.where(clicked[..., None], start, equations.solve())
    return Fit(xy, np.where(clicked, 0, np.sqrt(equations.variance())))


def _weights(said: Said, found: np.ndarray, even: bool = False) -> np.ndarray:
    """How much each of what was said counts, with the path where it is; `even`: all of it fully."""
    sure = 1 / np.square(said.sigma)
    if even:
        return sure
    missed = np.square(found - said.xy).sum(-1) * sure
    return sure * (FREEDOM + 2) / (FREEDOM + np.where(sure > 0, missed, 0))


@dataclass(frozen=True)
class _Equations:
    """Symmetric equations, five diagonals wide, of N tracks; both axes have the same left side."""

    main: np.ndarray  # [T, N]
    next: np.ndarray  # [T - 1, N]
    after: np.ndarray  # [T - 2, N]
    right: np.ndarray  # [T, N, 2]

    @classmethod
    def none(cls, shape: tuple[int, int]) -> _Equations:
        count, frames = shape
        main, beside, after = (np.zeros((max(frames - i, 0), count)) for i in range(3))
        return cls(main, beside, after, np.zeros((frames, count, 2)))

    def add_positions(self, weights: np.ndarray, xy: np.ndarray) -> None:
        self.main[...] += weights.T
        self.right[...] += (weights[..., None] * xy).swapaxes(0, 1)

    def add_steps(self, weights: np.ndarray, xy: np.ndarray) -> None:
        pull = (weights[..., None] * xy).swapaxes(0, 1)
        self.main[1:] += weights.T
        self.main[:-1] += weights.T
        self.next[...] -= weights.T
        self.right[1:] += pull
        self.right[:-1] -= pull

    def add_bends(self, weights: np.ndarray) -> None:
        if len(self.after):
            self.main[:-2] += weights.T
            self.main[1:-1] += 4 * weights.T
            self.main[2:] += weights.T
            self.next[:-1] -= 2 * weights.T
            self.next[1:] -= 2 * weights.T
            self.after[...] += weights.T

    def _factors(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """D [T, N] and the two diagonals below of L, [T, N] each, with L D L' the left side."""
        pivot, one, two = self.main.copy(), np.zeros_like(self.main), np.zeros_like(self.main)
        for t in range(1, len(pivot)):
            below = self.next[t - 1]
            if t > 1:
                two[t] = self.after[t - 2] / pivot[t - 2]
                below = below - two[t] * pivot[t - 2] * one[t - 1]
                pivot[t] -= two[t] ** 2 * pivot[t - 2]
            one[t] = below / pivot[t - 1]
            pivot[t] -= one[t] ** 2 * pivot[t - 1]
        return pivot, one, two

    def solve(self) -> np.ndarray:
        """[N, T, 2]."""
        pivot, one, two = self._factors()
        found, last = self.right.copy(), len(pivot) - 1
        for t in range(1, last + 1):
            found[t] -= one[t, :, None] * found[t - 1]
            if t > 1:
                found[t] -= two[t, :, None] * found[t - 2]
        found /= pivot[..., None]
        for t in range(last - 1, -1, -1):
            found[t] -= one[t + 1, :, None] * found[t + 1]
            if t < last - 1:
                found[t] -= two[t + 2, :, None] * found[t + 2]
        return found.swapaxes(0, 1)

    def variance(self) -> np.ndarray:
        """[N, T]: the diagonal of the inverse (Takahashi's recursion, from the last frame back)."""
        pivot, one, two = self._factors()
        last = len(pivot) - 1
        here = np.zeros((last + 3, pivot.shape[1]))  # covariance of t with t
        onward = np.zeros_like(here)  # of t with t + 1
        one, two = (np.concatenate([part, np.zeros_like(here[:2])]) for part in (one, two))
        for t in range(last, -1, -1):
            farther = -one[t + 1] * onward[t + 1] - two[t + 2] * here[t + 2]
            onward[t] = -one[t + 1] * here[t + 1] - two[t + 2] * onward[t + 1]
            here[t] = 1 / pivot[t] - one[t + 1] * onward[t] - two[t + 2] * farther
        return here[: last + 1].T
