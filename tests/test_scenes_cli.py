"""`tapnet scenes ...`: files, messages, exit codes."""

import errno
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tapnet import cli
from tapnet.data import shards, tapvid, validation
from tapnet.scenes_cli import SCENES

Run = Callable[..., tuple[int, str, str]]
SMALL = ("--frames", "2", "--size", "32x48")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `tapnet scenes ARGS`; its exit code, stdout and stderr."""

    def run(*args: object) -> tuple[int, str, str]:
        code = cli.main(["scenes", *(str(arg) for arg in args)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.parametrize("name", list(SCENES))
def test_every_command_has_an_example_that_it_understands(name: str, run: Run) -> None:
    code, out, err = run(name, "--help")
    assert (code, err) == (0, "")
    examples = re.findall(rf"^  tapnet (scenes {name}.*)$", out, re.MULTILINE)
    assert examples
    for example in examples:
        assert callable(cli._parse(example.split()))


def test_the_group_lists_its_commands(run: Run) -> None:
    for args in ([], ["--help"]):
        code, out, _ = run(*args)
        assert code == 0
        assert all(re.search(rf"• {name}\b", out) for name in SCENES)
    code, out, err = run("rendr")
    assert (code, out) == (2, "")
    assert "Available subcommands: render" in err


def test_render_writes_shards_and_goes_on(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "new" / "clips"
    args = ("render", out, *SMALL, "--points", "4", "--samples", "1", "--workers", "0")
    assert run(*args, "--count", "2")[:2] == (0, f"rendered 2 of 2 clips into {out}\n")
    told = f"rendered 0 of 2 clips into {out}, the others were there\n"
    assert run(*args, "--count", "2")[:2] == (0, told)
    first, _ = shards.read(out)
    assert first.video.shape == (2, 32, 48, 3)
    assert first.target_points.shape == (4, 2, 2)
    code, _, err = run(*args, "--count", "2", "--seed", "1")
    assert code == 2
    assert "seed = 0, asked was 1; take another folder" in err


def test_what_cannot_be_rendered_is_one_line(run: Run, tmp_path: Path) -> None:
    for change, message in [
        (("--size", "32"), "size: expected HEIGHTxWIDTH"),
        (("--frames", "0"), "frames: at least 1"),
        (("--frames", "1000000000"), "frames of 8 GB at most, since a clip is held in memory"),
        (("--workers", "-1"), "workers: expected 0 or more processes, got -1"),
        (("--pack", tmp_path / "none"), "found no such folder; make a pack with"),
    ]:
        code, out, err = run("render", tmp_path / "clips", "--workers", "0", *change)
        assert (code, out) == (2, ""), change
        assert message in err
        assert err.count("\n") == 1


def test_a_folder_without_clips_is_nobodys(run: Run, tmp_path: Path) -> None:
    args = ("render", tmp_path / "clips", *SMALL, "--workers", "0")
    assert run(*args, "--count", "0")[0] == 0
    assert run(*args, "--count", "1", "--seed", "1")[0] == 0


def test_a_full_disk_is_told_with_what_was_kept(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "the disk is full; 3 finished shards are kept", "clips")

    monkeypatch.setattr(shards, "write", full)
    code, _, err = run("render", tmp_path / "clips", "--workers", "0")
    assert (code, err) == (2, "tapnet: clips: the disk is full; 3 finished shards are kept\n")


def test_assets_builds_a_pack_that_renders(run: Run, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / "images" / "noise.png"), noise)
    pack = tmp_path / "pack"
    code, out, err = run("assets", pack, "--sources", "none", "--textures", tmp_path / "images")
    assert code == 0
    lines = json.loads((pack / "manifest.json").read_text())
    assert out == (
        f"wrote {pack}: {len(lines)} items, listed with their licences in manifest.json\n"
    )
    assert "1 items, 0 left out" in err
    args = ("--count", "1", *SMALL, "--workers", "0", "--pack", pack)
    assert run("render", tmp_path / "clips", *args)[0] == 0
    code, _, err = run("assets", pack, "--sources", "deb:nothing")
    assert code == 2
    assert "no source 'deb:nothing'" in err


def test_stats_describe_clips_side_by_side(run: Run, tmp_path: Path) -> None:
    render = ("render", tmp_path / "clips", *SMALL, "--count", "2", "--workers", "0")
    assert run(*render)[0] == 0
    tapvid.write(tmp_path / "same.pkl", shards.read(tmp_path / "clips"))
    code, out, err = run("stats", tmp_path / "clips", tmp_path / "same.pkl", "--count", "0")
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split() == ["clips", "same.pkl"]
    table = {row[:24].strip(): [float(cell) for cell in row[24:].split()] for row in rows}
    assert table["clips"] == [2, 2]
    shares = [table[name][0] for name in ("visible", "occluded", "outside")]
    assert sum(shares) == pytest.approx(1, abs=2e-3)
    shutil.copytree(tmp_path / "clips", tmp_path / "b" / "clips")
    code, out, _ = run("stats", tmp_path / "clips", tmp_path / "b" / "clips", "--count", "0")
    assert len(out.splitlines()[-1][24:].split()) == 2  # also where two have one name
    code, _, err = run("stats", "--count", "0")
    assert code == 2
    assert "expected clips to describe" in err
    code, out, _ = run("stats", "--count", "1", *SMALL, "--workers", "0")
    assert code == 0
    assert "scenes, default" in out


def test_validation_tells_the_hashes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(out: Path, pack: Path | None, **_: object) -> dict[str, str]:
        assert pack is None
        return {"scenes-24.pkl": "abc"}

    monkeypatch.setattr(validation, "write", small)
    code, out, _ = run("validation", tmp_path)
    assert (code, out) == (0, f"wrote {tmp_path / 'scenes-24.pkl'}, SHA-256 abc\n")
