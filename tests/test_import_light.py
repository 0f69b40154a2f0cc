"""Importing, and asking for help, must not wait for torch."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "cv2", "av", "numba", "scipy", "PIL"}


def modules_after(code: str) -> set[str]:
    """What a fresh interpreter has imported after `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nsys.stderr.write(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


def test_importing_the_package_is_light() -> None:
    assert not modules_after("import tapnet") & {*HEAVY, "tyro", "rich"}


@pytest.mark.parametrize("argv", [["--help"], ["track", "--help"], ["--version"]])
def test_help_does_not_wait_for_torch(argv: list[str]) -> None:
    seen = modules_after(f"from tapnet.cli import main\nassert main({argv}) == 0")
    assert "tapnet.cli" in seen
    assert not seen & HEAVY


def test_tracks_are_read_without_torch() -> None:
    assert "torch" not in modules_after("from tapnet.tracks import Tracks")


def test_weights_are_loaded_without_the_compiler_of_torch() -> None:
    """It takes seconds to import, and some ways to make an empty network import it."""
    seen = modules_after("import tapnet\nfor name in ('taplite', 'tapnet'): tapnet.load(name)")
    assert "torch" in seen
    assert "torch._dynamo" not in seen
