"""The command line: `tapnet COMMAND`. Each command parses, calls the library, prints.

What a user got wrong is one line on stderr and exit code 2; Ctrl-C is exit code 130. A bug shows
its traceback, and TAPNET_DEBUG=1 shows it for every error. Importing this module is light: torch
is imported by the command that needs it, so help comes at once.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, arg

import tapnet
from tapnet.cores import leave_busy_cores
from tapnet.data_cli import DATA
from tapnet.evaluate_cli import evaluate, evaluate_3d, report
from tapnet.experiment import run as run_experiment
from tapnet.experiment import train
from tapnet.faults import exit_code, one_line, wide_enough
from tapnet.progress import Progress
from tapnet.scenes_cli import SCENES
from tapnet.studio_cli import STUDIO_USER, studio

if TYPE_CHECKING:
    from tapnet.tracks import Tracks
    from tapnet.video import Video

ModelName = Annotated[
    str | None,
    arg(metavar="NAME|PATH", help_behavior_hint="(default: the first that `tapnet models` lists)"),
]
Resolution = Annotated[
    str | None, arg(metavar="HxW|N", help_behavior_hint="(default: what the model asks for)")
]
Format = Literal["npz", "csv", "pkl", "mp4"]


def track(
    video: Annotated[Positional[Path], arg(metavar="VIDEO")],
    /,
    points: Annotated[str, arg(metavar="POINTS")] = "grid:16",
    model: ModelName = None,
    start: int = 0,
    stop: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: the end)")] = None,
    resolution: Resolution = None,
    device: str = "auto",
    save: tuple[Format, ...] = ("npz", "mp4"),
    out: Annotated[Path, arg(metavar="DIR")] = Path(),
) -> None:
    """Track points through a video and paint them on it.

    For example:
      tapnet track dog.mp4
      tapnet track dog.mp4 --points "0,120.5,300;0,80,40" --save csv mp4 --out results
      tapnet track dog.mp4 --points points.csv --start 30 --stop 90

    Args:
        video: A video file, or a folder of images.
        points: Where to start: "grid:16" (16 x 16 points on the first frame tracked),
            "grid:16@30" (on frame 30), "t,y,x;t,y,x" in frames and pixels, or a file of such rows
            (.csv .txt .json .npy .npz); a first row of the names t, y and x tells another order.
        model: Which tracker: a name that `tapnet models` lists, or a file of weights.
        start: First frame to track; t in the points counts all frames of the video all the same.
        stop: Frame after the last one to track.
        resolution: What frames are resized to for the model, height first; one number N is about
            N x N pixels in the shape of the frames. More finds finer detail, and is slower.
        device: auto, cpu, or what torch calls the device.
        save: What to write: VIDEO-tracks.npz for programs, .csv for spreadsheets, .pkl in the
            layout of TAP-Vid, .mp4 to look at.
        out: Folder to write into; it is made if it is not there.
    """
    from tapnet.video import open as open_video

    clip, tracker = open_video(video), _load(model, device, resolution)
    if not save:
        raise ValueError("save: expected one or more of npz, csv, pkl, mp4, got none")
    prepare_folder(out)
    name = video.resolve().name if video.is_dir() else video.stem
    paths = [out / f"{name}-tracks.{suffix}" for suffix in save]
    _check_places(paths, clip, range(len(clip))[start:stop])
    threads = leave_busy_cores()
    began = time.monotonic()
    with _progress(tracker) as progress:
        tracks = tracker.track(clip, points, start, stop, progress)
    seconds = time.monotonic() - began
    if not len(tracks.xy):
        raise ValueError(f"points: expected one or more, got none in {points}; try grid:16")
    _write(tracks, clip, paths, _described(tracks, tracker.name, seconds, threads))


def models() -> None:
    """List the trackers there are.

    For example:
      tapnet models
    """
    from tapnet.baselines import BASELINES, ON_FEATURES
    from tapnet.checkpoint import shipped
    from tapnet.models import MODELS
    from tapnet.tracker import DEFAULT

    kinds: dict[str, type] = {name: kind for name, (kind, _) in MODELS.items()}
    kinds |= {name: type(baseline()) for name, baseline in BASELINES.items()}
    kinds |= ON_FEATURES
    ready = {*shipped(), *BASELINES, *ON_FEATURES}
    order = sorted(kinds, key=lambda name: (name != DEFAULT, name not in ready, name))
    rows = [
        (name, "ready" if name in ready else "needs weights", _summary(kinds[name]))
        for name in order
    ]
    for name, state, summary in rows:
        print(f"{name:<16}{state:<16}{summary}")
    print("\nA model that needs weights is named by its file: tapnet track VIDEO --model FILE")


def convert(
    checkpoint: Annotated[Positional[Path], arg(metavar="CHECKPOINT")],
    out: Annotated[Positional[Path], arg(metavar="OUT")],
    /,
    causal: FlagCreatePairsOff[bool] = False,
    no_causal: FlagCreatePairsOff[bool] = False,
) -> None:
    """Convert published weights to a file that loads faster and says what it is.

    For example:
      tapnet convert causal_bootstapir_checkpoint.pt causal.safetensors --causal

    Args:
        checkpoint: A published TAP-Net or TAPIR file (.npy, .pt). Nothing in it is run.
        out: The file to write, .safetensors.
        causal: The weights are those of a causal (online) model; without this or --no-causal the
            name of the file decides.
        no_causal: The weights are those of a model of whole clips, whatever the file is called.
    """
    if out.suffix != ".safetensors":
        raise ValueError(f"{out}: expected a name ending in .safetensors, got {out.name}")
    if causal and no_causal:
        raise ValueError("expected --causal or --no-causal, got both; remove one")
    from tapnet.checkpoint import load_published, name_of
    from tapnet.checkpoint import save as save_checkpoint

    model = load_published(checkpoint, causal=causal if causal or no_causal else None)
    save_checkpoint(out, model, source=checkpoint.name)
    print(f"wrote {out}: {name_of(model)}, {sum(p.numel() for p in model.parameters()):,} weights")


def onnx(
    out: Annotated[Positional[Path], arg(metavar="OUT")],
    /,
    model: Annotated[
        str | None, arg(metavar="NAME|FILE", help_behavior_hint="(default: taplite)")
    ] = None,
    size: Annotated[str, arg(metavar="HxW")] = "256x256",
    points: int = 64,
) -> None:
    """Write a taplite as ONNX: a step from frame to frame, and the start of points.

    For example:
      tapnet onnx exported --size 256x256 --points 64

    Args:
        out: Folder for step.onnx and start.onnx.
        model: The shipped taplite, or a file with the weights of one.
        size: Size of the frames, height first; multiples of 16.
        points: How many points the graphs follow; rows that are not needed do no harm.
    """
    from tapnet.deploy import write_onnx

    check_folder(out)
    tracker = _load(model or "taplite", "cpu", None)
    for path in write_onnx(tracker.model, out, size_of(size, "size"), points):
        print(f"wrote {path}: {path.stat().st_size / 1e6:.1f} MB")


def demo(out: Annotated[Path, arg(metavar="DIR")] = Path()) -> None:
    """Track a grid of points through a short clip that comes with the package.

    For example:
      tapnet demo --out /tmp

    Args:
        out: Folder for demo.mp4 (the tracks painted on the clip) and demo.npz (the tracks).
    """
    video = Path(tapnet.__file__).parent / "demo_clip" / "bigbuckbunny.mp4"
    prepare_folder(out)
    tracker, threads = _load(None, "auto", None), leave_busy_cores()
    began = time.monotonic()
    with _progress(tracker) as progress:
        tracks = tracker.track(video, "grid:16", progress=progress)
    said = _described(tracks, tracker.name, time.monotonic() - began, threads)
    _write(tracks, video, [out / "demo.npz", out / "demo.mp4"], said)


def scenes() -> None:
    """Synthetic videos with exact tracks: render them, build their assets, describe them.

    For example:
      tapnet scenes render clips --count 100
      tapnet scenes stats --count 50
    """
    main(["scenes", "--help"])


def data() -> None:
    """Labelled datasets: make them, check that they are whole, list what is read.

    For example:
      tapnet data check tapvid_davis.pkl
      tapnet data list
    """
    main(["data", "--help"])


def studio_user() -> None:
    """Accounts of a studio that others can reach: add, list, remove, new passwords.

    For example:
      tapnet studio-user add maria --role reviewer --folder clips
      tapnet studio-user list --folder clips
    """
    main(["studio-user", "--help"])


COMMANDS: dict[str, Callable[..., None]] = {
    "track": track,
    "models": models,
    "convert": convert,
    "onnx": onnx,
    "evaluate": evaluate,
    "evaluate-3d": evaluate_3d,
    "report": report,
    "train": train,
    "data": data,
    "scenes": scenes,
    "demo": demo,
    "studio": studio,
    "studio-user": studio_user,
}
GROUPS = {"data": DATA, "scenes": SCENES, "studio-user": STUDIO_USER}  # commands of two words


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0, 2 for what the user got wrong, 130 for Ctrl-C."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that it cannot spell is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    if argv == ["--version"]:
        return exit_code(lambda: print(f"tapnet {tapnet.__version__}"))
    return exit_code(lambda: _parse(argv)())


_DESCRIPTION = """Track any point in any video.

`tapnet COMMAND --help` has an example of each command; with TAPNET_DEBUG=1 in
the environment an error shows where it comes from."""


def _parse(argv: Sequence[str]) -> Callable[[], None]:
    """The command with its arguments, not yet run. Raises SystemExit as argument parsers do."""
    if "" in argv:  # which paths would take for this folder
        raise ValueError(
            f"expected no empty argument, got one at place {argv.index('') + 1}; is a variable of "
            "the shell not set?"
        )
    if argv[:1] == ["train"]:  # whose settings only its config knows
        return functools.partial(run_experiment, argv[1:])
    group = argv[0] if argv and argv[0] in GROUPS and len(argv) > 1 else None
    commands, args = (GROUPS[group], argv[1:]) if group else (COMMANDS, argv)
    said, brief = io.StringIO(), args[:1] not in [[name] for name in commands]
    try:
        with contextlib.redirect_stderr(said), wide_enough():
            return tyro.extras.subcommand_cli_from_dict(
                {name: _later(command, brief) for name, command in commands.items()},
                prog=f"tapnet {group}" if group else "tapnet",
                description=inspect.getdoc(COMMANDS[group]) if group else _DESCRIPTION,
                args=args,
            )
    except SystemExit as end:
        if end.code:  # tyro frames its messages; one line of it is enough
            print(f"tapnet: {_brief(said.getvalue())}{_dashed(args)}", file=sys.stderr)
        raise


def _dashed(args: Sequence[str]) -> str:
    """How to name a file that was taken for an option."""
    named = [name for name in args if name.startswith("-") and os.path.lexists(name)]
    return "".join(f" To name the file {name}, write ./{name}" for name in named[:1])


def _brief(message: str) -> str:
    """One line of what tyro says, without its frame, a value's Python and an option's help."""
    lines = [line.strip("│ ") for line in message.splitlines()]
    lines = [line for line in lines if line and not set(line) & set("╭╰─")]
    if len(lines) > 1 and set(lines[1]) == {"-"}:  # the title, where only ASCII can be shown
        lines = [line for line in lines[2:] if set(line) != {"-"}]
    whole = " ".join(lines)
    value = r"(?:[^']*: '([^']*)'|.* from \['([^']*)'\]\. .*)"
    pattern = rf"Error parsing (\S+): {value} Argument helptext: \1 (\S+) .*(For full .*)"
    found = re.fullmatch(pattern, whole)
    if found is None:
        return whole
    option, alone, listed, expected, more = found.groups()
    got = listed if alone is None else alone
    return f"{option}: expected {expected}, got {got!r}. {more}"


def _later(command: Callable[..., None], brief: bool) -> Callable[..., Callable[[], None]]:
    """`command` that only takes its arguments, to be run when parsing is over.

    Its help is the whole docstring with hanging lines joined, or if `brief` the first line.
    """

    @functools.wraps(command)
    def take(*args: Any, **kwargs: Any) -> Callable[[], None]:
        return functools.partial(command, *args, **kwargs)

    text = inspect.cleandoc(command.__doc__ or "")  # as Python keeps it from 3.13 on
    take.__doc__ = text.splitlines()[0] if brief else re.sub(r"\n {8}", " ", text)
    del take.__wrapped__  # tyro would read the docstring of what is wrapped
    take.__signature__ = inspect.signature(command)  # type: ignore[attr-defined]
    take.__annotations__ = get_type_hints(command, include_extras=True)  # of its own module
    return take


def _load(model: str | None, device: str, resolution: str | None) -> tapnet.Tracker:
    from tapnet.tracker import DEFAULT, load

    return load(model or DEFAULT, device, resolution_of(resolution) if resolution else None)


def resolution_of(text: str) -> tuple[int, int] | int:
    """HEIGHTxWIDTH, or N for about N * N pixels in the shape of the frames."""
    if text.isdecimal():
        return int(text)
    try:
        return size_of(text)
    except ValueError as error:
        raise ValueError(
            f"resolution: expected HEIGHTxWIDTH such as 256x384 or one number, got {text!r}"
        ) from error


def size_of(text: str, what: str = "resolution") -> tuple[int, int]:
    """(height, width) from HEIGHTxWIDTH; ValueError names `what` otherwise."""
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise ValueError(f"{what}: expected HEIGHTxWIDTH such as 256x384, got {text!r}")
    return int(height), int(width)


def check_folder(folder: Path) -> None:
    """Raises ValueError where a file is in its place."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder to write into, got a file; choose another")


def prepare_folder(folder: Path) -> None:
    """Fails now rather than after the work if nothing can be written there."""
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:  # names the temporary file
        raise OSError(error.errno, f"{error.strerror}; choose another", str(folder)) from error


def _progress(tracker: tapnet.Tracker) -> Progress:
    """Of tracking; a model of whole clips only starts when every frame is read."""
    if tracker.model.online:
        return Progress("tracking")
    return Progress("reading", then="tracking through the whole clip at once")


def _summary(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _check_places(paths: Sequence[Path], video: Video, part: range) -> None:
    """Raises, before any work, where frames `part` of the video could not be written."""
    from tapnet.export import check_frames
    from tapnet.video.writing import check_size

    for path in paths:
        if path.is_dir():
            raise ValueError(f"{path}: expected a file or nothing there, got a folder; move it")
        if path.suffix == ".pkl":
            check_frames(path, video.size, len(part))
        if path.suffix == ".mp4":
            check_size(path, video.size)


def _described(tracks: Tracks, name: str, seconds: float, threads: int | None) -> str:
    from tapnet.video import width_by_height

    count, frames = tracks.visible.shape
    why = f"; threads: {threads}, as other programs are busy" if threads else ""
    return (
        f"{name}: {count} points through {frames} frames of {width_by_height(tracks.size)} "
        f"in {seconds:.1f} s ({frames / seconds:.1f} frames/s{why})"
    )


def _write(tracks: Tracks, video: Path | Video, paths: Sequence[Path], said: str) -> None:
    """All of them, those without frames first; only then anything is printed or raised."""
    written: list[Path] = []
    failed: list[Exception] = []
    for path in sorted(paths, key=lambda path: path.suffix in (".mp4", ".pkl")):
        try:
            if path.suffix == ".mp4":
                with Progress("painting") as progress:
                    tracks.draw(video, path, progress)
            else:
                tracks.save(path, video)
            written.append(path)
        except Exception as error:
            failed.append(error)
    for line in list(dict.fromkeys(map(one_line, failed)))[1:]:
        print(f"tapnet: {line}", file=sys.stderr)
    try:
        print(said)
        for path in written:
            print(f"wrote {path}")
        for warning in tracks.clip(video).warnings:
            print(f"tapnet: warning: {warning}", file=sys.stderr)
    finally:  # also where nobody reads what is printed
        if failed:
            raise failed[0]
