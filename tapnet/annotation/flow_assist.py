"""Optical-flow track assist: the path through the clicks that disagrees least with the flow.

The annotators of TAP-Vid (Doersch et al. 2022) were helped by such a path; SPEC section 11 says
exactly which one `path` gives: of all paths of whole pixels through the clicks, the one with the
least sum of |step - flow| (both coordinates added, flow of the pixel that is left). It tries every
pixel from every pixel of a window, which takes seconds a frame.

`fast_path` finds a path of the same cost without trying pairs. Seen from the pixel that is left, a
step costs the L1 distance from where the flow leads, `q + flow(q)`, and the least of such distances
over all q is a distance transform: the cost so far is put on the four pixels around each
`q + flow(q)`, and two running minima along each axis carry it to all others, exactly. Pixels that
are already dearer than a path that is known are left out, which is exact, too. Steps have no
largest length here, so the cost is that of `path` or, where a step beyond its window helps, less.

Then the path is refined to fractions of a pixel: it follows the flow read between the pixels, and
what is missing at the next click is spread over the steps.

Positions count pixels: x = 3.0 is the middle of the fourth column (raster coordinates minus 0.5).
Axes: n frames, flows [n - 1, H, W, 2] (x, y), clicks [K, 3] (frame, x, y).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

RADIUS = 20  # pixels: the longest step of `path` along each axis
FAR = np.float32(1e10)  # cost of what is outside, and before the first click
EVEN = 0.25  # pixels: steps that miss the flow by less count alike when a path is refined
ROUNDS = 8  # in which a path is refined


def path(flows: np.ndarray, clicks: np.ndarray, radius: int = RADIUS) -> np.ndarray:
    """[n, 2] int64 (x, y): the path of SPEC 11; clicks are rounded half to even.

    After the last click the flow carries the point on; frames before the first click are (0, 0).
    Raises ValueError for shapes that do not fit and for clicks outside the image or in no order.
    """
    frames, places = _checked(flows, clicks)
    found = np.zeros((len(flows) + 1, 2), np.int64)
    for i, (begin, end) in enumerate(pairwise(frames)):
        part = flows[begin:end]
        found[begin : end + 1] = _cheapest(part, places[i], places[i + 1], radius)
    last = int(frames[-1])
    found[last:] = np.rint(_carried(flows[last:], places[-1].astype(float)))
    return found


def cost(flows: np.ndarray, positions: np.ndarray) -> float:
    """The sum of |step - flow| along positions [n, 2], with the flow read between the pixels."""
    steps = np.diff(np.asarray(positions, float), axis=0)
    return float(np.abs(steps - _along(flows, positions)).sum())
