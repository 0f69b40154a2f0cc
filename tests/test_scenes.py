"""Synthetic scenes: the tracks are exact, the renderers agree, every seed is a video."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="scenes need numba: pip install 'tapnet[train]'")

from tapnet import scenes
from tapnet.scenes import moments, motion, render_reference, shapes, stats, tracks
from tapnet.scenes.assets import Assets
from tapnet.scenes.camera import project
from tapnet.scenes.clip import pictures, positions
from tapnet.scenes.meshes import make_mesh
from tapnet.scenes.stage import build
from tapnet.scenes.world import (
    Body,
    Camera,
    Curve,
    Joint,
    Kick,
    Light,
    Room,
    Scene,
    Sensor,
    Settings,
    Skin,
    Wave,
)
from tapnet.structs import Example

SMALL = Settings(size=(64, 64), frames=4, points=40, samples=1)


def small_assets() -> Assets:
    """Two meshes and four textures of noise."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (16, 16, 3)).astype(np.uint8) for _ in range(4)]
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    uv = np.tile(np.array([[0, 0], [1, 0], [0, 1]], float), (4, 1, 1))
    meshes = tuple(
        make_mesh(
            f"m{k}", f"m{k}", corners * [1, 1, 1 + k], faces, uv, np.full(4, k), np.ones((4, 3))
        )
        for k in range(2)
    )
    names = tuple("abcd")
    return Assets(meshes, tuple(images), np.array([0, 1, 2]), np.array([3]), names, names, "small")


ASSETS = small_assets()


def quad_scene(**changes: object) -> Scene:
    """A square of side 2 at y = 0, seen from y = -4, that slides right by 0.4 each frame.

    Between them, at y = -1, stands a narrower screen, 0.6 wide, at x from 0.7 to 1.3.
    """
    quad = Body(
        "sheet",
        size=(2.0, 1.0, 2.0),
        skin=Skin("surface", 0.0),
        motion="passing",
        position=(-0.5, 0.0, 1.5),
        velocity=(0.4, 0.0, 0.0),
    )
    screen = Body("sheet", size=(0.6, 1.0, 3.0), skin=Skin("plain"), position=(1.0, -1.0, 1.5))
    scene = Scene(
        seed=3,
        size=(128, 128),
        frames=8,
        points=200,
        samples=1,
        bodies=(quad, screen),
        room=Room((-6.0, -6.0, 0.0), (6.0, 6.0, 4.0)),
        camera=Camera(Curve((0.0, -4.0, 1.5)), Curve((0.0, 0.0, 1.5)), log_focal=Curve((0.0,))),
    )
    return replace(scene, **changes)  # type: ignore[arg-type]


def test_the_tracks_of_a_sliding_square_are_those_worked_out_by_hand() -> None:
    example = scenes.render(quad_scene(), ASSETS)
    t, y, x = example.query_points.T.astype(float)
    at = (x - 64) / 128 * 4  # where the ray meets y = 0, in units: focal length 128 px, 4 away
    up = 1.5 - (y - 64) / 128 * 4
    on_screen = (np.abs((x - 64) / 128 * 3 - 1.0) < 0.3) & (np.abs((y - 64) / 128 * 3) < 1.5)
    from_middle = at + 0.5 - 0.4 * t
    on_quad = (np.abs(from_middle) < 1) & (np.abs(up - 1.5) < 1) & ~on_screen
    assert on_quad.sum() >= 15
    frames = np.arange(8)
    expected_x = 64 + 128 * (at[:, None] + 0.4 * (frames - t[:, None])) / 4
    expected = np.stack([expected_x, np.repeat(y[:, None], 8, 1)], -1)[on_quad]
    np.testing.assert_allclose(example.target_points[on_quad], expected, atol=1e-3)
    # hidden where its ray crosses y = -1 between x = 0.7 and 1.3, that is 3/4 of the way
    across = (expected[..., 0] - 64) / 128 * 3
    hidden = (across > 0.7) & (across < 1.3)
    clear = np.abs(np.abs(across - 1.0) - 0.3) > 1e-4
    outside = expected[..., 0] >= 128
    occluded = example.occluded[on_quad]
    assert (occluded == (hidden | outside))[clear].all()
    assert hidden.any()
    assert outside.any()


def test_a_point_of_the_wall_stays_where_the_wall_is_while_the_camera_moves() -> None:
    camera = Camera(
        Curve((0.0, -4.0, 1.5), ((1.0, 0.0, 0.0),), (0.1,), ((0.0, 0.0, 0.0),)),
        Curve((0.0, 1000.0, 1.5), ((250.0, 0.0, 0.0),), (0.1,), ((0.0, 0.0, 0.0),)),
        log_focal=Curve((0.0,)),
    )  # looks along the line from (s, -4) to (250 s, 1000), s = sin(0.1 t)
    scene = quad_scene(camera=camera, bodies=())
    example = scenes.render(scene, ASSETS)
    s = np.sin(0.1 * np.arange(8))
    turn = np.arctan2(250 * s - s, 1004)
    t = example.query_points[:, 0].astype(int)
    x0 = np.float64(example.query_points[:, 2])
    y0 = np.float64(example.query_points[:, 1])
    angle = np.arctan((x0 - 64) / 128) + turn[t]
    wall = np.abs(s[t] + 10 * np.tan(angle)) < 6
    height = 1.5 - 10 / np.cos(angle) * np.cos(angle - turn[t]) * (y0 - 64) / 128
    wall &= (height > 0) & (height < 4)
    place = s[t] + 10 * np.tan(angle)  # x on the wall at y = 6
    for frame in range(8):
        dx, dy = place - s[frame], 10.0
        right = dx * np.cos(turn[frame]) - dy * np.sin(turn[frame])
        deep = dx * np.sin(turn[frame]) + dy * np.cos(turn[frame])
        expected = np.stack([64 + 128 * right / deep, 64 - 128 * (height - 1.5) / deep], 1)
        got = example.target_points[:, frame]
        np.testing.assert_allclose(got[wall], expected[wall], atol=1e-3)
    assert wall.sum() > 20


@pytest.mark.parametrize("seed", range(3))
def test_a_query_reproduces_itself_and_is_visible_in_its_own_frame(seed: int) -> None:
    example = scenes.render(scenes.sample(seed, SMALL), ASSETS)
    rows, t = np.arange(40), example.query_points[:, 0].astype(int)
    own = example.target_points[rows, t]
    np.testing.assert_allclose(own, example.query_points[:, [2, 1]], atol=1e-3)
    assert not example.occluded[rows, t].any()


def test_occlusion_agrees_with_rays_cast_through_every_triangle() -> None:
    lively = replace(
        SMALL, objects=(8, 8), size=(48, 48), frames=10, object_speed=3.0, camera_speed=3.0
    )
    scene = scenes.sample(5, lively)
    truth = scenes.extras(scene, ASSETS)
    query = np.array([[0, y + 0.5, x + 0.5] for y in range(0, 48, 5) for x in range(0, 48, 5)])
    xy, occluded, world = truth.track(query)
    frame, stage = 9, truth.stage
    cameras, bones = stage.geometry(np.array([float(frame)]))
    vertices, _ = render_reference.pose(stage.skeleton, bones[0], float(frame))
    eye = cameras[0, 12:15]
    ray = world[:, frame] - eye  # the point lies at 1
    hidden = np.zeros(len(query), bool)
    for corners in vertices[stage.surface.faces]:
        b1, b2, far = render_reference.meet(*corners, eye, ray)
        hidden |= (b1 >= 0) & (b2 >= 0) & (b1 + b2 <= 1) & (far > 0) & (far < 0.998)
    inside = ((xy[:, frame] >= 0) & (xy[:, frame] < 48)).all(1)
    agree = occluded[:, frame] == (hidden | ~inside)
    assert agree.mean() > 0.98  # the rest lies between the two tolerances, or at an edge
    assert (hidden & inside).sum() > 3


def test_flow_is_where_the_tracks_go() -> None:
    scene = scenes.sample(7, SMALL)
    truth = scenes.extras(scene, ASSETS)
    example = scenes.render(scene, ASSETS)
    t, y, x = np.floor(example.query_points).astype(int).T
    rows = np.arange(len(t))
    for n in rows[t < 3]:
        step = example.target_points[n, t[n] + 1] - example.target_points[n, t[n]]
        np.testing.assert_allclose(truth.flow(t[n])[y[n], x[n]], step, atol=2e-3)
    assert (truth.flow(3) == 0).all()


def test_extras_agree_with_each_other() -> None:
    scene = quad_scene()
    truth = scenes.extras(scene, ASSETS)
    instances, depth = truth.instances(2), truth.depth(2)
    assert set(np.unique(instances)) == {0, 1, 2}
    np.testing.assert_allclose(depth[instances == 1], 4, rtol=1e-5)
    np.testing.assert_allclose(depth[instances == 2], 3, rtol=1e-5)
    _, _, world = truth.track(np.array([[2, 64.5, 64.5]]))
    np.testing.assert_allclose(world[0, :, 1], 0, atol=1e-6)
    np.testing.assert_allclose(np.diff(world[0, :, 0]), 0.4, atol=1e-6)
    assert truth.cameras.shape == (8, 15)
    with pytest.raises(ValueError, match="choose points inside"):
        truth.track(np.array([[8, 0, 0]]))


def test_a_surface_that_reaches_behind_the_camera_is_cut_not_dropped() -> None:
    """A table top from far before the camera to behind it, just below its height."""
    top = Body("box", size=(4.0, 12.0, 0.5), skin=Skin("plain"), position=(0.0, -3.0, 1.0))
    scene = quad_scene(bodies=(top,), frames=1)
    depth = scenes.extras(scene, ASSETS).depth(0)
    instances = scenes.extras(scene, ASSETS).instances(0)
    y = np.arange(128) + 0.5
    below = y > 64 + 6  # the plane z = 1.25, 0.25 below the eye, at depth 0.25 · 128 / (y - 64)
    expected = 0.25 * 128 / (y[below] - 64)
    assert (instances[below, 60:68] == 1).all()
    np.testing.assert_allclose(depth[below, 64], expected, rtol=1e-4)


def busy_scene(seed: int = 1, samples: int = 1) -> Scene:
    """Every kind of motion and deformation, with few triangles."""
    wave = (Wave((0.0, 0.1, 0.05), (3.0, 1.0, 2.0), 0.4, 0.3),)
    bodies = (
        Body("mesh", 0.9, (1.2, 1.2, 1.2), position=(-0.8, 0.5, 0.0), settle=True),
        Body("box", size=(0.8, 0.5, 0.9), skin=Skin("surface", 0.4, 2.0, shine=0.5),
             motion="floating", position=(0.8, 0.3, 1.0), spin=(0.1, 0.2, 0.0), waves=wave),
        Body("mesh", 0.1, (0.9, 0.9, 0.9), motion="falling", position=(0.0, -0.6, 2.0),
             joints=(Joint((0.0, 1.0, 0.0), 0.1, 0.5, 0.5, 0.0),) * 2),
    )  # fmt: skip
    return Scene(
        seed=seed,
        size=(40, 56),
        frames=2,
        points=16,
        samples=samples,
        bodies=bodies,
        room=Room(
            skins=(Skin("photo", repeat=0.0), *(Skin("surface", 0.5, 2.0),) * 5),
            fog=0.03,
        ),
        light=Light(shadow=64),
        sensor=Sensor(shutter=0.8),
    )


@pytest.mark.parametrize("samples", [1, 3])
def test_the_fast_renderer_agrees_with_the_plain_one(samples: int) -> None:
    stage = build(busy_scene(samples=samples), ASSETS)
    fast, plain = list(pictures(stage)), list(pictures(stage, "reference"))
    for a, b in zip(fast, plain, strict=True):
        assert (a.ids == b.ids).mean() > 0.999  # exact ties of depth may fall either way
        same = a.ids == b.ids
        np.testing.assert_allclose(a.depth[same], b.depth[same], rtol=1e-4)
        shown = np.abs(np.sqrt(a.light) - np.sqrt(b.light))[same].max(-1) * 255
        assert np.median(shown) < 0.1
        assert (shown > 8).mean() < 0.01  # edges of shadows


def test_colour_at_a_visible_point_is_the_colour_at_its_query() -> None:
    visible, occluded = [], []
    for seed in range(4):
        scene = scenes.sample(seed, replace(SMALL, size=(128, 128), frames=6, points=100))
        a, b = stats.albedo_errors(scene, ASSETS)
        visible.append(a)
        occluded.append(b)
    assert np.median(np.concatenate(visible)) < 3
    assert np.median(np.concatenate(occluded)) > 20


def test_equal_seeds_give_equal_clips_and_other_seeds_others(tmp_path: Path) -> None:
    scene = scenes.sample(11, SMALL)
    scene.save(tmp_path / "scene.json")
    assert (tmp_path / "scene.json").stat().st_size < 30_000
    again = Scene.load(tmp_path / "scene.json")
    assert again == scene == scenes.sample(11, SMALL)
    first, second = scenes.render(scene, ASSETS), scenes.render(again, ASSETS)
    for name in ("video", "query_points", "target_points", "occluded"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    other = scenes.render(scenes.sample(12, SMALL), ASSETS)
    assert (other.video != first.video).mean() > 0.5


def test_a_longer_clip_of_a_hand_made_scene_begins_with_the_shorter_one() -> None:
    short = list(pictures(build(busy_scene(), ASSETS)))
    long = list(pictures(build(replace(busy_scene(), frames=4), ASSETS)))
    for a, b in zip(short, long[:2], strict=True):
        np.testing.assert_array_equal(a.light, b.light)


def test_queries_are_shared_out_over_the_bodies() -> None:
    segments = np.repeat([0, 1, 2], [900, 90, 10])
    chosen = tracks.choose(segments, 60, np.random.default_rng(0))
    # ascending: 10 candidates give round(0.1 · 10) = 1; 90 give min(round(59 / 2), 9) = 9;
    # 900 give min(50, 90) = 50
    assert np.bincount(segments[chosen]).tolist() == [50, 9, 1]
    assert len(set(chosen.tolist())) == 60
    assert len(tracks.choose(segments[:5], 60, np.random.default_rng(0))) == 60


def test_at_most_25_segments_share_the_queries() -> None:
    segments = np.repeat(np.arange(40), 100)
    chosen = tracks.choose(segments, 100, np.random.default_rng(0))
    assert len(np.unique(segments[chosen])) == 25


@pytest.mark.parametrize(
    "changes",
    [
        {"objects": (0, 0)},
        {"frames": 1},
        {"points": 0},
        {"size": (8, 8)},
        {"size": (1, 1)},
        {"size": (24, 80)},
        {"objects": (60, 60)},
        {"samples": 2},
        {"samples": 5},
    ],
    ids=str,
)
def test_odd_settings_still_give_a_clip(changes: dict) -> None:
    settings = replace(SMALL, **changes)
    example = scenes.render(scenes.sample(0, settings), ASSETS)
    assert example.video.shape == (settings.frames, *settings.size, 3)
    assert example.query_points.shape == (settings.points, 3)
    assert example.target_points.shape == (settings.points, settings.frames, 2)
    assert np.isfinite(example.target_points).all()


def test_assets_without_meshes_or_photos_are_enough() -> None:
    bare = replace(ASSETS, meshes=(), photos=np.zeros(0, int))
    assert scenes.render(scenes.sample(0, SMALL), bare).video.std() > 5


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="frames: at least 1"):
        Settings(frames=0)
    with pytest.raises(ValueError, match="fewest <= most"):
        Settings(objects=(5, 3))
    with pytest.raises(ValueError, match="samples"):
        Settings(samples=0)


def test_a_file_that_is_no_scene_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scene.json").write_text('{"seed": 1, "colour": 2}')
    with pytest.raises(ValueError, match="expected a scene written by"):
        Scene.load(tmp_path / "scene.json")
    with pytest.raises(FileNotFoundError, match="no such file"):
        Scene.load(tmp_path / "none.json")


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="backend: expected one of"):
        scenes.render(quad_scene(), ASSETS, "cuda")  # type: ignore[arg-type]


def test_the_samples_of_a_frame_are_balanced_around_its_own_time_and_pixel() -> None:
    for count in (1, 2, 3, 4, 8):
        pattern = moments.Pattern.of(replace(quad_scene(), samples=count, sensor=Sensor(0.5)))
        assert len(pattern.times) == count
        np.testing.assert_allclose(pattern.times.mean(), 0, atol=1e-12)
        np.testing.assert_allclose(pattern.shifts.mean(0), 0, atol=1e-12)
        assert np.ptp(pattern.times) <= 0.5


def test_positions_need_no_other_frames() -> None:
    stage = build(busy_scene(), ASSETS)
    query, faces = np.array([[1.0, 20.5, 30.5]]), np.array([-5])
    both = positions(stage, query, faces, np.array([0, 1]))
    one = positions(stage, query, faces, np.array([1]))
    np.testing.assert_array_equal(both[:, 1], one[:, 0])


def test_a_thrown_body_bounces_in_its_room_and_never_sinks_through_the_floor() -> None:
    ball = Body(
        "ball", size=(0.4, 0.4, 0.4), motion="falling", position=(0.0, 0.0, 2.0),
        velocity=(0.3, 0.0, 0.0),
    )  # fmt: skip
    scene = quad_scene(bodies=(ball,), frames=200)
    times = np.arange(200.0)
    stage = build(scene, ASSETS)
    _, bones = stage.geometry(times)
    x, z = bones[:, 0, 3], bones[:, 0, 11]
    assert z.min() > 0.35 * 0.4 - 0.02
    assert (np.diff(np.sign(np.diff(z))) > 0).sum() >= 3  # bounces
    assert x.max() < 6
    assert (np.diff(x) < 0).any()  # came back from the wall
    # free fall before the first bounce: z falls by g t^2 / 2, but for the four steps per frame
    fall = z[0] - z[8]
    assert fall == pytest.approx((z[0] - z[1]) * 8 + motion.GRAVITY * 8 * 7 / 2, rel=1e-3)


def test_a_held_body_keeps_its_place_before_a_moving_camera() -> None:
    held = Body("ball", size=(0.2,) * 3, motion="held", position=(0.1, -0.2, 1.5))
    scene = scenes.sample(4, replace(SMALL, frames=6, camera_speed=3.0))
    truth = scenes.extras(replace(scene, bodies=(held,)), ASSETS)
    cameras, bones = truth.stage.geometry(np.arange(6.0))
    centre = bones[:, 0].reshape(6, 3, 4)[:, :, 3]
    xy, depth = project(cameras, centre[:, None].astype(float))
    np.testing.assert_allclose(depth[:, 0], 1.5, atol=1e-5)
    expected = cameras[:, :1] * np.array([0.1, -0.2]) / 1.5 + 32
    np.testing.assert_allclose(xy[:, 0], expected, atol=1e-3)


def test_a_passing_body_comes_again_after_its_period() -> None:
    body = Body("ball", motion="passing", position=(0.0, 0.0, 1.0), velocity=(0.5, 0.0, 0.0),
                period=40.0)  # fmt: skip
    _, bones = build(quad_scene(bodies=(body,)), ASSETS).geometry(np.array([3.0, 43.0, 19.0, 21.0]))
    np.testing.assert_allclose(bones[:, 0, 3], [1.5, 1.5, 9.5, -9.5])


def test_a_kick_changes_the_motion_from_its_frame_on() -> None:
    kick = Kick(5.0, (0.0, 0.2, 0.0), (0.0, 0.0, 0.0))
    body = Body("ball", size=(0.2,) * 3, motion="floating", position=(0.0, 0.0, 2.0), kicks=(kick,))
    _, bones = build(quad_scene(bodies=(body,), frames=12), ASSETS).geometry(np.arange(11.0))
    np.testing.assert_allclose(bones[:, 0, 7], 0.2 * np.maximum(np.arange(11) - 5, 0), atol=0.06)
    np.testing.assert_allclose(np.diff(bones[6:, 0, 7]), 0.2, atol=1e-6)


def test_a_settled_body_stands_on_the_floor() -> None:
    body = Body("box", size=(1.0, 0.5, 2.0), settle=True, rotation=(0.3, 0.2, 0.1))
    stage = build(quad_scene(bodies=(body,), frames=1), ASSETS)
    _, bones = stage.geometry(np.zeros(1))
    vertices, _ = render_reference.pose(stage.skeleton, bones[0], 0.0)
    assert vertices[:, 2].min() == pytest.approx(0, abs=1e-6)


def test_the_description_of_a_clip_is_what_can_be_counted() -> None:
    xy = np.zeros((2, 4, 2))
    xy[0, :, 0] = [1, 4, 8, 10]  # steps 3, 4, 2, of which the last two lead to hidden or outside
    xy[1] = 5
    occluded = np.array([[0, 0, 1, 0], [0, 1, 1, 1]], bool)
    video = np.zeros((4, 256, 256, 3), np.uint8)
    example = Example("x", video, np.zeros((2, 3)), xy, occluded)
    got = stats.describe([example])
    assert got["visible"] == pytest.approx(4 / 8)
    assert got["occluded"] == pytest.approx(4 / 8)
    assert got["outside"] == 0
    assert got["reappear"] == pytest.approx(1 / 2)
    assert got["step p50"] == pytest.approx(3)
    assert got["visible frames"] == pytest.approx(2)
    with pytest.raises(ValueError, match="at least one clip"):
        stats.describe([])


def test_wild_scenes_move_more_than_default_ones() -> None:
    steps = {}
    for name, preset in scenes.PRESETS.items():
        settings = replace(preset, size=(64, 64), frames=8, points=60, samples=1)
        examples = [scenes.render(scenes.sample(seed, settings), ASSETS) for seed in range(12)]
        steps[name] = stats.describe(examples)["step p50"]
    assert steps["wild"] > 1.5 * steps["default"]


@pytest.mark.parametrize("pick", np.linspace(0, 0.999, 23).tolist())
def test_every_figure_is_a_closed_set_of_limbs_within_its_size(pick: float) -> None:
    shape, bones = shapes.figure(pick), shapes.skeleton(pick)
    assert len(shape.weight) == len(shape.vertices) == len(bones) * 90  # 9 rings of 10
    assert all(parent < bone for bone, parent in enumerate(shape.parents))
    assert np.ptp(shape.vertices, axis=0).max() < 1.6
    np.testing.assert_allclose(np.linalg.norm(shape.normals, axis=1), 1, atol=1e-4)


def test_a_box_keeps_its_edges_sharp_and_a_ball_is_round() -> None:
    box, ball = shapes.box(), shapes.ball()
    assert set(np.abs(box.normals).max(1).round(5)) == {1.0}  # each along one axis
    assert len(box.vertices) == 6 * 25  # edges are split, nothing else
    np.testing.assert_allclose(ball.normals, 2 * ball.vertices, atol=1e-5)
