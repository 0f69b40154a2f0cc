"""What a training run is, as data: a config file gives a `Run`, the command line changes it.

A config is a Python file with `get_config() -> Run`; its docstring says which paper it follows, the
command, how long it takes and what it scores. Other functions of the file that return a Run are its
variants: `--config tapir_config.py:smoke` calls `smoke()`. Settings on the command line are spelt
and typed against the dataclasses here: `--optim.lr 1e-3`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import json
import math
import runpy
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_type_hints

from tapnet.data.augment import Augment

Score = Literal["average_jaccard", "average_pts_within_thresh", "occlusion_accuracy"]


@dataclass(frozen=True)
class Data:
    """The clips to train on. Clip i depends on the seed and on i alone."""

    shards: tuple[Path, ...] = ()  # folders made by `tapnet scenes render`
    kubric: Path | None = None  # a folder of MOVi-E or MOVi-F TFRecords, panning or not
    # Without either, scenes are rendered while training, by the next three settings.
    preset: Literal["default", "wild"] = "default"  # mix of scenes
    pack: Path | None = None  # made by `tapnet scenes assets`; None = the shipped one
    samples: int = 4  # moments averaged into each frame rendered
    size: tuple[int, int] = (256, 256)  # (height, width) of the clips
    frames: int = 24  # of each clip rendered
    points: int = 256  # tracks of each clip rendered or taken from Kubric
    workers: int | None = None  # processes that prepare clips; 0 = none beside, None = one per CPU
    prefetch: int = 2  # batches that each of them keeps ready


@dataclass(frozen=True)
class Optim:
    """AdamW on a linear warm-up, perhaps a plateau, and a cosine to zero. SPEC 10.2."""

    lr: float = 1e-3  # the highest learning rate
    warmup: int = 1000  # steps from zero to it
    hold: float = 0.0  # share of the steps after the warm-up that stay at it before the cosine
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    lr_scale: dict[str, float] = field(default_factory=dict)  # module -> factor; 0 freezes it
    clip_norm: float = 0.0  # longest gradient; longer ones are shortened to it; 0 or -1 = none are
    batch: int = 8  # clips a step, over all processes
    accumulate: int = 1  # parts of a batch computed one after another, for less memory
    ema: float = 0.0  # decay of the average of the weights that is judged and kept; 0 = none
    bfloat16: bool = False  # compute so on a GPU; a CPU always uses float32
    compile: bool = False  # let torch.compile make the model faster
    channels_last: bool = False  # layout of images in memory; often faster on a GPU


@dataclass(frozen=True)
class Evaluation:
    """How the model is judged while it is trained."""

    every: int = 5000  # steps between two evaluations; 0 = only at the end
    clips: int = 20  # of the synthetic validation set, rendered into the run's folder; 0 = none
    datasets: tuple[Path, ...] = ()  # pickles in the layout of TAP-Vid
    query_mode: Literal["first", "strided"] = "first"
    videos: int = 2  # clips of the first dataset painted, prediction beside truth
    score: Score = "average_jaccard"  # whose mean over the first dataset tells the best weights


@dataclass(frozen=True)
class Checkpoints:
    """What is kept of a run, so that nothing is lost."""

    minutes: float = 5.0  # between two checkpoints
    every: int = 0  # steps between two checkpoints; 0 = by the clock alone
    keep: int = 3  # the last so many
    shard_mb: float = 15.0  # largest file of a checkpoint


@dataclass(frozen=True)
class Run:
    """One training."""

    out: Path  # folder of the run; a run that is there goes on where it stopped
    model: Any  # the settings of a model say which model it is
    loss: str = "tapir"  # of tapnet.train.LOSSES
    data: Data = Data()
    augment: Augment | None = None  # None = clips are shown as they are
    optim: Optim = Optim()
    evaluation: Evaluation = Evaluation()
    checkpoint: Checkpoints = Checkpoints()
    steps: int = 100_000  # after which training ends
    seed: int = 0  # of the first weights and of the clips
    init: Path | None = None  # weights to start from
    device: str = "auto"  # cpu, cuda, or what torch calls the device
    budget: str | None = None  # stop cleanly before this time is over: 540s, 90m, 12h
    log_every: int = 10  # steps between two lines of the log

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the videos that the model is shown, and judged at."""
        return self.data.size if self.augment is None else self.augment.size


CONFIGS = Path(__file__).parent / "configs"


def read(config: str | Path) -> Run:
    """The Run of a config file, or of its variant: `FILE` or `FILE:VARIANT`.

    The file is a program and is run. Raises FileNotFoundError, or ValueError naming what there is.
    """
    path, variant = _split(str(config))
    if not path.is_file():
        shipped = ", ".join(sorted(p.name for p in CONFIGS.glob("*_config.py")))
        raise FileNotFoundError(
            f"{path}: no such config; give a Python file with get_config(), such as those in "
            f"{CONFIGS}: {shipped}"
        )
    if path.suffix != ".py":
        raise ValueError(f"{path}: expected a Python file (.py) with get_config(), got another")
    content = runpy.run_path(str(path))
    variants = {name: made for name, made in content.items() if _returns_run(made)}
    if variant not in variants:
        there = ", ".join(":" + name for name in variants if name != "get_config") or "none"
        raise ValueError(
            f"{path}: expected a function {variant}() -> Run in it, found none; "
            f"its variants are: {there}"
        )
    run = variants[variant]()
    if not isinstance(run, Run):
        raise ValueError(f"{path}: {variant}() must return a Run, got {type(run).__name__}")
    return run


def _split(config: str) -> tuple[Path, str]:
    path, colon, variant = config.rpartition(":")
    if colon and variant.isidentifier():
        return Path(path), variant
    return Path(config), "get_config"


def _returns_run(made: Any) -> bool:
    if not inspect.isfunction(made) or inspect.signature(made).parameters:
        return False
    return made.__annotations__.get("return") in ("Run", Run) or made.__name__ == "get_config"


def override(run: Run, args: Sequence[str], program: str = "tapnet train") -> Run:
    """`run` with settings as on a command line: `["--optim.lr", "1e-3"]`.

    Raises ValueError for a setting that is not there, naming those that are, and for a value of
    the wrong type. `--help` among them prints all settings and raises SystemExit.
    """
    if not args:
        return run
    tyro = _tyro()
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            changed, unknown = tyro.cli(
                Run,
                default=run,
                args=list(args),
                prog=program,
                description="Settings of this run; a config sets them, these change them.",
                return_unknown_args=True,
                config=(tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff),
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise ValueError(_without_frame(said.getvalue())) from None
    if unknown:
        raise ValueError(_no_such_setting(run, unknown[0]))
    return cast(Run, changed)


def _tyro() -> Any:
    try:
        import tyro
    except ImportError as error:
        raise ValueError(
            "settings on the command line need the package tyro: install it, or write a config "
            "file with these settings, which needs nothing"
        ) from error
    return tyro


def _no_such_setting(run: Run, argument: str) -> str:
    """Names the choices in the deepest part of `run` that the argument still fits."""
    if not argument.startswith("--"):
        return f"expected settings such as --optim.lr 1e-3, got {argument!r}"
    part: Any = run
    inside = "--"
    for name in argument.removeprefix("--").split("=")[0].replace("-", "_").split("."):
        inner = getattr(part, name, None) if name in _names(part) else None
        if not is_dataclass(inner):
            break
        part, inside = inner, f"{inside}{name}."
    choices = ", ".join(inside + name for name in _names(part))
    return f"no setting {argument.split('=')[0]}: there are {choices}"


def _names(part: Any) -> list[str]:
    return [one.name for one in dataclasses.fields(part)]


def _without_frame(text: str) -> str:
    """tyro's message without its box; the repeated help text is left out."""
    lines = [line.strip("│ ") for line in text.splitlines()]
    kept = [line for line in lines if line and not set(line) & set("╭╰─")]
    return " ".join(kept).split(" Argument helptext:")[0]


_MOST = sys.float_info.max  # no number is larger, nor is it infinite
_RANGES: tuple[tuple[float, float, str], ...] = (  # of each number of a setting that has several
    (1, _MOST, "steps log_every optim.batch optim.accumulate checkpoint.keep"),
    (1, _MOST, "data.size data.frames data.points data.samples data.prefetch"),
    (1, _MOST, "augment.size augment.points augment.max_stride"),
    (2, _MOST, "augment.frames"),
    (0, _MOST, "seed data.workers optim.lr optim.warmup optim.weight_decay optim.lr_scale"),
    (0, _MOST, "evaluation.every evaluation.clips evaluation.videos checkpoint.every"),
    (0, math.inf, "checkpoint.minutes"),
    (0.0001, 1e6, "checkpoint.shard_mb"),
    (0, 0.999999, "optim.betas"),
    (0, 1, "optim.hold optim.ema augment.reverse augment.late_query augment.view augment.elastic"),
    (0, 1, "augment.flip augment.upside_down augment.color augment.gray augment.blur"),
    (0, 1, "augment.noise augment.faint augment.jpeg augment.erase augment.published_color"),
    (0.01, 100, "augment.zoom"),
)
_CHOICES = "data.preset", "evaluation.query_mode"


def check(run: Run) -> None:
    """Raises ValueError for a setting that is out of its range or none of its choices."""
    for least, most, names in _RANGES:
        for name in names.split():
            value = _setting(run, name)[1]
            if not all(least <= number <= most for number in _numbers(value)):
                wanted = f"{least} or more" if most >= _MOST else f"{least} to {most:g}"
                raise ValueError(f"{name}: expected {wanted}, got {value!r}")
    if run.augment is not None and run.augment.zoom[0] > run.augment.zoom[1]:
        raise ValueError(f"augment.zoom: expected the smaller first, got {run.augment.zoom}")
    for name in _CHOICES:
        part, value = _setting(run, name)
        choices = get_args(get_type_hints(type(part))[name.rpartition(".")[2]])
        if value not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


def _setting(run: Run, name: str) -> tuple[Any, Any]:
    """The part of the run that holds a setting, and its value: None where there is no such part."""
    part: Any = None
    value: Any = run
    for one in name.split("."):
        part, value = value, getattr(value, one, None)
    return part, value


def _numbers(value: Any) -> Sequence[float]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, Sequence):
        return value
    return () if value is None else (value,)


def seconds(budget: str) -> float:
    """A duration such as 540s, 90m or 12h in seconds."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(budget[-1:])
    with contextlib.suppress(ValueError):
        if unit is not None and (number := float(budget[:-1])) > 0:
            return number * unit
    raise ValueError(f"budget: expected a duration such as 540s, 90m or 12h, got {budget!r}")


def to_json(run: Run) -> str:
    """All settings, to be read by people and compared by machines."""
    model = {"settings": type(run.model).__name__, **dataclasses.asdict(run.model)}
    return json.dumps({**dataclasses.asdict(run), "model": model}, indent=1, default=str) + "\n"


def changes(old: dict[str, Any], new: dict[str, Any], inside: str = "") -> Iterator[str]:
    """The settings that differ between two runs as `to_json` gives them: `steps: 10 -> 20`."""
    for name in {**old, **new}:
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from changes(a, b, f"{inside}{name}.")
        elif a != b:
            yield f"{inside}{name}: {a} -> {b}"
