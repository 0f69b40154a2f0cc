"""Kubric's TFRecords and the tracks derived from them, on scenes whose geometry is known."""

import itertools
import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tapnet.data import kubric, kubric_tracks, tfrecord
from tapnet.data.kubric_tracks import Scene
from tapnet.data.sources import KubricClips
from tapnet.data.synthetic import loader

# ------------------------------------------------------------------- writing, as TensorFlow does


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def feature(value: object) -> bytes:
    if isinstance(value, bytes):
        return field(1, field(1, value))
    if isinstance(value, list):
        return field(1, b"".join(field(1, item) for item in value))
    array = np.asarray(value).ravel()
    if array.dtype.kind == "f":
        return field(2, field(1, array.astype("<f4").tobytes()))
    return field(3, field(1, b"".join(varint(int(number)) for number in array)))


def encode(features: dict[str, object]) -> bytes:
    entries = (field(1, name.encode()) + field(2, feature(v)) for name, v in features.items())
    return field(1, b"".join(field(1, entry) for entry in entries))


def slow_crc32c(data: bytes) -> int:
    """Bit by bit, from the definition."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = tfrecord.crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def write(path: Path, records: list[bytes]) -> Path:
    with open(path, "wb") as file:
        for data in records:
            head = struct.pack("<Q", len(data))
            file.write(head + masked(head) + data + masked(data))
    return path


def png(image: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)
    assert done
    return data.tobytes()


def movi(scene: Scene) -> dict[str, object]:
    """The features of a clip as tensorflow-datasets stores MOVi-E."""
    near, far = float(scene.depth.min()), float(scene.depth.max())

    def whole(values: np.ndarray) -> list[bytes]:
        return [png(np.round(frame * 65535).astype(np.uint16)) for frame in values]

    return {
        "metadata/video_name": scene.name.encode(),
        "metadata/depth_range": np.array([near, far], float),
        "metadata/num_frames": np.array([len(scene.video)]),
        "instances/bboxes_3d": scene.boxes,
        "instances/quaternions": scene.quaternions,
        "instances/mass": np.ones(len(scene.boxes)),
        "camera/positions": scene.camera_positions,
        "camera/quaternions": scene.camera_quaternions,
        "camera/focal_length": np.array([scene.focal_length]),
        "camera/sensor_width": np.array([scene.sensor_width]),
        "video": [png(frame) for frame in scene.video],
        "segmentations": [png(frame.astype(np.uint8)) for frame in scene.segments],
        "depth": whole((scene.depth - near) / (far - near)),
        "normal": whole(scene.normals / 2 + 0.5),
        "object_coordinates": whole(scene.object_coordinates),
        "forward_flow": np.arange(20),
    }


# ------------------------------------------------------------------------------ known geometry


def quaternion(axis: tuple[float, float, float], angle: float) -> np.ndarray:
    return np.array([np.cos(angle / 2), *(np.sin(angle / 2) * np.array(axis))])


CORNERS = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))


def cast(origin: np.ndarray, rays: np.ndarray, centre: np.ndarray, turn: np.ndarray,
         extent: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """What unit rays [n, 3] hit: (distance, segment, world normal, place in the box 0..1).

    A ground plane z = 0 (segment 0) and a box of `extent` turned by the matrix `turn` (segment 1).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = np.where(rays[:, 2] < 0, -origin[2] / rays[:, 2], np.inf)
        start, local = (origin - centre) @ turn, rays @ turn
        one = (-extent / 2 - start) / local
        two = (extent / 2 - start) / local
    enter, leave = np.minimum(one, two), np.maximum(one, two)
    near, far = enter.max(axis=1), leave.min(axis=1)
    hit = (near < far) & (near > 0) & (near < ground)
    distance = np.where(hit, near, ground)
    axis = enter.argmax(axis=1)
    outward = -np.sign(np.take_along_axis(local, axis[:, None], 1)) * np.eye(3)[axis]
    normal = np.where(hit[:, None], outward @ turn.T, [0, 0, 1])
    place = (start + local * distance[:, None]) / extent + 0.5
    return distance, hit.astype(int), normal, np.where(hit[:, None], place, 0).clip(0, 1)


def render(
    centres: np.ndarray,
    turns: np.ndarray,
    extent: tuple[float, float, float],
    camera_positions: np.ndarray,
    camera_quaternions: np.ndarray,
    size: tuple[int, int] = (64, 64),
    focal: float = 1.0,
) -> Scene:
    """A box moving over a plane: centres [T, 3], turns [T, 4] quaternions."""
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    in_camera = np.stack(
        [(x / width - 0.5) / focal, -(y - height / 2) / width / focal, -np.ones(size)], axis=-1
    ).reshape(-1, 3)
    in_camera /= np.linalg.norm(in_camera, axis=-1, keepdims=True)
    frames, boxes = [], []
    box_turns = kubric_tracks.rotation_matrices(turns)
    for t, rotation in enumerate(kubric_tracks.rotation_matrices(camera_quaternions)):
        rays = in_camera @ rotation.T
        frames.append(cast(camera_positions[t], rays, centres[t], box_turns[t], np.array(extent)))
        boxes.append(CORNERS * extent @ box_turns[t].T + centres[t])
    distance, segment, normal, place = (np.stack(parts) for parts in zip(*frames, strict=True))
    count = len(centres)
    shaded = (np.stack([segment * 200, 255 * place[..., 0], 255 * place[..., 1]], -1)).astype("u1")
    return Scene(
        name="known",
        video=shaded.reshape(count, *size, 3),
        segments=segment.reshape(count, *size).astype(np.uint8),
        depth=distance.reshape(count, *size).astype(np.float32),
        normals=normal.reshape(count, *size, 3).astype(np.float32),
        object_coordinates=place.reshape(count, *size, 3).astype(np.float32),
        boxes=np.stack(boxes)[None],
        quaternions=turns[None],
        camera_positions=camera_positions,
        camera_quaternions=camera_quaternions,
        focal_length=focal * 32,
        sensor_width=32,
    )


UPRIGHT = np.tile([1.0, 0, 0, 0], (12, 1))
WHOLE = (0, 0, 64, 64)


def from_above() -> Scene:
    """A 2x2x2 box slides 0.5 a frame along x, seen from 10 above; 64 px show 10 of the ground.

    Its top, 8 from the camera, is 16 px wide and moves 4 px a frame.
    """
    centres = np.stack([0.5 * np.arange(12), np.zeros(12), np.ones(12)], axis=1)
    above = np.tile([0.0, 0, 10], (12, 1))
    return render(centres, UPRIGHT, (2, 2, 2), above, UPRIGHT)


def turning() -> Scene:
    """A turning, sliding box seen by a tilted, moving camera; 24 frames of 96 x 128."""
    steps = np.arange(24)
    centres = np.stack([-1 + 0.1 * steps, 0.05 * steps, np.full(24, 0.8)], axis=1)
    turns = np.stack([quaternion((0, 0, 1), 0.12 * t) for t in steps])
    positions = np.stack([0.06 * steps - 0.5, np.full(24, -7.0), np.full(24, 3.0)], axis=1)
    tilt = np.stack([quaternion((1, 0, 0), np.pi / 2 - 0.35)] * 24)
    return render(centres, turns, (2, 1.2, 1.5), positions, tilt, (96, 128), 1.1)


def test_a_point_on_a_sliding_box_moves_as_computed_by_hand() -> None:
    scene = from_above()
    xy, occluded = kubric_tracks.track(scene, np.array([[0, 32, 30]]), WHOLE)
    np.testing.assert_allclose(xy[0, :, 0], 30.5 + 4 * np.arange(12), atol=1e-3)
    np.testing.assert_allclose(xy[0, :, 1], 32.5, atol=1e-3)
    # 30.5 + 4 t > 64 from t = 9 on: outside the frame.
    np.testing.assert_array_equal(occluded[0], np.arange(12) >= 9)


def test_a_ground_point_is_hidden_while_the_box_is_over_it() -> None:
    """Pixel 56 shows the ground at 56.5. The box's top covers x from 24 + 4 t to 40 + 4 t, and when
    it is right of the middle its left side is seen down to the ground, at 25.6 + 3.2 t: 5 .. 9.
    """
    scene = from_above()
    xy, occluded = kubric_tracks.track(scene, np.array([[0, 32, 56]]), WHOLE)
    np.testing.assert_allclose(xy[0], np.tile([56.5, 32.5], (12, 1)), atol=1e-4)
    np.testing.assert_array_equal(np.flatnonzero(occluded[0]), [5, 6, 7, 8, 9])


def test_what_is_outside_the_window_is_occluded() -> None:
    scene = from_above()
    _, occluded = kubric_tracks.track(scene, np.array([[0, 32, 30]]), (0, 0, 64, 44))
    # 30.5 + 4 t > 44 from t = 4 on
    np.testing.assert_array_equal(occluded[0], np.arange(12) >= 4)
    _, occluded = kubric_tracks.track(scene, np.array([[0, 32, 30]]), (33, 0, 64, 64))
    assert occluded.all(), "y = 32.5 is above the window"


def truth(scene: Scene, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tracks and occlusion by casting a ray to each point in each frame."""
    centres = scene.boxes[0].mean(axis=1)
    turns = kubric_tracks.rotation_matrices(scene.quaternions[0])
    cameras = kubric_tracks.rotation_matrices(scene.camera_quaternions)
    extent = np.array([2, 1.2, 1.5])
    height, width = scene.segments.shape[1:]
    xy = np.empty((len(chosen), len(centres), 2))
    hidden = np.empty((len(chosen), len(centres)), bool)
    for n, (t0, y, x) in enumerate(chosen):
        place = (scene.object_coordinates[t0, y, x] - 0.5) * extent
        ray = np.array([(x + 0.5) / width - 0.5, -(y + 0.5 - height / 2) / width, -1.1])
        ray = cameras[t0] @ ray / np.linalg.norm(ray)
        ground = scene.camera_positions[t0] + ray * scene.depth[t0, y, x]
        for t in range(len(centres)):
            on_box = scene.segments[t0, y, x] == 1
            point = turns[t] @ place + centres[t] if on_box else ground
            away = point - scene.camera_positions[t]
            local = cameras[t].T @ away
            xy[n, t] = 1.1 * width * local[:2] / -local[2] * [1, -1] + [width / 2, height / 2]
            distance = np.linalg.norm(away)
            first, *_ = cast(
                scene.camera_positions[t], (away / distance)[None], centres[t], turns[t], extent
            )
            inside = (xy[n, t] >= 0).all() and (xy[n, t] <= [width, height]).all()
            hidden[n, t] = first[0] < distance - 1e-3 or not inside
    return xy, hidden


def near_an_edge(scene: Scene, xy: np.ndarray) -> np.ndarray:
    """[N, T]: faces meet, or the frame ends, within 2 px: the flag may go either way."""
    frames, height, width = scene.segments.shape
    kernel = np.ones((5, 5), np.uint8)
    edges = []
    for t in range(frames):
        faces = np.round(scene.normals[t] * 5).astype(np.int16).sum(-1) + 40 * scene.segments[t]
        faces = faces.astype(np.float32)
        edges.append(cv2.dilate(faces, kernel) != cv2.erode(faces, kernel))
    low = np.floor(xy).astype(int)
    x, y = low[..., 0].clip(0, width - 1), low[..., 1].clip(0, height - 1)
    inside = (low >= 1).all(-1) & (low < [width - 1, height - 1]).all(-1)
    return np.stack(edges)[np.arange(frames), y, x] | ~inside


def test_tracks_of_a_turning_box_agree_with_ray_casting() -> None:
    scene = turning()
    random = np.random.default_rng(0)
    chosen = kubric_tracks.choose(scene.segments, (0, 0, 96, 128), 128, random)
    xy, occluded = kubric_tracks.track(scene, chosen, (0, 0, 96, 128))
    expected, hidden = truth(scene, chosen)
    np.testing.assert_allclose(xy, expected, atol=2e-3)
    clear = ~near_an_edge(scene, xy)
    assert clear.mean() > 0.5
    assert (occluded == hidden)[clear].all()
    assert (occluded & clear).sum() > 100
    assert (~occluded & clear).sum() > 500


def test_a_face_that_turned_away_is_hidden_by_its_normal_alone() -> None:
    """Depth and segment taken out of play (far, all one segment): only the normal can tell.

    The point is in the middle of the front face at t = 0; its normal turns by 0.12 a frame.
    """
    scene = turning()
    t0, y, x = 0, *np.argwhere((scene.segments[0] == 1) & (scene.normals[0][..., 1] < -0.9))[200]
    blind = replace(
        scene, depth=np.full_like(scene.depth, 1e6), segments=np.ones_like(scene.segments)
    )
    query = np.array([[t0, y, x]])
    xy, occluded = kubric_tracks.track(blind, query, (0, 0, 96, 128))
    angles = 0.12 * np.arange(24)
    normal = np.stack([np.sin(angles), -np.cos(angles), 0 * angles], axis=1)
    place = (scene.object_coordinates[t0, y, x] - 0.5) * [2, 1.2, 1.5]
    turns = kubric_tracks.rotation_matrices(scene.quaternions[0])
    points = turns @ place + scene.boxes[0].mean(axis=1)
    away = ((points - scene.camera_positions) * normal).sum(axis=1) > 0
    assert 2 < away.sum() < 22
    inside = ((xy[0] >= 0) & (xy[0] <= [128, 96])).all(axis=1)
    np.testing.assert_array_equal(occluded[0], away | ~inside)

    rough = replace(blind, normals=blind.normals.copy())
    rough.normals[t0, y - 1 : y + 2 : 2, x - 1 : x + 2 : 2] = [0, 0, 1]
    _, untold = kubric_tracks.track(rough, query, (0, 0, 96, 128))
    np.testing.assert_array_equal(untold[0], ~inside), "rough normals are not believed"

    flipped = replace(blind, normals=-blind.normals)
    _, untold = kubric_tracks.track(flipped, query, (0, 0, 96, 128))
    np.testing.assert_array_equal(untold[0], ~inside), "nor those which face away at the query"


def test_a_point_behind_the_camera_is_occluded() -> None:
    scene = from_above()
    turned = np.tile(quaternion((1, 0, 0), np.pi), (12, 1))
    turned[0] = [1, 0, 0, 0]
    _, occluded = kubric_tracks.track(
        replace(scene, camera_quaternions=turned), np.array([[0, 32, 5]]), WHOLE
    )
    np.testing.assert_array_equal(occluded[0], np.arange(12) > 0)


# ------------------------------------------------------------------------------------ queries


def test_quotas_are_equal_shares_smallest_segments_first() -> None:
    """10 and 300 candidates give at most a tenth: 1 and 30; the rest of 256 goes to the largest.

    Order: segment 1 (10): min(round(256/3), 1) = 1. Segment 2 (300): min(round(255/2), 30) = 30.
    Segment 0 (10000): min(225, 1000) = 225. An id that is absent takes part with 0.
    """
    np.testing.assert_array_equal(kubric_tracks.quotas(np.array([10_000, 10, 300]), 256),
                                  [225, 1, 30])  # fmt: skip
    np.testing.assert_array_equal(kubric_tracks.quotas(np.array([9_000, 0, 9_000]), 256),
                                  [128, 0, 128])  # fmt: skip
    np.testing.assert_array_equal(kubric_tracks.quotas(np.array([25, 15]), 256), [2, 2])


def test_queries_lie_on_a_lattice_inside_the_window() -> None:
    scene = turning()
    window = (10, 21, 70, 100)
    chosen = kubric_tracks.choose(scene.segments, window, 200, np.random.default_rng(3))
    assert chosen.shape == (200, 3)
    for axis in range(3):
        assert len(np.unique(chosen[:, axis] % 4)) == 1
    assert (chosen[:, 1] >= 10).all()
    assert (chosen[:, 1] < 70).all()
    assert (chosen[:, 2] >= 21).all()
    assert (chosen[:, 2] < 100).all()
    starts = {
        tuple(kubric_tracks.choose(scene.segments, window, 1, np.random.default_rng(s))[0] % 4)
        for s in range(60)
    }
    assert len(starts) > 20


def test_too_few_candidates_are_filled_with_the_last_but_one() -> None:
    segments = np.zeros((4, 16, 16), np.uint8)  # a lattice of 16 points: 2 may be drawn
    chosen = kubric_tracks.choose(segments, (0, 0, 16, 16), 6, np.random.default_rng(1))
    assert len(chosen) == 6
    assert (chosen[2:] == chosen[0]).all()
    with pytest.raises(ValueError, match="enough pixels to draw 6 queries"):
        kubric_tracks.choose(segments[:, :4, :4], (0, 0, 4, 4), 6, np.random.default_rng(1))
    assert kubric_tracks.choose(segments, (0, 0, 16, 16), 0, np.random.default_rng(1)).size == 0


def test_windows_have_the_area_and_aspect_of_the_recipe() -> None:
    random = np.random.default_rng(0)
    for _ in range(500):
        top, left, bottom, right = kubric_tracks.random_window((256, 256), random)
        tall, wide = bottom - top, right - left
        assert 0 <= top < bottom <= 256
        assert 0 <= left < right <= 256
        assert tall * wide >= 0.3 * 256 * 256
        assert 0.45 < wide / tall < 2.2


def test_a_query_reproduces_itself_and_a_crop_moves_all_alike() -> None:
    scene = turning()
    whole = kubric.example(scene, np.random.default_rng(0), crop=False, points=64, size=(96, 128))
    t = whole.query_points[:, 0].astype(int)
    at_query = whole.target_points[np.arange(64), t]
    np.testing.assert_allclose(at_query, whole.query_points[:, :0:-1], atol=2e-3)
    assert not whole.occluded[np.arange(64), t].any()
    np.testing.assert_array_equal(whole.video, scene.video)
    part = kubric.example(scene, np.random.default_rng(5), crop=True, points=64, size=(64, 64))
    assert part.video.shape == (24, 64, 64, 3)
    t = part.query_points[:, 0].astype(int)
    at_query = part.target_points[np.arange(64), t]
    np.testing.assert_allclose(at_query, part.query_points[:, :0:-1], atol=2e-3)
    assert (part.query_points[:, 1:] > 0).all()
    assert (part.query_points[:, 1:] < 64).all()


def test_video_and_tracks_agree_in_a_crop() -> None:
    """The image's red is the column of the full frame: it must tell the query's place there."""
    scene = from_above()
    columns = np.broadcast_to(2 * np.arange(64, dtype=np.uint8)[:, None] + 50, (12, 64, 64, 3))
    example = kubric.example(
        replace(scene, video=np.ascontiguousarray(columns)), np.random.default_rng(2), size=(64, 64)
    )
    random = np.random.default_rng(2)
    _, left, _, right = kubric_tracks.random_window((64, 64), random)
    assert (right - left) < 64
    t, y, x = example.query_points.T
    shown = example.video[t.astype(int), y.astype(int), x.astype(int), 0].astype(float)
    column = x * (right - left) / 64 + left  # raster place in the full frame
    np.testing.assert_allclose((shown - 50) / 2 + 0.5, column, atol=1.0)


# -------------------------------------------------------------------------------------- files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "movi_e" / "256x256" / "1.0.0"
    inside.mkdir(parents=True)
    records = [encode(movi(replace(from_above(), name=f"clip{n}"))) for n in range(3)]
    write(inside / "movi_e-train.tfrecord-00000-of-00002", records[:2])
    write(inside / "movi_e-train.tfrecord-00001-of-00002", records[2:])
    return tmp_path


def test_a_record_gives_back_the_scene(folder: Path) -> None:
    scenes = list(kubric.read(folder, check=True))
    assert [scene.name for scene in scenes] == ["clip0", "clip1", "clip2"]
    truth, read = from_above(), scenes[0]
    np.testing.assert_array_equal(read.video, truth.video)
    np.testing.assert_array_equal(read.segments, truth.segments)
    np.testing.assert_allclose(read.depth, truth.depth, atol=1e-3)
    np.testing.assert_allclose(read.normals, truth.normals, atol=1e-4)
    np.testing.assert_allclose(read.object_coordinates, truth.object_coordinates, atol=1e-4)
    np.testing.assert_allclose(read.boxes, truth.boxes, atol=1e-6)
    assert read.focal_length / read.sensor_width == pytest.approx(1)
    xy, occluded = kubric_tracks.track(read, np.array([[0, 32, 30]]), WHOLE)
    np.testing.assert_allclose(xy[0, :, 0], 30.5 + 4 * np.arange(12), atol=1e-3)
    np.testing.assert_array_equal(occluded[0], np.arange(12) >= 9)


def test_the_stream_is_the_same_for_a_seed_and_any_number_of_workers(folder: Path) -> None:
    def once(workers: int, seed: int = 1) -> list[np.ndarray]:
        videos = kubric.Kubric(folder, seed=seed, repeat=False, points=16, size=(32, 32))
        return [example.target_points for example in loader(videos, workers)]

    alone = once(0)
    assert len(alone) == 3
    for a, b in zip(alone, once(2), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(alone[0], once(0, seed=2)[0])


def test_the_training_split_goes_on_with_other_crops(folder: Path) -> None:
    stream = iter(kubric.Kubric(folder, points=8, size=(32, 32)))
    examples = [next(stream) for _ in range(6)]
    assert [e.name for e in examples] == ["clip0", "clip1", "clip2"] * 2
    assert not np.array_equal(examples[0].query_points, examples[3].query_points)


def test_any_clip_of_training_is_read_at_once_each_once_an_epoch(folder: Path) -> None:
    clips = KubricClips(folder, 3, points=16, size=(32, 32))
    assert len(clips) == 3
    examples = [clips.example(index) for index in range(12)]
    epochs = [tuple(e.name for e in examples[i : i + 3]) for i in range(0, 12, 3)]
    assert all(sorted(names) == ["clip0", "clip1", "clip2"] for names in epochs)
    assert len(set(epochs)) > 1
    again = KubricClips(folder, 3, points=16, size=(32, 32)).example(7)
    np.testing.assert_array_equal(again.video, examples[7].video)
    np.testing.assert_array_equal(again.target_points, examples[7].target_points)
    same_clip = [e for e in examples if e.name == again.name]
    assert len({e.query_points.tobytes() for e in same_clip}) == len(same_clip)  # other crops


def test_a_record_cut_short_is_named_when_it_is_read(folder: Path) -> None:
    (file, _) = kubric.files(folder)
    places = tfrecord.places(file)
    assert [tfrecord.read_at(file, place, check=True) for place in places] == list(
        tfrecord.records(file)
    )
    with pytest.raises(ValueError, match="found something else"):
        tfrecord.read_at(file, places[1] + 1)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="cut short, copy it again"):
        KubricClips(folder)


def test_checksums_are_right_for_all_lengths() -> None:
    assert tfrecord.crc32c(b"123456789") == 0xE3069283  # the standard's check value
    random = np.random.default_rng(0)
    for length in [*range(10), 1023, 1024, 1025, 5000]:
        data = random.bytes(length)
        assert tfrecord.crc32c(data) == slow_crc32c(data), length


def test_integers_and_floats_are_read_packed_or_not() -> None:
    loose = field(3, varint(1 << 3) + varint(7) + varint(1 << 3) + varint(-2))
    single = struct.pack("<f", 2.5)
    floats = field(2, varint(1 << 3 | 5) + single + varint(1 << 3 | 5) + single)
    entries = [field(1, b"i") + field(2, loose), field(1, b"f") + field(2, floats)]
    entries.append(field(1, b"p") + field(2, feature(np.array([300, -1]))))
    record = field(1, b"".join(field(1, entry) for entry in entries))
    found = tfrecord.parse(record, {"i", "f", "p"})
    assert list(found["i"]) == [7, -2]
    assert list(found["f"]) == [2.5, 2.5]
    assert list(found["p"]) == [300, -1]
    assert set(tfrecord.parse(record, {"f"})) == {"f"}


def test_damaged_files_are_named(folder: Path, tmp_path: Path) -> None:
    file = kubric.files(folder)[1]
    whole = file.read_bytes()
    with pytest.raises(FileNotFoundError, match=r"movi_e-validation.tfrecord.*found none"):
        kubric.files(folder, "validation")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        kubric.Kubric(tmp_path / "none")
    file.write_bytes(whole[:-20])
    with pytest.raises(ValueError, match="it is cut short, copy it again"):
        list(kubric.read(file))
    file.write_bytes(b"x" * 40)
    with pytest.raises(ValueError, match="expected a TFRecord at byte 0"):
        list(kubric.read(file))
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    file.write_bytes(changed)
    with pytest.raises(ValueError, match="checksum of the record at byte 0 is wrong"):
        list(kubric.read(file, check=True))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"normal": None}, "it has no normal"),
        ({"depth": [b"no png"] * 12}, "depth: a frame does not decode"),
        ({"video": np.arange(3)}, "video: expected encoded images"),
        ({"depth": [png(np.zeros((16, 16), np.uint16))] * 12}, r"depth: expected .*, got .12, 16"),
        ({"segmentations": [png(np.zeros((64, 64, 3), np.uint8))] * 12}, "segmentations: expected"),
        ({"camera/sensor_width": np.zeros(1)}, "camera/sensor_width: expected more than 0, got 0"),
        ({"camera/focal_length": np.array([np.nan])}, "camera/focal_length: expected more than 0"),
        ({"camera/positions": np.zeros(5)}, "camera/positions: expected .T 3., got 5 numbers"),
    ],
)
def test_clips_without_what_tracks_need_are_named(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    content = {k: v for k, v in (movi(from_above()) | change).items() if v is not None}
    file = write(tmp_path / "x.tfrecord", [encode(content)])
    with pytest.raises(ValueError, match=rf"x.tfrecord, record 0: expected a clip .* {said}"):
        list(kubric.read(file))


def test_records_of_something_else_are_refused(tmp_path: Path) -> None:
    for junk in (b"\xff" * 30, b"", field(1, b"\x08\x01")):
        file = write(tmp_path / "x.tfrecord", [junk])
        with pytest.raises(ValueError, match=r"x.tfrecord, record 0: expected a clip"):
            list(kubric.read(file))


def test_a_clip_whose_segments_have_no_box_is_refused() -> None:
    scene = from_above()
    with pytest.raises(ValueError, match="belongs to object 1, there are 0"):
        kubric_tracks.track(replace(scene, boxes=scene.boxes[:0]), np.array([[0, 32, 30]]), WHOLE)
