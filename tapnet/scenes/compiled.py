"""The one place where numba is asked for, with the options every kernel shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])

try:
    from numba import njit
except ImportError as error:  # pragma: no cover - depends on the installation
    raise ImportError(
        "synthetic scenes need the package numba, which is not installed; "
        "install it with: pip install 'tapnet[train]'"
    ) from error


def kernel(function: Function) -> Function:
    """`function` compiled on first use, on one thread, and kept on disk for the next process."""
    compiled = njit(cache=True, fastmath=True, nogil=True, error_model="numpy")(function)
    return cast(Function, compiled)


def exact_kernel(function: Function) -> Function:
    """As `kernel`, but with IEEE arithmetic: nothing is reordered, infinities are honoured."""
    compiled = njit(cache=True, nogil=True, error_model="numpy")(function)
    return cast(Function, compiled)
