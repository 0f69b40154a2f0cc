"""Work on files from strangers, in a process of its own: what harms it harms nothing else.

The process is a module of this package. It prints a line of JSON, an object with what it found or
{"error": sentence}.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tapnet.studio.options import DECODER_MEMORY, limit_memory


def ask(module: str, *arguments: str, seconds: float, late: str, broken: str) -> dict[str, Any]:
    """What `python -m tapnet.studio.MODULE ARGUMENTS` says.

    Raises ValueError with the sentence of its error, with `late` when it takes longer than
    `seconds`, with `broken` when it ends without a word.
    """
    command = [sys.executable, "-m", f"tapnet.studio.{module}", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise ValueError(late) from error
    said = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    if "error" in said:
        raise ValueError(said["error"])
    if done.returncode or not said:
        raise ValueError(broken)
    return said


def told(work: Callable[[], dict[str, Any]], greedy: str) -> dict[str, Any]:
    """What `work` returns, or {"error": sentence}: `greedy` when it asks for too much memory."""
    try:
        return work()
    except (ValueError, KeyError, OSError) as error:
        plain = error.args[0] if isinstance(error, KeyError) else error
        return {"error": " ".join(str(plain).split())}
    except MemoryError:
        return {"error": greedy}


def answer(said: Callable[[], dict[str, Any]]) -> None:
    """Prints what is said with little memory to spare."""
    limit_memory(DECODER_MEMORY)
    sys.stdout.write(json.dumps(said()) + "\n")
