"""What a face says when something goes wrong: one line for users' errors, a traceback for bugs."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

NARROWEST = 30  # columns of a terminal that help is written for


def exit_code(work: Callable[[], object]) -> int:
    """Does `work`; 0, 2 for what the user got wrong (one line on stderr), 130 for Ctrl-C.

    141 when the reader of stdout went away, as `| head` does. A bug shows its traceback, and
    TAPNET_DEBUG=1 shows it for every error.
    """
    try:
        code = _done(work)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("tapnet: stopped; no unfinished file is left behind", file=sys.stderr)
        return 130
    except Exception as error:
        read = _is_read(sys.stdout)
        if isinstance(error, BrokenPipeError) and not read:
            return 141
        kinds = ValueError, OSError, ImportError  # ImportError: an extra is missing
        told = isinstance(error, kinds) and is_told_to_users(error)
        if os.environ.get("TAPNET_DEBUG") or not (told or _is_lack_of_memory(error)):
            raise
        print(f"tapnet: {one_line(error)}", file=sys.stderr)
        return 2


def _done(work: Callable[[], object]) -> int:
    """The exit code of `work`, which may be that of its `sys.exit`."""
    try:
        work()
    except SystemExit as end:  # --help, or arguments that cannot be understood
        return int(end.code or 0)
    return 0


def _is_read(out: TextIO | None) -> bool:
    """Whether somebody still reads `out`; else what is left to write goes nowhere."""
    try:
        descriptor = -1 if out is None else out.fileno()
    except (OSError, ValueError):  # it is no file, or closed
        descriptor = -1
    if descriptor < 0 or not hasattr(select, "poll"):  # Windows has none
        return True
    asked = select.poll()
    asked.register(descriptor, 0)
    if not asked.poll(0):  # only errors are told, such as a pipe without a reader
        return True
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), descriptor)
    return False


@contextlib.contextmanager
def wide_enough() -> Iterator[None]:
    """Help is written for some columns at least: with less than ten, tyro never ends writing it."""
    if shutil.get_terminal_size().columns >= NARROWEST:
        yield
        return
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(NARROWEST)
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def is_told_to_users(error: Exception) -> bool:
    """Whether the system, or a `raise` statement of this package, made the error: not a bug."""
    if isinstance(error, OSError):
        return True
    origin = traceback.extract_tb(error.__traceback__)[-1]
    ours = Path(__file__).parent in Path(origin.filename).parents
    return ours and (origin.line or "").startswith("raise")


def _is_lack_of_memory(error: Exception) -> bool:
    """Whether numpy's, Python's, or torch's (a RuntimeError that says so)."""
    if isinstance(error, RuntimeError):
        return any(words in str(error) for words in ("allocate memory", "out of memory"))
    return isinstance(error, MemoryError)


def one_line(error: Exception) -> str:
    """What is said of an error that is told to users."""
    if _is_lack_of_memory(error):
        advice = "ask for fewer points, fewer frames or a lower resolution"
        return f"not enough memory; {advice} ({' '.join(str(error).split())})"
    if isinstance(error, OSError) and error.strerror == os.strerror(errno.ENOSPC):
        return "no space left on the disk; free some, or choose another folder with --out"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the system says'}: {error.strerror}"
    return " ".join(str(error).split())
