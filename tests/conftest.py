"""Fixtures that several test modules share."""

import os
from collections.abc import Iterator

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch comes: workers share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from projects import database, project

__all__ = ["database", "project"]


@pytest.fixture
def own_threads() -> Iterator[None]:
    """The test may choose how many threads torch has: afterwards it has as many as before."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
