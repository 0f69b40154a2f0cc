import errno
import json
import os
import pickle
import re
import runpy
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import fill
import numpy as np
import pytest
import torch
import vectors

import tapnet
from tapnet import cli, draw, progress, tracker, video
from tapnet.data import tapvid
from tapnet.tracks import Tracks

REPOSITORY = Path(__file__).parents[1]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `tapnet ARGS`; its exit code, stdout and stderr, with no progress however slow it is."""
    monkeypatch.setattr(progress, "QUIET_SECONDS", 1e6)

    def run(*args: object) -> tuple[int, str, str]:
        code = cli.main([str(arg) for arg in args])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 5 frames of 64x48: noise that moves 2 px right a frame."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 24, 3), dtype=np.uint8)
    big = noise.repeat(4, axis=0).repeat(4, axis=1)
    path = tmp_path_factory.mktemp("clip") / "noise.mp4"
    video.write(path, [big[:, 16 - 2 * t : 80 - 2 * t] for t in range(5)], 10)
    return path


def names(folder: Path) -> list[str]:
    """Everything in a folder, hidden and temporary files too."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# ------------------------------------------------------------------------------------- help


def test_the_page_of_the_command_line_is_current() -> None:
    pinned = re.search("^tyro==(.*)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE)
    if pinned and version("tyro") != pinned[1]:
        pytest.skip(f"the page is what tyro {pinned[1]} writes; another version is installed")
    tool = runpy.run_path(str(REPOSITORY / "tools" / "write_cli_docs.py"))
    page = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == tool["text"](), "run python tools/write_cli_docs.py"


def test_the_page_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = runpy.run_path(str(REPOSITORY / "tools" / "write_cli_docs.py"))
    before = tool["text"]()
    monkeypatch.setenv("COLUMNS", "200")
    assert tool["text"]() == before


@pytest.mark.parametrize("columns", ["0", "1", "9", "30"])
def test_help_is_written_for_a_narrow_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    code, out, err = run("track", "--help")
    assert (code, err) == (0, "")
    assert "--points" in out
    code, out, err = run("track", "clip.mp4", "--modle", "klt")
    assert code == 2
    assert "--modle" in err
    assert os.environ["COLUMNS"] == columns


def test_a_name_that_the_terminal_cannot_spell_is_written_all_the_same(
    clip: Path, tmp_path: Path
) -> None:
    path = tmp_path / "фильм.mp4"
    shutil.copy(clip, path)
    done = subprocess.run(
        [sys.executable, "-m", "tapnet", "track", path, "--model", "still", "--out", tmp_path],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u0444" in done.stdout
    assert (tmp_path / "фильм-tracks.mp4").exists()


@pytest.mark.skipif(not hasattr(select, "poll"), reason="cannot be known here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("word", ["models", "--help", "--version"])
def test_nothing_is_said_to_who_reads_no_more(word: str, unbuffered: str) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "tapnet", word],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_has_an_example_that_it_understands(name: str, run: Run) -> None:
    code, out, err = run(name, "--help")
    assert (code, err) == (0, "")
    examples = re.findall(rf"^  tapnet ({name}.*)$", out, re.MULTILINE)
    assert examples
    for example in examples:
        words = re.findall(r'"[^"]*"|\S+', example)
        assert callable(cli._parse([word.strip('"') for word in words]))


def test_the_version_is_told(run: Run) -> None:
    assert run("--version") == (0, f"tapnet {tapnet.__version__}\n", "")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Expected one of"),
        (["trak"], "Available subcommands: track"),
        (["track"], "VIDEO"),
        (["track", "a.mp4", "--point", "x"], "--points"),
        (["track", "a.mp4", "--start", "x"], "--start"),
        (["track", "a.mp4", "--save", "gif"], "npz"),
    ],
)
def test_arguments_that_are_wrong_are_one_line(args: list[str], message: str, run: Run) -> None:
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert err.startswith("tapnet: ")
    assert err.count("\n") == 1
    assert message in err


# ------------------------------------------------------------------------------------- commands


def test_track_writes_what_the_tracker_says(run: Run, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    formats = ["npz", "csv", "pkl", "mp4"]
    code, said, err = run("track", clip, "--points", "grid:3", "--save", *formats, "--out", out)
    assert (code, err) == (0, "")
    assert names(out) == sorted(f"noise-tracks.{suffix}" for suffix in formats)
    assert all(str(out / name) in said for name in names(out))
    assert "taplite: 9 points through 5 frames of 64x48" in said
    expected = tapnet.load().track(clip, "grid:3")
    read = Tracks.load(out / "noise-tracks.npz")
    np.testing.assert_array_equal(read.xy, expected.xy)
    painted, plain = video.open(out / "noise-tracks.mp4"), video.open(clip)
    assert (len(painted), painted.size, painted.fps) == (5, (48, 64), plain.fps)
    assert np.abs(painted.read().astype(int) - plain.read()).max() > 100


def test_track_takes_a_part_and_another_resolution(run: Run, clip: Path, tmp_path: Path) -> None:
    args = ["--points", "3,20,30", "--start", 2, "--stop", 4, "--resolution", "96x96"]
    code, _, _ = run("track", clip, *args, "--save", "npz", "--out", tmp_path)
    assert code == 0
    tracks = Tracks.load(tmp_path / "noise-tracks.npz")
    assert (tracks.start, tracks.stop) == (2, 4)
    np.testing.assert_allclose(tracks.xy[0], [[28, 20], [30, 20]], atol=0.3)


def test_track_reads_a_folder_of_images(run: Run, clip: Path, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "frames").mkdir()
    for t, frame in enumerate(video.open(clip)):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{t}.png")
    code, _, _ = run("track", tmp_path / "frames", "--points", "grid:2", "--out", tmp_path)
    assert code == 0
    assert {"frames-tracks.npz", "frames-tracks.mp4"} <= set(names(tmp_path))


def test_the_video_itself_is_never_overwritten(run: Run, clip: Path, tmp_path: Path) -> None:
    own = Path(shutil.copy(clip, tmp_path / "noise.mp4"))
    before = own.read_bytes()
    run("track", own, "--points", "grid:2", "--out", tmp_path)
    assert own.read_bytes() == before


def test_a_format_that_fails_loses_no_other(
    run: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error", "noise-tracks.mp4")

    monkeypatch.setattr(Tracks, "draw", full)
    args = ["--points", "grid:2", "--model", "still", "--out", tmp_path]
    code, said, err = run("track", clip, *args, "--save", "mp4", "pkl", "csv")
    assert (code, err) == (2, "tapnet: noise-tracks.mp4: Input/output error\n")
    assert names(tmp_path) == ["noise-tracks.csv", "noise-tracks.pkl"]
    assert said.count("wrote") == 2

    def large(*_: object, **__: object) -> None:
        raise MemoryError("4 GiB")

    monkeypatch.setattr(Tracks, "save", large)
    code, said, err = run("track", clip, *args, "--save", "mp4", "pkl")
    first, second = err.splitlines()
    assert (code, said.count("wrote")) == (2, 0)
    assert "Input/output error" in first + second
    assert "not enough memory" in first + second


def test_what_could_not_be_written_is_told_before_any_work(
    run: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tapvid, "LARGEST", 9 * 48 * 64)
    args = ["--points", "grid:2", "--model", "still", "--out", tmp_path, "--save", "pkl", "npz"]
    code, said, err = run("track", clip, *args)
    assert (code, said, names(tmp_path)) == (2, "", [])
    assert "save as .npz or .csv, or track fewer frames" in err
    assert run("track", clip, *args, "--start", "2", "--stop", "4")[0] == 0
    (tmp_path / "noise-tracks.mp4").mkdir()
    code, said, err = run("track", clip, *args[:-2], "mp4")
    assert (code, said) == (2, "")
    assert "noise-tracks.mp4: expected a file or nothing there, got a folder" in err


def test_tracks_are_written_though_nobody_reads_what_is_said(clip: Path, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "tapnet", "track", clip, "--model", "still", "--out", tmp_path],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
    assert names(tmp_path) == ["noise-tracks.mp4", "noise-tracks.npz"]


def test_a_failure_is_told_though_nobody_reads_what_is_said(clip: Path, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    for unbuffered in ("", "1"):
        done = subprocess.run(
            [sys.executable, "-c", FAILS, "track", clip, "--model", "still", "--out", tmp_path],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
        )
        assert (done.returncode, done.stderr) == (2, b"tapnet: noise-tracks.mp4: worn out\n")
    os.close(write)


FAILS = """
import sys
from tapnet import cli, tracks

def draw(*given):
    raise OSError(5, "worn out", "noise-tracks.mp4")

tracks.Tracks.draw = draw
sys.exit(cli.main())
"""


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["track", ""], "expected no empty argument, got one at place 2"),
        (["track", "https://example.com/v.mp4"], "addresses are not read"),
        (["track", "file:///a.mp4"], "addresses are not read"),
        (["track", "a.mp4", "--points=" + "0,1,2;" * 60, "--modle", "x"], "options: --modle"),
        (["onnx", "./-dash.mp4"], "expected a folder to write into, got a file"),
        (["track", "-dash.mp4"], "To name the file -dash.mp4, write ./-dash.mp4"),
    ],
)
def test_names_that_are_no_paths_are_told(
    args: list[str], message: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-dash.mp4").touch()
    code, said, err = run(*args)
    assert (code, said, err.count("\n")) == (2, "", 1)
    assert message in err


def test_models_lists_every_name_and_the_default_first(run: Run) -> None:
    from tapnet.baselines import BASELINES, ON_FEATURES
    from tapnet.models import MODELS

    code, out, _ = run("models")
    listed = [line.split()[0] for line in out.split("\n\n")[0].splitlines()]
    assert code == 0
    assert listed[0] == tracker.DEFAULT
    assert sorted(listed) == sorted([*BASELINES, *ON_FEATURES, *MODELS])


@pytest.fixture(scope="session")
def haiku_tapnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TAP-Net checkpoint in the layout that was published, with weights made by `fill`."""
    tree: dict[str, dict[str, dict[str, np.ndarray]]] = {"params": {}, "state": {}}
    for part, modules in tree.items():
        listed = json.loads((vectors.SHIPPED / f"names/haiku_tapnet_{part}.json").read_text())
        for name, array in fill.fill_all(listed["shapes"]).items():
            module, leaf = name.rsplit("/", 1)
            modules.setdefault(module, {})[leaf] = array
    path = tmp_path_factory.mktemp("published") / "theirs.npy"
    np.save(path, np.array(tree, dtype=object), allow_pickle=True)
    return path


def test_published_weights_are_converted_and_track(
    run: Run, clip: Path, haiku_tapnet: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "ours.safetensors"
    code, said, err = run("convert", haiku_tapnet, weights)
    assert (code, err) == (0, "")
    assert f"wrote {weights}: tapnet" in said
    args = ["--model", weights, "--resolution", "64x64", "--points", "grid:2", "--stop", 3]
    code, said, err = run("track", clip, *args, "--device", "cpu", "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    assert "ours: 4 points through 3 frames of 64x48" in said
    assert names(tmp_path / "out") == ["noise-tracks.mp4", "noise-tracks.npz"]
    tracks = Tracks.load(tmp_path / "out" / "noise-tracks.npz")
    assert tracks.xy.shape == (4, 3, 2)
    published = tapnet.load(haiku_tapnet, "cpu", (64, 64))
    expected = published.track(clip, "grid:2", stop=3)
    np.testing.assert_array_equal(tracks.xy, expected.xy)


def test_whether_weights_are_causal_is_said_or_left_to_their_name(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tapnet import checkpoint, models

    asked: list[bool | None] = []

    def published(path: Path, causal: bool | None = None) -> object:
        asked.append(causal)
        return models.build("tapnet").eval()

    monkeypatch.setattr(checkpoint, "load_published", published)
    for flags in ([], ["--causal"], ["--no-causal"]):
        assert run("convert", "a.npy", tmp_path / "a.safetensors", *flags)[0] == 0
    assert asked == [None, True, False]


def test_demo_tracks_the_clip_that_ships(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = video.open
    monkeypatch.setattr(  # three frames of it: the whole takes seconds
        tracker, "open_video", lambda source: whole(whole(source).read(0, 3), 24)
    )
    code, said, _ = run("demo", "--out", tmp_path)
    assert code == 0
    assert names(tmp_path) == ["demo.mp4", "demo.npz"]
    assert all(str(tmp_path / name) in said for name in names(tmp_path))
    assert Tracks.load(tmp_path / "demo.npz").xy.shape == (256, 3, 2)


# ------------------------------------------------------------------------------------- errors


class Exploit:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("owned",)


def bad(folder: Path, clip: Path) -> dict[str, Path]:
    """Files that are not what they seem."""
    made = {name: folder / name for name in ("text.mp4", "empty.mp4", "none.csv", "file")}
    made["text.mp4"].write_text("not a video, whatever its name says\n" * 100)
    made["empty.mp4"].touch()
    made["none.csv"].write_text("# no points\n")
    made["file"].touch()
    for name in ("exploit.pkl", "raw.npy", "exploit.pt"):
        made[name] = folder / name
        made[name].write_bytes(pickle.dumps(Exploit()))
    np.save(folder / "exploit.npy", np.array(Exploit(), dtype=object), allow_pickle=True)
    made["cut.mp4"] = folder / "cut.mp4"
    made["cut.mp4"].write_bytes(clip.read_bytes()[:300])
    return made


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("track nowhere.mp4", "nowhere.mp4: no such file"),
        ("track text.mp4", "text.mp4"),
        ("track empty.mp4", "empty.mp4"),
        ("track cut.mp4", "cut.mp4"),
        ("track CLIP --points 0,49,3", "y in 0..48 and x in 0..64"),
        ("track CLIP --points 0,nan,3", "finite"),
        ("track CLIP --points 9,3,3", "t in 0..4"),
        ("track CLIP --points none.csv", "expected one or more, got none"),
        ("track CLIP --points nowhere.csv", "nowhere.csv: no such file"),
        ("track CLIP --points grid:q", "grid:16"),
        ("track CLIP --model kltt", "no model 'kltt': there are"),
        ("track CLIP --model tapir", "give the path to published weights"),
        ("track CLIP --model exploit.npy", "exploit.npy"),
        ("track CLIP --model raw.npy", "raw.npy"),
        ("track CLIP --model exploit.pt", "exploit.pt"),
        ("track CLIP --model nowhere.npy", "nowhere.npy: no such file"),
        ("track CLIP --start 5", "0 <= start < stop <= 5"),
        ("track CLIP --resolution 2by3", "HEIGHTxWIDTH such as 256x384 or one number, got '2by3'"),
        ("track CLIP --save", "save: expected one or more of npz, csv, pkl, mp4, got none"),
        (
            "track CLIP --points raw.npy",
            "expected numbers as numpy writes them",
        ),
        ("convert . a.safetensors", ".: expected a file of weights, got a folder"),
        ("track CLIP --device tpu", "no device 'tpu'"),
        ("track CLIP --out file", "file: expected a folder to write into"),
        ("track CLIP --out file/deeper", "Not a directory"),
        ("evaluate --dataset exploit.pkl", "exploit.pkl"),
        ("evaluate --dataset nowhere.pkl", "nowhere.pkl: no such file"),
        ("evaluate --dataset text.mp4", "text.mp4"),
        ("convert exploit.npy a.safetensors", "exploit.npy"),
        ("convert exploit.pt a.safetensors", "exploit.pt"),
        ("convert exploit.pt a.npz", "name ending in .safetensors"),
        ("convert nowhere.npy a.safetensors", "nowhere.npy: no such file"),
        ("convert raw.npy a.safetensors --causal --no-causal", "got both; remove one"),
        ("track CLIP --start soon", "tapnet: --start: expected INT, got 'soon'. For full helptext"),
        ("track CLIP --stop 1.5", "tapnet: --stop: expected INT, got '1.5'. For full helptext"),
        ("track CLIP --stop it's", "Error parsing --stop: no type matching"),
    ],
)
def test_what_a_user_gets_wrong_is_one_clear_line(
    args: str, message: str, run: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bad(tmp_path, clip)
    before = names(tmp_path)
    code, _, err = run(*args.replace("CLIP", str(clip)).split())
    assert code == 2
    assert err.count("\n") == 1, err
    assert err.startswith("tapnet: ")
    assert message in err
    assert names(tmp_path) == before  # nothing written, nothing run


def test_a_full_disk_is_told_and_leaves_nothing(
    run: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = run("track", clip, "--points", "grid:2", "--out", tmp_path)
    assert code == 2
    assert err.startswith("tapnet: no space left on the disk")
    assert err.count("\n") == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("where", ["tracking", "painting"])
def test_ctrl_c_leaves_no_unfinished_file(
    where: str, run: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(frames: Iterator[np.ndarray], *_: object) -> Iterator[np.ndarray]:
        yield from [next(iter(frames))] * 100  # enough for the encoder to write some
        assert any(name.startswith(".noise-tracks") for name in names(tmp_path))
        raise KeyboardInterrupt

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    if where == "painting":
        monkeypatch.setattr(draw, "draw", interrupted)
    else:
        monkeypatch.setattr(progress.Progress, "__call__", stop)
    code, _, err = run("track", clip, "--points", "grid:2", "--out", tmp_path)
    assert (code, err) == (130, "tapnet: stopped; no unfinished file is left behind\n")
    assert names(tmp_path) == (["noise-tracks.npz"] if where == "painting" else [])


def test_a_bug_shows_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy() -> None:
        """Adds arrays that do not fit."""
        np.zeros(2) + np.zeros(3)

    monkeypatch.setitem(cli.COMMANDS, "models", buggy)
    with pytest.raises(ValueError, match="broadcast"):
        cli.main(["models"])


@pytest.mark.parametrize(
    "lack",
    [
        MemoryError("Unable to allocate 74.5 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
    ids=["numpy", "cpu", "gpu"],
)
def test_a_lack_of_memory_is_one_line(
    lack: Exception, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large() -> None:
        """Asks for more than there is."""
        raise lack

    monkeypatch.setitem(cli.COMMANDS, "models", large)
    code, out, err = run("models")
    assert (code, out) == (2, "")
    assert err.startswith("tapnet: not enough memory; ask for fewer points, fewer frames or a ")
    assert err.count("\n") == 1
    assert str(lack) in err


def test_another_error_while_running_shows_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy() -> None:
        """Multiplies what does not fit."""
        torch.zeros(2, 3) @ torch.zeros(2, 3)

    monkeypatch.setitem(cli.COMMANDS, "models", buggy)
    with pytest.raises(RuntimeError, match="shapes"):
        cli.main(["models"])


def test_debugging_shows_where_a_users_error_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPNET_DEBUG", "1")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        cli.main(["track", "nowhere.mp4"])


def test_warnings_of_a_video_are_told(run: Run, tmp_path: Path, clip: Path) -> None:
    cut = tmp_path / "cut.mkv"
    video.write(cut, list(video.open(clip)) * 12, 10)
    content = cut.read_bytes()
    cut.write_bytes(content[: len(content) * 2 // 3])
    code, _, err = run("track", cut, "--points", "grid:2", "--save", "npz", "--out", tmp_path)
    assert code == 0
    assert err.startswith("tapnet: warning: ")


# ------------------------------------------------------------------------------------- progress


def test_progress_is_silent_for_short_work_and_plain_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.Progress("tracking") as bar:
        for done in range(1, 21):
            now[0] = 100 + done
            bar(done, 20)
    assert capsys.readouterr().err.splitlines() == [
        f"tracking: {done} of 20 frames, 1.0 frames/s" for done in (5, 10, 15, 20)
    ]
    with progress.Progress("tracking") as bar:
        now[0] += 1.9
        bar(20, 20)
    assert capsys.readouterr().err == ""


def test_progress_is_a_bar_in_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress.Progress("tracking") as bar:
        now[0] = 104.0
        bar(20, 20)
    said = capsys.readouterr().err
    assert "20/20 frames, 5.0 frames/s" in said


@pytest.mark.parametrize("terminal", [False, True])
def test_work_that_follows_the_last_unit_is_told_when_it_takes_long(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with progress.Progress("reading", then="thinking") as bar:
        bar(3, 3)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.01)
    said = ""
    with progress.Progress("reading", then="thinking") as bar:
        for done in (1, 2, 3):
            bar(done, 3)
            said += capsys.readouterr().err if done < 3 else ""
        assert "thinking" not in said
        deadline = time.monotonic() + 5
        while "thinking (3 frames) ..." not in said and time.monotonic() < deadline:
            time.sleep(0.01)
            said += capsys.readouterr().err
    assert "thinking (3 frames) ..." in said


def test_progress_tells_reading_from_tracking_a_whole_clip(
    run: Run, clip: Path, haiku_tapnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0)
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0)
    args = ["--points", "grid:2", "--stop", 2, "--save", "npz", "--out", tmp_path]
    model = ["--model", haiku_tapnet, "--device", "cpu", "--resolution", "64x64"]
    whole = run("track", clip, *args, *model)[2].splitlines()
    assert [line.split(",")[0] for line in whole] == [
        "reading: 1 of 2 frames",
        "reading: 2 of 2 frames",
        "tracking through the whole clip at once (2 frames) ...",
    ]
    by_frame = run("track", clip, *args)[2].splitlines()
    assert by_frame[-1].startswith("tracking: 2 of 2 frames")
    assert not any("whole clip" in line for line in by_frame)
