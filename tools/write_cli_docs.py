"""Write docs/cli.md from the help of every command.

python tools/write_cli_docs.py
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from unittest import mock

from tapnet.cli import COMMANDS, GROUPS, main

TARGET = Path(__file__).parents[1] / "docs" / "cli.md"
COLUMNS = "88"  # whatever the terminal is
HEAD = """# The command line

Made from `tapnet --help` by `python tools/write_cli_docs.py`; do not edit.
"""


def help_of(*command: str) -> str:
    """What `tapnet COMMAND --help` prints, without colours, at a fixed width."""
    said = io.StringIO()
    with mock.patch.dict(os.environ, {"COLUMNS": COLUMNS}), contextlib.redirect_stdout(said):
        main([*command, "--help"])
    return "\n".join(line.rstrip() for line in said.getvalue().strip().splitlines())


def text() -> str:
    """The whole page."""
    commands = [(name,) for name in COMMANDS]
    commands += [(group, name) for group, names in GROUPS.items() for name in names]
    sections = [
        f"## `tapnet {' '.join(words)}`\n\n```text\n{help_of(*words)}\n```\n" for words in commands
    ]
    return "\n".join([HEAD, f"```text\n{help_of()}\n```\n", *sections])


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text(), encoding="utf-8")
    print(f"wrote {TARGET.name}")
