"""The code in the README runs as it stands."""

import re
from pathlib import Path

import pytest

import tapnet
from tapnet import video

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("code", BLOCKS, ids=lambda code: code.strip().splitlines()[-1][:40])
def test_readme_code_runs(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = video.open(Path(tapnet.__file__).parent / "demo_clip" / "bigbuckbunny.mp4")
    video.write(tmp_path / "video.mp4", clip.read(0, 20), clip.fps)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    if "draw" in code:
        assert (tmp_path / "tracked.mp4").stat().st_size > 10_000
    if "54,699,335" in code:
        assert capsys.readouterr().out.strip() == "54699335"


def test_the_readme_has_code_to_run() -> None:
    assert len(BLOCKS) >= 3


def test_every_file_the_readme_points_to_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert link.startswith("http") or (ROOT / link).exists(), link


def test_nothing_in_the_readme_waits_to_be_filled_in() -> None:
    assert not re.search(r"@[A-Z]+@|TODO|TBD", (ROOT / "README.md").read_text())
