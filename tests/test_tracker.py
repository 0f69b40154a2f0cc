from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import tapnet
from tapnet import video as video_io
from tapnet.baselines.klt import KLT
from tapnet.geometry import fitted
from tapnet.stream import prepare
from tapnet.structs import Prediction
from tapnet.tracker import Tracker, load

HEIGHT, WIDTH = 48, 64


def moving_texture(frames: int = 6, seed: int = 0) -> np.ndarray:
    """[T, H, W, 3] uint8: a smooth random texture that moves 2 px right and 1 px down a frame."""
    generator = np.random.default_rng(seed)
    coarse = torch.from_numpy(generator.random((1, 3, 24, 24)))
    big = torch.nn.functional.interpolate(coarse, (96, 112), mode="bicubic")[0]
    big = (big.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    views = [big[20 - t : 20 - t + HEIGHT, 30 - 2 * t : 30 - 2 * t + WIDTH] for t in range(frames)]
    return np.stack(views)


class Recorder:
    """An offline model that remembers what it was given and says that nothing moves."""

    online = False

    def __init__(self, resolution: tuple[int, int] | None = None) -> None:
        self.resolution = resolution
        self.given: tuple[Tensor, Tensor] | None = None

    def __call__(self, video: Tensor, query_points: Tensor) -> Prediction:
        self.given = video, query_points
        count = video.shape[1]
        xy = query_points[:, :, None, [2, 1]].expand(-1, -1, count, -1)
        return Prediction(xy, torch.full(xy.shape[:3], -3.0))


QUERIES = np.array([[0, 20, 20], [3, 25.5, 40.25], [5, 30, 30], [3, 10, 12]], np.float32)


def test_tracking_a_file_frame_by_frame_is_tracking_the_whole_clip() -> None:
    frames = moving_texture()
    said = KLT()(torch.from_numpy(frames)[None], torch.from_numpy(QUERIES)[None])
    tracks = load("klt").track(frames, QUERIES)
    np.testing.assert_array_equal(tracks.xy, said.tracks[0].numpy())
    np.testing.assert_array_equal(tracks.visible, said.visible[0].numpy())
    np.testing.assert_allclose(tracks.confidence, said.confidence[0].numpy(), atol=1e-6)
    np.testing.assert_array_equal(tracks.query_points, QUERIES)
    assert tracks.xy.dtype == np.float32
    assert (tracks.size, tracks.start) == ((HEIGHT, WIDTH), 0)


def test_a_point_is_followed_both_ways_from_its_frame() -> None:
    tracks = load("klt").track(moving_texture(), [[3, 25, 40]])
    expected = [[40 + 2 * (t - 3), 25 + (t - 3)] for t in range(6)]
    np.testing.assert_allclose(tracks.xy[0], expected, atol=0.1)
    assert tracks.visible.all()


def test_a_video_file_gives_what_its_frames_give(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    video_io.write(path, moving_texture(), 10)
    from_file = load("klt").track(path, QUERIES)
    from_array = load("klt").track(video_io.open(path).read(), QUERIES)
    np.testing.assert_array_equal(from_file.xy, from_array.xy)
    assert from_file.fps == pytest.approx(10)


@pytest.mark.parametrize("name", ["klt", "recorder"])
def test_times_count_the_frames_of_the_whole_file_also_in_a_part(name: str) -> None:
    model = Recorder()
    tracker = load("klt") if name == "klt" else Tracker(model, "recorder")
    frames = moving_texture()
    part = tracker.track(frames, [[3, 25, 40]], start=2, stop=5)
    assert (part.start, part.stop, part.xy.shape) == (2, 5, (1, 3, 2))
    assert part.query_points.tolist() == [[3, 25, 40]]
    alone = tracker.track(frames[2:5], [[1, 25, 40]])
    np.testing.assert_array_equal(part.xy, alone.xy)
    with pytest.raises(ValueError, match=r"t, the first number, a whole frame 2\.\.4, got t = 1"):
        tracker.track(frames, [[1, 25, 40]], start=2, stop=5)


def test_a_grid_is_on_the_first_frame_tracked() -> None:
    tracks = load("klt").track(moving_texture(), "grid:2", start=4)
    assert tracks.query_points[:, 0].tolist() == [4, 4, 4, 4]
    tracks = load("klt").track(moving_texture(), "grid:2@5", start=4)
    assert tracks.query_points[:, 0].tolist() == [5, 5, 5, 5]


def test_an_offline_model_sees_its_resolution_and_the_caller_gets_his_pixels() -> None:
    model = Recorder(resolution=(24, 16))
    tracks = Tracker(model, "recorder", model.resolution).track(moving_texture(), [[1, 12, 32]])
    assert model.given is not None
    seen, asked = model.given
    assert seen.shape == (1, 6, 24, 16, 3)
    assert seen.dtype == torch.uint8
    assert asked.tolist() == [[[1, 6, 8]]]  # 12 * 24 / 48, 32 * 16 / 64
    np.testing.assert_array_equal(tracks.xy[0], [[32, 12]] * 6)
    assert tracks.visible.all()
    expected = float(torch.sigmoid(torch.tensor(3.0)))
    np.testing.assert_allclose(tracks.confidence, expected, rtol=1e-6)


def test_a_model_without_resolution_sees_the_frames_as_they_are() -> None:
    model, frames = Recorder(), moving_texture()
    Tracker(model, "recorder").track(frames, [[1, 12, 32]])
    assert model.given is not None
    np.testing.assert_array_equal(model.given[0][0].numpy(), frames)


def test_no_points_give_no_tracks() -> None:
    for tracker in (load("klt"), Tracker(Recorder(), "recorder")):
        tracks = tracker.track(moving_texture(), np.zeros((0, 3)))
        assert tracks.xy.shape == (0, 6, 2)


def test_progress_ends_at_its_total() -> None:
    for tracker in (load("klt"), Tracker(Recorder(), "recorder")):
        done, total = [], []

        def progress(now: int, of: int, done: list = done, total: list = total) -> None:
            done.append(now)
            total.append(of)

        tracker.track(moving_texture(), QUERIES, progress=progress)
        assert done == list(range(1, len(done) + 1))
        assert total == [done[-1]] * len(done)


def test_frames_that_no_query_needs_are_not_read() -> None:
    calls: list[int] = []
    load("klt").track(moving_texture(), [[0, 9, 9]], progress=lambda n, _: calls.append(n))
    assert calls == [1, 2, 3, 4, 5, 6]  # all forward; nothing is before the query
    calls.clear()
    load("klt").track(moving_texture(), [[2, 9, 9]], progress=lambda n, _: calls.append(n))
    assert calls == [1, 2, 3, 4, 5, 6]  # its own frame counts once


class Unmovable(video_io.Video):
    """A video that may be streamed and never be read whole."""

    def __init__(self, frames: np.ndarray) -> None:
        self.size, self.fps, self.warnings = frames.shape[1:3], 25.0, []
        self.times, self._all = np.arange(len(frames)) / 25, frames

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        raise AssertionError("read at once")

    def frames_backward(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        yield from self._all[start:stop][::-1]

    def _decode(self, start: int, stop: int) -> Iterator[np.ndarray]:
        yield from self._all[start:stop]


def test_an_online_model_never_holds_the_video() -> None:
    frames = moving_texture()
    streamed = load("klt").track(Unmovable(frames), QUERIES)
    np.testing.assert_array_equal(streamed.xy, load("klt").track(frames, QUERIES).xy)


# ------------------------------------------------------------------------------------- streams


def test_a_stream_says_what_track_says() -> None:
    frames, points = moving_texture(), [[20, 20], [25, 40]]
    tracks = load("klt").track(frames, [[0, *yx] for yx in points])
    stream = load("klt").stream((HEIGHT, WIDTH))
    ids = stream.add(points)  # before the first frame: points of the first frame
    for t, frame in enumerate(frames):
        now = stream.step(frame)
        np.testing.assert_array_equal(now.ids, ids)
        np.testing.assert_array_equal(now.xy, tracks.xy[:, t])
        np.testing.assert_array_equal(now.visible, tracks.visible[:, t])
        np.testing.assert_array_equal(now.confidence, tracks.confidence[:, t])


def test_points_come_and_go_and_the_others_never_notice() -> None:
    frames = moving_texture()
    stream, alone = load("klt").stream((HEIGHT, WIDTH)), load("klt").stream((HEIGHT, WIDTH))
    first = stream.add([[20, 20], [25, 40]])
    alone.add([[25, 40]])
    stream.step(frames[0])
    alone.step(frames[0])
    later = stream.add([[30, 30]])
    np.testing.assert_array_equal(stream.now.xy[-1], [30, 30])
    stream.step(frames[1])
    alone.step(frames[1])
    stream.drop(first[:1])
    assert stream.now.ids.tolist() == [1, 2]
    newest = stream.add([[10, 12]])
    assert [*first, *later, *newest] == [0, 1, 2, 3]  # 0 is gone and not used again
    for frame in frames[2:]:
        now = stream.step(frame)
        np.testing.assert_array_equal(now.xy[:1], alone.step(frame).xy)
    assert now.ids.tolist() == [1, 2, 3]
    np.testing.assert_allclose(now.xy[1], [30 + 2 * 5, 30 + 5], atol=0.1)


def test_points_dropped_before_the_first_frame_never_start() -> None:
    stream = load("klt").stream((HEIGHT, WIDTH))
    ids = stream.add([[20, 20], [25, 40]])
    stream.drop(ids[:1])
    now = stream.step(moving_texture()[0])
    assert now.ids.tolist() == [1]
    assert now.xy.tolist() == [[40, 25]]


def test_a_stream_without_points_waits() -> None:
    stream = load("klt").stream((HEIGHT, WIDTH))
    for frame in moving_texture():
        assert stream.step(frame).xy.shape == (0, 2)
    stream.add([])
    stream.drop([])
    assert len(stream.now.ids) == 0


def test_a_stream_answers_in_the_callers_pixels_at_any_resolution() -> None:
    frames = moving_texture()
    stream = load("klt", resolution=(2 * HEIGHT, 3 * WIDTH)).stream((HEIGHT, WIDTH))
    stream.add([[25, 34]])
    for t, frame in enumerate(frames):
        now = stream.step(frame)
        np.testing.assert_allclose(now.xy[0], [34 + 2 * t, 25 + t], atol=0.2)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((HEIGHT, WIDTH + 1, 3), np.uint8),
        np.zeros((HEIGHT, WIDTH), np.uint8),
        np.zeros((HEIGHT, WIDTH, 3), np.float32),
        None,
    ],
)
def test_a_frame_that_does_not_fit_is_refused_and_the_stream_goes_on(frame: np.ndarray) -> None:
    frames = moving_texture()
    stream = load("klt").stream((HEIGHT, WIDTH))
    stream.add([[25, 40]])
    stream.step(frames[0])
    with pytest.raises(ValueError, match=r"expected \[48, 64, 3\] uint8"):
        stream.step(frame)
    np.testing.assert_allclose(stream.step(frames[1]).xy[0], [42, 26], atol=0.1)


@pytest.mark.parametrize("points", [[[48.5, 3]], [[3, -1]], [[np.nan, 3]], [[1, 2, 3]], [1, 2]])
def test_points_outside_a_stream_are_refused_and_nothing_is_added(points: list) -> None:
    stream = load("klt").stream((HEIGHT, WIDTH))
    with pytest.raises(ValueError, match=r"points: expected"):
        stream.add(points)
    assert stream.add([[1, 1]]).tolist() == [0]


def test_dropping_an_unknown_point_is_refused() -> None:
    stream = load("klt").stream((HEIGHT, WIDTH))
    ids = stream.add([[1, 1], [2, 2]])
    stream.drop(ids[:1])
    for unknown in (ids[:1], [7]):
        with pytest.raises(ValueError, match=r"ids: .* not among the 1 points followed"):
            stream.drop(unknown)


def test_sizes_and_ids_may_be_whole_numbers_of_any_kind() -> None:
    stream = load("klt").stream((float(HEIGHT), np.int32(WIDTH)))
    ids = stream.add([[1, 1], [2, 2], [3, 3]])
    stream.drop(np.concatenate([[], ids[:1]]))
    stream.drop(np.array([2], object))
    assert stream.now.ids.tolist() == [1]


@pytest.mark.parametrize("ids", [[True, False], [0.7], np.array([False, True])])
def test_a_mask_of_points_is_not_taken_for_their_ids(ids: object) -> None:
    stream = load("klt").stream((HEIGHT, WIDTH))
    stream.add([[1, 1], [2, 2]])
    with pytest.raises(
        ValueError, match=r"ids: expected (whole numbers, got 0\.7|numbers, got bool; give Stream)"
    ):
        stream.drop(ids)
    stream.drop(stream.now.ids[[False, True]])
    stream.drop([])
    assert stream.now.ids.tolist() == [0]


@pytest.mark.parametrize("size", [480, (480.7, 640), ("a", "b"), None, (1, 2, 3), (0, 4)])
def test_a_stream_of_no_size_is_refused(size: object) -> None:
    with pytest.raises(ValueError, match=r"size: expected \(height, width\)"):
        load("klt").stream(size)


def test_a_model_of_whole_clips_does_not_stream() -> None:
    with pytest.raises(ValueError, match="needs the whole clip") as caught:
        Tracker(Recorder(), "recorder").stream((HEIGHT, WIDTH))
    able = str(caught.value).split("take one that can: ")[1].split(", ")
    assert {"taplite", "klt", "flow"} <= set(able)
    assert not {"tapnet", "sfm", "cycle"} & set(able)


# ------------------------------------------------------------------------------------- load


def test_the_package_offers_load() -> None:
    assert tapnet.load("klt").name == "klt"
    assert tapnet.load().name == tapnet.tracker.DEFAULT


def test_names_and_devices_may_be_objects() -> None:
    tracker = tapnet.load(Path("klt"), torch.device("cpu"))
    assert tracker.name == "klt"
    assert tapnet.load("klt", tracker.device).device == torch.device("cpu")


def test_an_unknown_model_names_the_choices() -> None:
    with pytest.raises(ValueError, match=r"no model 'kltt': there are .*klt.*path"):
        load("kltt")


def test_a_model_without_shipped_weights_asks_for_a_path() -> None:
    with pytest.raises(ValueError, match=r"'tapir' has no weights .* path to published weights"):
        load("tapir")


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "tapir.npy", "folder/tapir", "mine.safetensors"):
        with pytest.raises(FileNotFoundError, match=r"no such file; give a file of weights"):
            load(path)


def test_a_file_that_is_no_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"a\.txt: expected weights in .*\.safetensors"):
        load(tmp_path / "a.txt")


@pytest.mark.parametrize(
    "device", ["tpu", "cpu:abc", "cpu:", "cpu:-1", "cpu:5", "cpu:0:0", "cuda:99", "CPU", ""]
)
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match=rf"no device '{device}' .* auto, cpu.*cpu:0"):
        load("klt", device=device)
    assert load("klt", device="cpu:0").device.type == "cpu"


@pytest.mark.parametrize(
    ("size", "resolution", "expected"),
    [
        ((720, 1280), None, (720, 1280)),
        ((720, 1280), (256, 256), (256, 256)),
        ((720, 1280), 256, (192, 336)),
        ((256, 256), 256, (256, 256)),
        ((4, 4000), 64, (16, 2016)),  # no side vanishes
    ],
)
def test_frames_are_fitted_to_a_resolution(size, resolution, expected) -> None:
    assert fitted(size, resolution) == expected


def test_one_number_is_a_resolution_in_the_shape_of_the_frames() -> None:
    model = Recorder()
    tracks = Tracker(model, "recorder", 48).track(moving_texture(), [[1, 12, 32]])
    assert model.given is not None
    assert model.given[0].shape[2:4] == (48, 48)  # sides are multiples of 16
    np.testing.assert_allclose(tracks.xy[0, 1], [32, 12], atol=1e-4)


def test_an_impossible_resolution_is_refused() -> None:
    with pytest.raises(ValueError, match="resolution: expected one or two positive numbers"):
        load("klt", resolution=(0, 5))
    for odd in (32.0, "32", [32], [32, 32, 3], [32, 31.5]):
        with pytest.raises(ValueError, match=r"one or two .* whole ones, got"):
            load("klt", resolution=odd)


def test_a_resolution_may_be_a_list_or_of_numpy() -> None:
    assert load("klt", resolution=[32, 48]).resolution == (32, 48)
    assert load("klt", resolution=np.array([32, 48])).resolution == (32, 48)
    assert load("klt", resolution=np.int64(32)).resolution == 32


def test_what_was_asked_for_stays_when_the_caller_changes_his_array() -> None:
    points = np.array([[0, 12, 32]], np.float32)
    tracks = load("still").track(moving_texture(), points)
    points[:] = 0
    assert tracks.query_points.tolist() == [[0, 12, 32]]


def test_frames_that_cannot_be_written_to_are_copied() -> None:
    """PyTorch warns of tensors that share their memory."""
    frame = moving_texture()[0].copy()
    assert np.shares_memory(prepare(frame, frame.shape[:2], torch.device("cpu")).numpy(), frame)
    frame.setflags(write=False)
    given = prepare(frame, frame.shape[:2], torch.device("cpu")).numpy()
    assert not np.shares_memory(given, frame)
    np.testing.assert_array_equal(given, frame)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0, 49, 3]], "y in 0..48 and x in 0..64"),
        ([[0, 3, float("nan")]], "finite"),
        ([[6, 3, 3]], r"t in 0\.\.5"),
        ([[0.5, 3, 3]], "whole frame"),
        ([[1, 2]], r"\[N, 3\]"),
        (np.array([[1, 2 + 1j, 3]]), "rows of three numbers t,y,x, but they are complex"),
        ("grid:x", "grid:16"),
    ],
)
def test_points_that_are_not_in_the_video_are_refused(points: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load("klt").track(moving_texture(), points)


@pytest.mark.parametrize(("start", "stop"), [(-1, None), (3, 3), (0, 7), (6, None)])
def test_a_part_outside_the_video_is_refused(start: int, stop: int | None) -> None:
    with pytest.raises(ValueError, match=r"0 <= start < stop <= 6"):
        load("klt").track(moving_texture(), "grid:2", start=start, stop=stop)


@pytest.mark.parametrize("part", [{"start": 1.0}, {"stop": 3.0}, {"start": "1"}])
def test_a_part_of_no_whole_frames_is_refused(part: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="start and stop: expected whole numbers"):
        load("klt").track(moving_texture(), "grid:2", **part)


def test_a_file_of_points_may_begin_with_a_blank(tmp_path: Path) -> None:
    for name, t in ((" a.csv", 2), ("a.csv", 1)):
        (tmp_path / name).write_text(f"{t},9,9")
    tracks = load("still").track(moving_texture(), tmp_path / " a.csv")
    assert tracks.query_points[0, 0] == 2


def test_a_text_of_points_may_have_blanks_around_it() -> None:
    tracks = load("still").track(moving_texture(), " grid:2 ", start=3)
    assert tracks.query_points[:, 0].tolist() == [3] * 4
