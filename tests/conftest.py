"""Fixtures that several test modules share."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch comes: workers share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from projects import database, project

__all__ = ["database", "project"]
