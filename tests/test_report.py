"""The report: one page that needs nothing else, says its protocol everywhere, and tells no lies."""

from __future__ import annotations

import base64
import csv
import html.parser
import io
import pickle
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tapnet.data import open_dataset
from tapnet.evaluate import evaluate
from tapnet.evaluate.page import clips, find_runs, svg, write_report
from tapnet.evaluate.page.svg import Axis, Series
from tapnet.structs import Prediction

T, H, W = 12, 48, 64


class Drift:
    """Says that every point moves on by the same step."""

    resolution = None
    online = False

    def __init__(self, step: float) -> None:
        self.step = step

    def __call__(self, video: torch.Tensor, query_points: torch.Tensor) -> Prediction:
        since = torch.arange(video.shape[1]) - query_points[:, :, :1]
        xy = query_points[:, :, [2, 1]][:, :, None].repeat(1, 1, video.shape[1], 1)
        xy[..., 0] += self.step * since
        return Prediction(xy, torch.full(xy.shape[:3], -2.0) + 0.1 * since.abs())


@dataclass
class Tracker:
    model: Drift
    name: str
    resolution: tuple[int, int] | None = None


def clip(speed: float) -> dict[str, np.ndarray]:
    """Three points that move right at a speed; the last is hidden for two frames."""
    x = np.array([10.0, 20, 30])[:, None] + speed * np.arange(T)
    occluded = np.zeros((3, T), bool)
    occluded[2, 4:6] = True
    return {
        "video": np.full((T, H, W, 3), 90, np.uint8),
        "points": np.stack([x / W, np.full((3, T), 0.5)], axis=-1),
        "occluded": occluded,
    }


NAMES = ("slow", "fast <b>&", "faster")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "clips_1.pkl"
    speeds = (0.1, 1.0, 2.0)
    path.write_bytes(pickle.dumps(dict(zip(NAMES, map(clip, speeds), strict=True))))
    return path


@pytest.fixture
def runs(dataset: Path, tmp_path: Path) -> Path:
    steps = {"still": 0.0, "drift_&": 8.0}  # pixels at 256x256: right for the fastest
    for name, step in steps.items():
        evaluate(dataset, Tracker(Drift(step), name), out=tmp_path / "runs" / name)
    return tmp_path / "runs"


def written(runs: Path, out: Path, **options: object) -> tuple[str, list[str]]:
    missing = write_report(find_runs([runs]), out, **options)  # type: ignore[arg-type]
    return (out / "report.html").read_text(encoding="utf-8"), missing


class Page(html.parser.HTMLParser):
    """What a page refers to, and whether every element is closed."""

    VOID = ("meta", "br", "rect", "circle", "path", "polygon")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.refers: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.refers += [v or "" for k, v in attrs if k in ("src", "href", "poster", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.mark.parametrize("hidden", [True, False])
def test_a_run_without_anything_to_judge_has_a_report(tmp_path: Path, hidden: bool) -> None:
    frames = T if hidden else 1
    some = {name: value[:, :frames] for name, value in clip(1).items() if name != "video"}
    some["occluded"] = np.full_like(some["occluded"], hidden)
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": {**some, "video": clip(1)["video"][:frames]}}))
    evaluate(path, Tracker(Drift(1), "drift"), out=tmp_path / "runs" / "drift")
    text, _ = written(tmp_path / "runs", tmp_path / "report")
    assert "drift" in text


def test_the_page_needs_nothing_else(runs: Path, tmp_path: Path) -> None:
    text, missing = written(runs, tmp_path / "report")
    page = Page(text)
    assert missing == []
    assert page.open == []
    assert len(page.refers) == 2 * 2 * 2  # a film and its poster, of two videos of two trackers
    assert all(reference.startswith("data:") for reference in page.refers)
    assert "<script" not in text
    assert "@import" not in text
    assert re.findall(r"https?://[^\s\"']+", text.replace("http://www.w3.org/2000/svg", "")) == []


def test_names_of_strangers_are_words_not_markup(runs: Path, tmp_path: Path) -> None:
    text, _ = written(runs, tmp_path / "report")
    assert "fast <b>" not in text
    assert "fast &lt;b&gt;&amp;" in text
    latex = (tmp_path / "report" / "table.tex").read_text()
    assert r"drift\_\& & " in latex
    assert r"clips\_1" in latex
    for path in (tmp_path / "report" / "plots").iterdir():
        ElementTree.fromstring(path.read_text(encoding="utf-8"))


def test_every_table_and_plot_says_its_protocol(runs: Path, dataset: Path, tmp_path: Path) -> None:
    text, _ = written(runs, tmp_path / "report")
    digest = find_runs([runs])[0][1].protocol.dataset_sha256
    said = f"Protocol: clips_1 (tapvid), sha256 {digest[:16]}; first; tracked both ways"
    plots = list((tmp_path / "report" / "plots").iterdir())
    assert len(plots) == text.count("<figcaption>") - 4 >= 7
    # Every figure, the tables of scores, of comparisons and of videos, and the films.
    assert text.count(said) == len(plots) + 4
    for path in plots:
        assert digest[:16] in path.read_text(encoding="utf-8")
    assert digest[:16] in (tmp_path / "report" / "table.tex").read_text()
    for name in ("scores.csv", "videos.csv"):
        rows = list(csv.DictReader(io.StringIO((tmp_path / "report" / name).read_text())))
        assert {row["dataset_sha256"] for row in rows} == {digest}
        assert {row["query_mode"] for row in rows} == {"first"}


def test_the_tables_hold_the_scores(runs: Path, tmp_path: Path) -> None:
    text, _ = written(runs, tmp_path / "report")
    found = {result.protocol.model: result for _, result in find_runs([runs])}
    rows = list(csv.DictReader(io.StringIO((tmp_path / "report" / "scores.csv").read_text())))
    for row in rows:
        mean = found[row["model"]].mean[row["score"]]
        assert float(row["value"] or "nan") == pytest.approx(mean.value, nan_ok=True)
        assert int(row["videos"]) == mean.count
    videos = list(csv.DictReader(io.StringIO((tmp_path / "report" / "videos.csv").read_text())))
    assert [row["video"] for row in videos] == [*NAMES, *NAMES]
    assert float(videos[0]["average_jaccard"]) == pytest.approx(
        found["drift_&"].rows[0].scores["average_jaccard"]
    )
    latex = (tmp_path / "report" / "table.tex").read_text()
    for result in found.values():
        jaccard = f"{100 * result.mean['average_jaccard'].value:.1f}"
        assert jaccard in latex
        assert jaccard in text
    assert "scores times 100 over 3 videos." in latex  # of three no interval is told


def test_rows_of_two_protocols_are_told_apart_everywhere(
    runs: Path, dataset: Path, tmp_path: Path
) -> None:
    evaluate(dataset, Tracker(Drift(0), "still"), resolution="native", out=runs / "native")
    text, _ = written(runs, tmp_path / "report", clips=0)
    models = [result.protocol.model for _, result in find_runs([runs])]
    assert models == ["drift_&", "still (native, none)", "still (256x256, lanczos)"]
    warning = "ot one protocol, scores do not compare directly: resolution: 256x256 (drift_&amp;, "
    assert f'<p class="warning">N{warning}' in text
    latex = (tmp_path / "report" / "table.tex").read_text()
    assert "not one protocol" in latex
    assert "textbf" not in latex  # none is called the best
    assert 'class="best">' not in text.partition("Which is better")[0]
    assert "not one protocol" in (tmp_path / "report" / "plots" / "1-within.svg").read_text()


def test_runs_that_only_their_folders_tell_apart_are_named_by_them(
    runs: Path, dataset: Path
) -> None:
    evaluate(dataset, Tracker(Drift(0), "still"), resolution="native", out=runs / "native")
    evaluate(dataset, Tracker(Drift(0), "still"), out=runs / "twice")
    models = [result.protocol.model for _, result in find_runs([runs])]
    assert len(set(models)) == 4
    assert f"still (256x256, lanczos, {runs / 'twice'})" in models
    assert "still (native, none)" in models


def test_results_of_two_query_modes_stand_in_two_sections(
    runs: Path, dataset: Path, tmp_path: Path
) -> None:
    evaluate(dataset, Tracker(Drift(0), "still"), query_mode="strided", out=runs / "strided")
    text, _ = written(runs, tmp_path / "report", clips=0)
    assert text.count("<section>") == 2
    assert "query mode first</h2>" in text
    assert "query mode strided</h2>" in text
    assert {path.name[0] for path in (tmp_path / "report" / "plots").iterdir()} == {"1", "2"}


def test_the_films_show_the_worst_videos_with_truth_and_prediction(
    runs: Path, tmp_path: Path
) -> None:
    found = {result.protocol.model: result for _, result in find_runs([runs])}
    assert clips.worst(found["still"], "average_jaccard", 2) == ["faster", "fast <b>&"]
    assert clips.worst(found["drift_&"], "average_jaccard", 1) == ["slow"]
    text, _ = written(runs, tmp_path / "report", clips=1)
    films = re.findall(r'src="data:video/mp4;base64,([^"]+)"', text)
    assert len(films) == 2
    with av.open(io.BytesIO(base64.b64decode(films[1]))) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == T
    assert frames[0].shape == (288, 384, 3)
    # `still` on `faster`: the truth of point 0 has moved on to x = 30 of 64, a white ring; what
    # is said is still at x = 10, a red disc, and a line between them.
    scale, last = 384 / W, frames[10].astype(int)
    ring = last[144 - 8 : 144 + 8, int(30 * scale) - 8 : int(30 * scale) + 8]
    disc = last[144 - 2 : 144 + 2, int(10 * scale) - 2 : int(10 * scale) + 2].mean((0, 1))
    assert ring.min(axis=-1).max() > 180
    assert disc[0] > 150
    assert disc[1:].max() < 110
    assert abs(last[40:90] - 90).max() < 12  # elsewhere the video is as it was


def test_without_films_no_frame_is_in_the_page(runs: Path, tmp_path: Path) -> None:
    text, missing = written(runs, tmp_path / "report", clips=0)
    assert "data:" not in text
    assert missing == []


def test_speed_is_told_but_not_where_it_says_nothing(runs: Path, tmp_path: Path) -> None:
    told, _ = written(runs, tmp_path / "told")
    assert ">frames/s<" in told
    assert (tmp_path / "told" / "plots" / "1-speed.svg").exists()
    silent, _ = written(runs, tmp_path / "silent", speed=False)
    assert "frames/s" not in silent
    assert ">memory<" in silent
    assert not (tmp_path / "silent" / "plots" / "1-speed.svg").exists()
    lines = list(csv.DictReader((tmp_path / "silent" / "scores.csv").open()))
    assert {line["frames_per_second"] for line in lines} == {""}


def test_a_dataset_that_was_moved_is_told_and_can_be_named(
    runs: Path, dataset: Path, tmp_path: Path
) -> None:
    moved = dataset.rename(tmp_path / "elsewhere.pkl")
    text, (reason,) = written(runs, tmp_path / "report")
    assert f"no clips of clips_1: it is no longer at {dataset}; name it with --dataset" == reason
    assert "data:" not in text
    named = [open_dataset(moved)]
    text, missing = written(runs, tmp_path / "report", datasets=named)
    assert missing == []
    assert "data:video/mp4" in text
    dataset.write_bytes(pickle.dumps({"other": clip(0.0)}))
    _, (reason,) = written(runs, tmp_path / "report")
    assert "has changed since" in reason


def test_folders_without_runs_are_refused(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing: expected a folder of `tapnet evaluate"):
        find_runs([runs / "nothing", runs])
    (runs / "still" / "result.json").write_text("{")
    with pytest.raises(ValueError, match=r"still: damaged result"):
        find_runs([runs])
    with pytest.raises(ValueError, match="runs: expected one or more, got none"):
        write_report([], tmp_path / "report")


# --------------------------------------------------------------------------- charts

UNIT = Axis("x", 0, 10, [(0, "0"), (10, "10")])


def numbers(pattern: str, text: str) -> np.ndarray:
    return np.array(re.findall(pattern, text), float)


def test_a_chart_puts_numbers_where_its_axes_say() -> None:
    x = y = np.array([0.0, 5.0, 10.0])
    text = svg.lines([Series("a", 0, x, y)], UNIT, UNIT).svg()
    dots = numbers(r'cx="([\d.]+)" cy="([\d.]+)"', text)
    np.testing.assert_allclose(dots[1], (dots[0] + dots[2]) / 2)
    assert dots[0][0] < dots[2][0]
    assert dots[0][1] > dots[2][1]  # up is more
    log = svg.log_axis("x", 1, 16)
    assert [name for _, name in log.ticks] == ["1", "2", "4", "8", "16"]
    np.testing.assert_allclose(log.place(np.array([1, 2, 4, 16, 99])), [0, 0.25, 0.5, 1, 1])


def test_a_gap_in_a_series_is_no_dot_and_shifts_no_note() -> None:
    y = np.array([1.0, np.nan, 3.0])
    one = Series("a", 0, np.array([0.0, 1, 2]), y, notes=["first", "second", "third"])
    text = svg.lines([one], UNIT, UNIT).svg()
    assert text.count("<circle") == 2
    assert "second" not in text
    assert text.index("first") < text.index("third")


def test_bars_are_as_long_as_their_values() -> None:
    text = svg.bars([("a", 0, 4.0, "4"), ("b", 1, 1.0, "1"), ("c", 2, np.nan, "-")], "x").svg()
    widths = numbers(r'width="([\d.]+)" height="14"', text)
    assert widths[0] == pytest.approx(4 * widths[1], abs=0.5)
    assert widths[2] == 0


def test_a_legend_of_many_takes_more_rows_and_colours_begin_again_with_dashes() -> None:
    x = np.array([1.0, 2.0])
    few, many = (
        svg.lines([Series(f"tracker {i}", i, x, x) for i in range(n)], UNIT, UNIT) for n in (2, 9)
    )
    assert many.height > few.height
    assert "stroke-dasharray" not in few.svg()
    assert "stroke-dasharray" in many.svg()


def test_the_results_of_the_project_are_small_and_show_no_frame() -> None:
    """The clips that they were taken on may not be passed on."""
    folder = Path(__file__).parents[1] / "docs" / "results"
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} == {".md", ".html", ".svg", ".csv", ".tex"}
    assert sum(file.stat().st_size for file in files) < 3e6
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert "data:" not in text, file
        assert "<image" not in text, file
    page = (folder / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\((?!http)([^)]+)\)", page):
        assert (folder / name).exists(), name
    lines = csv.DictReader((folder / "scores.csv").open(encoding="utf-8"))
    shown = {(line["dataset"], line["model"], line["score"]): line["value"] for line in lines}
    for name in ("still", "klt", "flow", "flow-multi", "sfm", "cycle", "taplite"):
        score = 100 * float(shown["scenes-24", name, "average_jaccard"])
        row = rf"^\| `{name}` \| \**{score:.1f}\** \("
        assert re.search(row, page, re.MULTILINE), name
