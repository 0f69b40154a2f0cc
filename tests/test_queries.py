"""Query points: sampled as the reference does, spread evenly, and read with clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import vectors
from test_pickles import told_of_damage

from tapnet import queries

SIZE = (100, 200)
TRACKS = np.arange(3 * 12 * 2, dtype=np.float64).reshape(3, 12, 2)  # x = 24 n + 2 t, y = x + 1
OCCLUDED = np.ones((3, 12), bool)
OCCLUDED[0, [4, 5]] = False
OCCLUDED[1, [0, 5, 10]] = False  # track 2 is never visible


def test_first_asks_on_the_first_visible_frame_and_leaves_out_what_is_never_seen() -> None:
    found = queries.first(TRACKS, OCCLUDED)
    np.testing.assert_array_equal(found.query_points, [[4, 9, 8], [0, 25, 24]])
    np.testing.assert_array_equal(found.trackgroup, [0, 1])
    np.testing.assert_array_equal(found.target_points, TRACKS[:2])


def test_strided_asks_every_fifth_frame_by_frame_then_track() -> None:
    found = queries.strided(TRACKS, OCCLUDED)
    np.testing.assert_array_equal(found.query_points[:, 0], [0, 5, 5, 10])
    np.testing.assert_array_equal(found.trackgroup, [1, 0, 1, 1])
    np.testing.assert_array_equal(found.query_points[1], [5, 11, 10])
    np.testing.assert_array_equal(found.occluded, OCCLUDED[[1, 0, 1, 1]])
    assert len(queries.strided(TRACKS, OCCLUDED, stride=1).query_points) == 5


def test_a_frame_without_a_label_gives_no_query() -> None:
    annotated = np.ones_like(OCCLUDED)
    annotated[0, 4] = annotated[1, 0] = False
    found = queries.first(TRACKS, OCCLUDED, annotated)
    np.testing.assert_array_equal(found.query_points[:, 0], [5, 5])
    np.testing.assert_array_equal(found.annotated, annotated[:2])
    assert len(queries.strided(TRACKS, OCCLUDED, annotated).query_points) == 3


@pytest.mark.parametrize("path", vectors.all_of("query_sampling*.npz"))
def test_sampled_queries_equal_the_reference(path: Path) -> None:
    config, arrays = vectors.read(path)
    labels = arrays["target_points"], arrays["target_occluded"]
    samples = {f"strided{s}": queries.strided(*labels, stride=s) for s in config["strides"]}
    for mode, found in {"first": queries.first(*labels), **samples}.items():
        expected = {n.split("|")[1]: a[0] for n, a in arrays.items() if n.startswith(f"{mode}|")}
        assert expected
        for name, value in expected.items():
            np.testing.assert_array_equal(getattr(found, name), value, err_msg=f"{mode} {name}")


def test_grid_points_are_the_centres_of_equal_cells() -> None:
    points = queries.grid(2, SIZE, t=3)
    np.testing.assert_array_equal(points, [[3, 25, 50], [3, 25, 150], [3, 75, 50], [3, 75, 150]])
    assert queries.grid(0, SIZE).shape == (0, 3)


def test_random_points_follow_their_generator_and_stay_in_the_video() -> None:
    first, again = (
        queries.random(50, SIZE, np.random.default_rng(1), num_frames=4) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    queries.check(first, SIZE, num_frames=4)
    assert set(first[:, 0]) == {0, 1, 2, 3}


def test_points_inside_a_mask_are_distinct_and_reach_all_its_parts() -> None:
    mask = np.zeros(SIZE, bool)
    mask[10:50, 20:60] = mask[60:90, 150:190] = True
    points = queries.inside(mask, 40, t=2)
    t, y, x = points.T
    assert (t == 2).all()
    assert mask[y.astype(int), x.astype(int)].all()
    assert (y % 1 == 0.5).all()
    assert len(np.unique(points, axis=0)) == 40
    for top, left in ((10, 20), (10, 40), (30, 20), (30, 40)):  # quarters of the first square
        assert ((y >= top) & (y < top + 20) & (x >= left) & (x < left + 20)).sum() >= 3
    assert len(np.unique(queries.inside(mask[:12, :22], 4), axis=0)) == 4  # every pixel once
    with pytest.raises(ValueError, match="expected a mask of 5 pixels or more, got one of 4"):
        queries.inside(mask[:12, :22], 5)


# --------------------------------------------------------------------------- what users write

ROWS = np.array([[0, 10.5, 20], [3, 40, 60.25]], np.float32)


def test_rows_and_grids_are_read_from_the_command_line() -> None:
    np.testing.assert_array_equal(queries.parse("0,10.5,20; 3,40,60.25", SIZE), ROWS)
    np.testing.assert_array_equal(queries.parse("grid:16", SIZE), queries.grid(16, SIZE))
    np.testing.assert_array_equal(queries.parse("grid:2@7", SIZE, 8), queries.grid(2, SIZE, 7))


def test_points_come_back_from_every_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,y,x\n0,10.5,20\n3,40,60.25\n")
    (tmp_path / "b.csv").write_text("x,y,t\n20,10.5,0\n60.25,40,3\n")
    (tmp_path / "c.txt").write_text("# the ball\n0 10.5 20\n\n3 40 60.25  # the hand\n")
    (tmp_path / "d.json").write_text(json.dumps(ROWS.tolist()))
    (tmp_path / "e.json").write_text(json.dumps({"query_points": ROWS.tolist()}), "utf-8-sig")
    np.save(tmp_path / "f.npy", ROWS)
    np.savez(tmp_path / "g.npz", anything=ROWS)
    np.savez(tmp_path / "h.npz", query_points=ROWS, xy=np.zeros(3))
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(queries.parse(path, SIZE), ROWS, err_msg=path.name)


SPREADSHEETS = {
    "decimal commas": "0;10,5;20\n3;40;60,25\n",
    "quotes": '"t","y","x"\r\n"0","10.5","20"\r\n"3","40","60.25"\r\n',
    "more columns": "id,t,y,x,name\nb,0,10.5,20,the ball\na,3,40,60.25,\n",
    "empty rows and cells at the end": "\ufefft,y,x,,\n0,10.5,20,,\n,,,,\n3,40,60.25\n,,\n",
    "tabs": "T\tY\tX\n0\t10.5\t20\n3\t40\t60.25\n",
    "a blank after each comma": "0, 10.5, 20\n3, 40, 60.25",
    "signs at the end": "0,10.5,20;\n3 40 60.25 ,",
    "aligned": "\t0\t\t10.5  20\t\n 3\t 40 60.25\t# the hand",
    "commas and blanks": "0,\t10.5,\t20\n3, 40 60.25",
    "quoted commas": 'name,t,y,x,note\n"a, b",0,10.5,20,\n"c",3,40,60.25,"d, e"\n',
    "tabs and decimal commas": "t\ty\tx\n0\t10,5\t20\n3\t40\t60,25\n",
}


@pytest.mark.parametrize("name", SPREADSHEETS)
def test_points_come_from_spreadsheets(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text(SPREADSHEETS[name], encoding="utf-8")
    np.testing.assert_array_equal(queries.parse(tmp_path / "a.csv", SIZE), ROWS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t,y,x\n0,,30,5\n", "line 2 has an empty cell: '0,,30,5'"),
        ("t,y,x\n\n0,10,5,7\n", r"expected three columns t,y,x, got 4 in line 3: '0,10,5,7'"),
        ("0;12,5;", r"got 2 in line 1: '0;12,5'"),
        ("t\ty\tx\n0\t\t12\n", r"line 2 has an empty cell"),
        ('t,y,x\n"0' + "1" * 200_000, "points: expected rows of t,y,x, but field larger"),
        ("t,y,x,name\n0,1,2,a,b", r"expected 4 columns t,y,x,name, got 5 in line 2"),
        ("# the ball\n0 1 two", r"got '0 1 two' in line 2"),
    ],
)
def test_a_row_that_is_no_point_is_named_by_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        queries.parse(tmp_path / "a.csv", SIZE)


def test_no_point_is_a_valid_choice(tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("t,y,x\n")
    (tmp_path / "none.json").write_text("[]")
    for name in ("none.csv", "none.json"):
        assert queries.parse(tmp_path / name, SIZE).shape == (0, 3)
    assert queries.check(np.zeros((0, 3)), SIZE).shape == (0, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got nothing"),
        ("somewhere", "grid:16.*got 'somewhere'"),
        ("grid:many", "got 'grid:many'"),
        ("0,1,2;0,1", "three columns t,y,x, got 2 in row 1"),
        ("0,nan,2", r"finite numbers, got point 0 \(0, nan, 2\)"),
        ("0,1,2;0,101,2", r"y in 0..100 and x in 0..200.*got point 1 \(0, 101, 2\)"),
        ("0,1,-1", r"got point 0 \(0, 1, -1\)"),
        ("5,1,2", r"t in 0..4.*got point 0 \(5, 1, 2\)"),
        ("-1,1,2", r"t in 0..4"),
        ("grid:9@5", r"t in 0..4.*and 76 more"),
    ],
)
def test_what_cannot_be_tracked_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        queries.parse(text, SIZE, 5)


def test_a_point_on_the_rim_of_the_image_is_in_it() -> None:
    assert len(queries.parse("0,0,0;4,100,200", SIZE, 5)) == 2


@pytest.mark.parametrize("suffix", [".json", ".npy", ".npz", ".csv"])
def test_a_file_of_something_else_is_named_in_the_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"points{suffix}"
    with pytest.raises(FileNotFoundError, match="no such file"):
        queries.parse(path, SIZE)
    path.write_bytes(b"\x80not points")
    with pytest.raises(ValueError, match=f"points{suffix}: "):
        queries.parse(path, SIZE)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_damaged_byte_in_a_file_of_numpy_gives_other_points_or_is_named(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"points{suffix}"
    if suffix == ".npy":
        np.save(path, ROWS)
    else:
        np.savez_compressed(path, query_points=ROWS)
    told = told_of_damage(path, lambda path: queries.parse(path, SIZE))
    assert told
    assert all(line.startswith(f"{path}: ") for line in told)


def test_a_file_with_the_suffix_of_another_kind_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    np.savez(tmp_path / "rows.npz", ROWS)
    (tmp_path / "rows.npz").rename(tmp_path / "a.npy")
    (tmp_path / "rows.npy").rename(tmp_path / "b.npz")
    with pytest.raises(ValueError, match=r"a\.npy: expected numbers as numpy writes them"):
        queries.parse(tmp_path / "a.npy", SIZE)
    with pytest.raises(ValueError, match=r"b\.npz: expected an \.npz file"):
        queries.parse(tmp_path / "b.npz", SIZE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "expected JSON, but: maximum recursion"),
        (f"[[0, 1, 1{'0' * 400}]]", "expected rows of three numbers"),
    ],
)
def test_json_that_is_too_much_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.json: .*{message}"):
        queries.parse(tmp_path / "a.json", SIZE)


def test_arrays_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \[N, 3\], rows of t,y,x, got \[2, 2\]"):
        queries.check(ROWS[:, 1:], SIZE)
    with pytest.raises(ValueError, match="three numbers"):
        queries.check([[0, 1, 2], [0, 1]], SIZE)
