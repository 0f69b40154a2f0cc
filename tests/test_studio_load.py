"""Many annotators on a server that is killed: a short run of benchmarks/studio_load.py."""

import subprocess
import sys
from pathlib import Path

import postgres
import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "studio_load.py"


@pytest.mark.parametrize("options", [["--kills", "2"], ["--database", "postgres", "--kills", "1"]])
def test_no_edit_is_lost_by_many_annotators_and_kills(options: list[str]) -> None:
    if "postgres" in options:
        postgres.initdb()  # skips the test where there is none
    short = ["--seconds", "3", "--annotators", "6", "--workers", "0"]
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), *short, *options],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert "0 errors, 0 lost, 0 doubled" in done.stdout, done.stdout + done.stderr[-2000:]
    assert done.returncode == 0
    assert "36 edits" in done.stdout
