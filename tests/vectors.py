"""The outputs of the reference implementation: a few here, the rest beside the project.

`tests/data` holds a small part, so that the project alone shows its parity. A folder
`shared/parity/open` beside the repository, where there is one, holds the rest.
"""

from __future__ import annotations

import filecmp
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SHIPPED = Path(__file__).parent / "data"
BESIDE = Path(__file__).parents[2] / "shared" / "parity" / "open"


def all_of(pattern: str) -> list[Any]:
    """Test parameters: each file of that pattern once, and a skip if none is beside."""
    shipped = [
        pytest.param(path, id=f"shipped-{path.stem}")
        for path in sorted(SHIPPED.glob(pattern))
        if not _lies_beside(path)
    ]
    beside = [pytest.param(path, id=path.stem) for path in sorted(BESIDE.glob(pattern))]
    absent = pytest.param(
        BESIDE / pattern,
        id=pattern,
        marks=pytest.mark.skip(f"no {pattern} in ../shared/parity/open beside the project"),
    )
    return shipped + (beside or [absent])


def _lies_beside(path: Path) -> bool:
    other = BESIDE / path.name
    return other.is_file() and filecmp.cmp(path, other, shallow=False)


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The settings and the arrays of a file."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(str(arrays.pop("config"))), arrays
