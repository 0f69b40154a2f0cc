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
    return _compiled(function, fastmath=True)


def exact_kernel(function: Function) -> Function:
    """As `kernel`, but with IEEE arithmetic: nothing is reordered, infinities are honoured."""
    return _compiled(function, fastmath=False)


def _compiled(function: Function, fastmath: bool) -> Function:
    def compile(cache: bool) -> Function:
        decorate = njit(cache=cache, fastmath=fastmath, nogil=True, error_model="numpy")
        return cast(Function, decorate(function))

    try:
        return compile(cache=True)
    except RuntimeError:  # numba finds no folder it may write: compile anew in each process
        return compile(cache=False)
