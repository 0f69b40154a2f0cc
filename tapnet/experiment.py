"""`python tapnet/experiment.py --config FILE`, which is `tapnet train --config FILE`.

Needs neither an installed tapnet nor tyro nor rich, so it runs on a bare GPU machine; settings on
its command line need tyro.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from tapnet.train import Status

PLAIN_SECONDS = 15.0  # between two lines where there is no terminal


def run(argv: Sequence[str]) -> None:
    """Trains or judges as the arguments say. Raises as `config.read` and `train` do."""
    parser = _parser()
    known, settings = parser.parse_known_args(argv)
    if known.help:
        parser.print_help()
        if known.config is None:
            return
        settings = ["--help"]
    if known.config is None:
        raise ValueError("expected --config FILE, such as tapnet/configs/tapnet_config.py")
    from tapnet import config
    from tapnet.faults import wide_enough
    from tapnet.train import train as train_run

    with wide_enough():
        chosen = config.override(config.read(known.config), settings)
    with _telling() as tell:
        train_run(chosen, known.mode, tell)


def train() -> None:
    """Train a model as a config file says, or go on with a run that was stopped.

    For example:
      tapnet train --config tapnet/configs/tapnet_config.py:smoke
      tapnet train --config tapnet/configs/tapir_config.py --optim.lr 5e-4 --budget 12h
      tapnet train --config tapnet/configs/tapnet_config.py --mode eval

    Settings of the config are changed by their names; `--config FILE --help` lists them.
    """
    run(["--help"])


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _parser() -> _Parser:
    parser = _Parser(
        "tapnet train",
        usage="tapnet train --config FILE[:VARIANT] [--mode MODE] [settings]",
        description=inspect.getdoc(train),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("-h", "--help", action="store_true", help="with --config: all its settings")
    parser.add_argument("--config", metavar="FILE[:VARIANT]", help="a Python file that gives a Run")
    parser.add_argument(
        "--mode",
        choices=["train", "eval", "train_and_eval"],
        default="train_and_eval",
        help="eval judges the weights of a run and trains nothing (default: train_and_eval)",
    )
    return parser


@contextlib.contextmanager
def _telling() -> Iterator[Any]:
    """Shows how far a training is, and what it says, on stderr; in the first process only."""
    logger = logging.getLogger("tapnet")
    if int(os.environ.get("RANK", 0)) > 0:
        yield None
        return
    teller = _Bar() if sys.stderr.isatty() and find_spec("rich") else _Lines()
    handler = _Handler(teller)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield teller
    finally:
        teller.close()
        logger.removeHandler(handler)


class _Handler(logging.Handler):
    def __init__(self, teller: _Lines) -> None:
        super().__init__()
        self._teller = teller

    def emit(self, record: logging.LogRecord) -> None:
        self._teller.say(self.format(record))


class _Lines:
    """A line now and then."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def __call__(self, status: Status) -> None:
        now = time.monotonic()
        if now - self._last >= PLAIN_SECONDS or status.step == status.steps:
            self._last = now
            self.say(f"step {status.step} of {status.steps}: {_described(status)}")

    def close(self) -> None:
        pass


class _Bar(_Lines):
    """A bar in a terminal, and under it what is measured."""

    _task: Any = None

    def __init__(self) -> None:
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.text import Text

        done = TextColumn("step {task.completed} of {task.total}")
        self._bar = Progress(done, BarColumn(None), expand=True)
        self._under = Text()
        self._group = Group
        self._live = Live(console=Console(stderr=True), get_renderable=self._shown)

    def _shown(self) -> Any:
        return self._group(self._bar.get_renderable(), self._under)

    def say(self, text: str) -> None:
        self._live.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def __call__(self, status: Status) -> None:
        if self._task is None:
            self._task = self._bar.add_task("", total=status.steps)
            self._live.start()
        self._bar.update(self._task, completed=status.step)
        self._under.plain = _described(status)

    def close(self) -> None:
        self._live.stop()


def _described(status: Status) -> str:
    terms = " ".join(f"{name} {value:.3g}" for name, value in status.terms.items())
    minutes, seconds = divmod(round(status.seconds_left), 60)
    skipped = f", {status.skipped} steps skipped" if status.skipped else ""
    return (
        f"loss {status.loss:.4g} ({terms}), {status.clips_per_second:.2f} clips/s, "
        f"{100 * status.waiting:.0f}% waiting for clips, "
        f"{minutes // 60}:{minutes % 60:02}:{seconds:02} left{skipped}"
    )


if __name__ == "__main__":  # the folder of this file is first on the path: not what it should be
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from tapnet.faults import exit_code

    sys.exit(exit_code(lambda: run(sys.argv[1:])))
