"""Asset packs: reading, building, splitting; broken input is named."""

import errno
import json
import logging
import struct
import subprocess
import sys
import zipfile
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tapnet.scenes import assets, pack_writer, packages, panoramas, patterns, rights, sources
from tapnet.scenes.mesh_files import parse_obj, read_mesh
from tapnet.scenes.meshes import make_mesh

QUAD_OBJ = """
mtllib quad.mtl
v 0 0 0
v 4 0 0
v 4 2 0
v 0 2 0
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl red
f 1/1 2/2 3/3 4/4
"""
QUAD_MTL = "newmtl red\nKd 0.9 0.1 0.2\n"


def image(path: Path, height: int = 40, width: int = 60) -> Path:
    """A PNG whose left half is red and whose right half is blue."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 2] = 255  # BGR
    pixels[:, width // 2 :, 0] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


def quad(folder: Path, name: str = "quad.obj") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quad.mtl").write_text(QUAD_MTL)
    (folder / name).write_text(QUAD_OBJ)
    return folder / name


ORIGINAL = patterns.patterns
FEW = tuple(islice(ORIGINAL(), 7, 10))


@pytest.fixture(autouse=True)
def _few_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs built here get three of the computed textures, so that building is quick."""
    monkeypatch.setattr(patterns, "patterns", lambda: iter(FEW))


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A pack of one image and one mesh, from users' folders only."""
    image(tmp_path / "images" / "a.png")
    quad(tmp_path / "meshes")
    choice = sources.Choice(
        sources=(), textures=(tmp_path / "images",), meshes=(tmp_path / "meshes",)
    )
    sources.build(tmp_path / "pack", choice)
    return tmp_path / "pack"


def edit(pack: Path, change: Any) -> None:
    lines = json.loads((pack / "manifest.json").read_text())
    change(lines)
    (pack / "manifest.json").write_text(json.dumps(lines))


def mesh_line(lines: list[dict[str, Any]]) -> dict[str, Any]:
    return next(line for line in lines if line["kind"] == "mesh")


# ---------------------------------------------------------------------------- shipped pack


def test_the_shipped_pack_is_small_and_only_of_free_items() -> None:
    files = [path for path in assets.SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 6_000_000
    lines = json.loads((assets.SHIPPED / "manifest.json").read_text())
    for line in lines:
        assert rights.is_permissive(line["license"]), line
        assert line["source"].split(":")[0] in {"deb", "pypi", "code"}, line
        assert line["author"], line
        assert line["made"], line
    listed = {line["file"] for line in lines}
    images = {f"{p.parent.name}/{p.name}" for p in files if p.suffix == ".jpg"}
    assert images <= listed, "every item has a line in the manifest"


def test_meshes_are_centred_and_of_unit_size_and_their_arrays_agree() -> None:
    pack = assets.load()
    assert len(pack.meshes) > 100
    for mesh in pack.meshes:
        extent = mesh.vertices.max(axis=0) - mesh.vertices.min(axis=0)
        assert extent.max() == pytest.approx(1, abs=1e-3)
        assert np.abs(mesh.vertices.max(axis=0) + mesh.vertices.min(axis=0)).max() < 1e-3
        assert mesh.faces.min() >= 0
        assert mesh.faces.max() < len(mesh.vertices)
        assert mesh.uv.shape == (len(mesh.faces), 3, 2)
        assert len(mesh.texture) == len(mesh.color) == len(mesh.faces)
        assert mesh.texture.max() < len(pack.textures)
        assert np.isfinite(mesh.uv).all()
    shapes = {pack.textures[i].shape for i in pack.surfaces}
    assert shapes == {(256, 256, 3)}
    assert {pack.textures[i].shape for i in pack.photos} == {(512, 512, 3)}


def test_assets_cannot_be_changed() -> None:
    pack = assets.load()
    with pytest.raises(ValueError, match="read-only"):
        pack.meshes[0].vertices[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        pack.textures[0][0] = 1


def test_the_computed_textures_are_the_shipped_ones() -> None:
    """The pack's patterns are what the code computes, but for JPEG."""
    lines = json.loads((assets.SHIPPED / "manifest.json").read_text())
    files = {line["path"]: line["file"] for line in lines if line["source"].startswith("code")}
    made = dict(ORIGINAL())
    assert set(files) == set(made)
    for name in ("plaster-0", "dots-1", "bricks-2", "tiles-3"):
        shipped = assets.read_image(assets.SHIPPED / files[name]).astype(int)
        assert np.abs(shipped - made[name]).mean() < 8


def test_computed_textures_tile() -> None:
    """The step across the border is as small as steps inside."""
    for name, texture in ORIGINAL():
        if name.startswith(("tartan", "planks")):
            continue
        pixels = texture.astype(int)
        inside = np.abs(np.diff(pixels, axis=1)).mean(axis=(0, 2)).max()
        across = np.abs(pixels[:, 0] - pixels[:, -1]).mean()
        assert across <= inside * 1.2 + 2, name


# ---------------------------------------------------------------------------------- split


def test_an_item_stays_in_its_part_when_others_come() -> None:
    few = {f"item{i}" for i in range(100)}
    many = few | {f"other{i}" for i in range(900)}
    chosen = assets.validation_groups(many)
    assert assets.validation_groups(few) == chosen & few
    assert 0.1 < len(chosen) / len(many) < 0.2


def test_parts_are_never_empty_when_there_are_two_items() -> None:
    for number in range(50):
        groups = {f"a{number}", f"b{number}"}
        assert len(assets.validation_groups(groups)) == 1
    assert assets.validation_groups({"alone"}) == set()


def test_variants_of_an_object_are_one_group_but_users_counters_are_not() -> None:
    def group(path: str, source: str) -> str:
        return assets.group_of({"kind": "mesh", "source": source, "path": path, "file": ""})

    assert group("a/chair2.obj", "deb:x/y") == group("a/chair11.obj", "deb:x/z")
    assert group("a/chair.obj", "deb:x") != group("a/table.obj", "deb:x")
    assert group("scan_001.glb", "user:mine") != group("scan_002.glb", "user:mine")


def test_a_mesh_sharing_a_texture_with_a_held_out_mesh_is_not_trained_on() -> None:
    def mesh(name: str, texture: int) -> assets.Mesh:
        none = np.zeros((0, 3))
        return assets.Mesh(name, none, none, none, np.array([texture]), none, name)

    names = [f"m{i}" for i in range(40)]
    held = sorted(assets.validation_groups(set(names)))
    other = next(name for name in names if name not in held)
    meshes = tuple(mesh(n, 7 if n in (held[0], other) else i + 10) for i, n in enumerate(names))
    pack = assets.Assets(meshes, (), np.array([], int), np.array([], int), (), (), "x")
    train = {m.name for m in pack.subset("train").meshes}
    assert {m.name for m in pack.subset("validation").meshes} == set(held)
    assert other not in train
    assert len(train) == 40 - len(held) - 1
    with pytest.raises(ValueError, match="'train' or 'validation', got 'test'"):
        pack.subset("test")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------ mesh files


def test_an_obj_quad_becomes_two_triangles_z_up_with_v_down(pack: Path) -> None:
    """y up becomes z up; 4 x 2 units become 1 x 0.5; OBJ's v = 0 is the image's bottom row."""
    (mesh,) = assets.load(pack).meshes
    order = np.lexsort(mesh.vertices.T[[0, 2]])
    expected = [[-0.5, 0, -0.25], [0.5, 0, -0.25], [-0.5, 0, 0.25], [0.5, 0, 0.25]]
    np.testing.assert_allclose(mesh.vertices[order], expected, atol=1e-4)
    assert len(mesh.faces) == 2
    np.testing.assert_allclose(mesh.color, [[0.9, 0.1, 0.2]] * 2, atol=1e-6)
    assert (mesh.texture == -1).all()
    a, b, c = mesh.vertices[mesh.faces[0]]
    np.testing.assert_allclose(np.cross(b - a, c - a)[[0, 2]], 0, atol=1e-6)
    assert np.cross(b - a, c - a)[1] < 0, "OBJ's +z, towards the viewer, is -y"


def test_a_texture_lands_where_its_uv_say(tmp_path: Path) -> None:
    image(tmp_path / "images" / "a.png")
    image(tmp_path / "meshes" / "half.png")
    quad(tmp_path / "meshes")
    mtl = QUAD_MTL + "map_Kd -s 1 1 1 half.png\n"
    (tmp_path / "meshes" / "quad.mtl").write_text(mtl)
    folders = {"textures": (tmp_path / "images",), "meshes": (tmp_path / "meshes",)}
    sources.build(tmp_path / "pack", sources.Choice(sources=(), **folders))
    pack = assets.load(tmp_path / "pack")
    (mesh,) = pack.meshes
    assert (mesh.color == 1).all()
    for face in range(2):
        texture = pack.textures[mesh.texture[face]]
        for corner in range(3):
            x = mesh.vertices[mesh.faces[face, corner], 0]
            u, v = mesh.uv[face, corner]
            red, _, blue = texture[int(min(v, 0.99) * 256), int(min(u, 0.99) * 256)]
            assert (red > 200 and blue < 60) == (x < 0)
            height = mesh.vertices[mesh.faces[face, corner], 2]  # to 16 bits
            assert v == pytest.approx(0.5 - 2 * height, abs=1e-4)


def glb(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def triangle_glb(**changes: Any) -> bytes:
    """A triangle moved by (10, 0, 0) and turned half round z, of colour (0.2, 0.4, 0.6)."""
    positions = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0]], "<f4").tobytes()
    uv = np.array([[0, 0], [1, 0], [0, 1]], "<f4").tobytes()
    indices = np.array([0, 1, 2], "<u2").tobytes()
    views, start = [], 0
    for part in (positions, uv, indices):
        views.append({"buffer": 0, "byteOffset": start, "byteLength": len(part)})
        start += len(part)
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "translation": [10, 0, 0], "rotation": [0, 0, 1, 0]}],
        "meshes": [
            {
                "primitives": [
                    {"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0}
                ]
            }
        ],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [0.2, 0.4, 0.6, 1]}}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5126, "count": 3, "type": "VEC2"},
            {"bufferView": 2, "componentType": 5123, "count": 3, "type": "SCALAR"},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": start}],
        **changes,
    }
    return glb(document, positions + uv + indices)


def test_a_glb_is_read_with_its_transforms(tmp_path: Path) -> None:
    path = tmp_path / "t.glb"
    path.write_bytes(triangle_glb())
    mesh = read_mesh(path)
    np.testing.assert_allclose(mesh.positions, [[10, 0, 0], [9, 0, 0], [10, -2, 0]], atol=1e-6)
    np.testing.assert_allclose(mesh.uv, [[0, 1], [1, 1], [0, 0]])
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2]])
    assert mesh.materials[mesh.material[0]].color == (0.2, 0.4, 0.6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "does not begin with glTF"),
        (triangle_glb()[:200], "200 of"),
        (triangle_glb(extensionsRequired=["KHR_draco_mesh_compression"]), "Draco"),
        (triangle_glb(nodes=[{}]), "no triangles"),
        (triangle_glb(nodes=[{"children": [0]}]), "loop"),
        (triangle_glb(bufferViews=[{"byteOffset": 9999}] * 3), "past the end"),
        (triangle_glb(bufferViews=[{"byteStride": 0}] * 3), "0 bytes apart"),
        (triangle_glb(scenes=[None]), "NoneType"),
        (triangle_glb(materials=[{"pbrMetallicRoughness": {"baseColorFactor": "red"}}]), "float"),
        (glb([], b""), "list"),  # type: ignore[arg-type]
    ],
)
def test_a_broken_glb_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.glb").write_bytes(content)
    with pytest.raises(ValueError, match=rf"x.glb: not a readable mesh .*{said}"):
        read_mesh(tmp_path / "x.glb")


def test_a_glb_nested_without_end_is_named(tmp_path: Path) -> None:
    data = triangle_glb()
    size = struct.unpack_from("<I", data, 12)[0]
    (tmp_path / "x.glb").write_bytes(data[:20] + b"[" * size + data[20 + size :])
    with pytest.raises(ValueError, match=r"x.glb: not a readable mesh"):
        read_mesh(tmp_path / "x.glb")


@pytest.mark.parametrize("text", ["", "v 0 0 0\nf 1 2 3\n", "v 0 0 x\n", "f 0 0 0\n", "\0\xff\n"])
def test_a_broken_obj_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.obj").write_text(text)
    with pytest.raises(ValueError, match=r"x.obj: not a readable mesh"):
        read_mesh(tmp_path / "x.obj")


def test_other_mesh_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.stl").write_text("solid")
    with pytest.raises(ValueError, match=r"expected .obj or .glb, got .stl"):
        read_mesh(tmp_path / "x.stl")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_mesh(tmp_path / "none.obj")


def test_negative_indices_count_from_the_end() -> None:
    mesh = parse_obj(b"v 9 9 9\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\n", lambda _: None)
    np.testing.assert_array_equal(mesh.positions[mesh.faces[0]], [[0, 0, 0], [1, 0, 0], [0, 1, 0]])


def test_a_vertex_no_face_uses_changes_nothing() -> None:
    def made(positions: list[list[float]]) -> assets.Mesh:
        count, faces = 2, np.array([[0, 1, 2], [0, 2, 3]])
        uv, texture, color = np.zeros((count, 3, 2)), np.full(count, -1), np.ones((count, 3))
        return make_mesh("", "", np.array(positions, float), faces, uv, texture, color)

    square = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    alone, stray = made(square), made([*square, [1e9, -1e9, 5]])
    np.testing.assert_array_equal(alone.vertices, stray.vertices)
    np.testing.assert_array_equal(alone.faces, stray.faces)
    assert len(alone.vertices) == 4


def test_vertices_at_one_place_are_welded() -> None:
    """Two triangles that name their common edge twice: 4 vertices, not 6."""
    positions = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 1, 1e-6]])
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    mesh = make_mesh("", "", positions, faces, np.zeros((2, 3, 2)), np.full(2, -1), np.ones((2, 3)))
    assert len(mesh.vertices) == 4
    assert len(set(mesh.faces[0]) & set(mesh.faces[1])) == 2


def test_a_large_mesh_is_simplified_and_keeps_its_form() -> None:
    """A sphere of 19,600 faces: fewer faces, still a sphere."""
    steps = np.linspace(0, 2 * np.pi, 101)[:-1]
    heights = np.linspace(-1, 1, 100)
    ring = np.sqrt(1 - heights**2)
    positions = np.stack(
        [np.outer(ring, np.cos(steps)), np.outer(ring, np.sin(steps)),
         np.repeat(heights[:, None], 100, 1)], axis=-1,
    ).reshape(-1, 3)  # fmt: skip
    i, j = (a.ravel() for a in np.meshgrid(range(99), range(100), indexing="ij"))
    a, b = i * 100 + j, i * 100 + (j + 1) % 100
    faces = np.concatenate([np.stack([a, b, a + 100], 1), np.stack([b, b + 100, a + 100], 1)])
    uv = np.zeros((len(positions), 2))
    ball = pack_writer.RawMesh(positions, uv, faces, np.zeros(len(faces), int), ())
    small = pack_writer.simplify(ball, 2000)
    assert 800 < len(small.faces) <= 2000
    radius = np.linalg.norm(small.positions[np.unique(small.faces)], axis=1)
    assert radius.min() > 0.9
    assert radius.max() < 1.05
    assert pack_writer.simplify(ball, 50_000) is ball


# --------------------------------------------------------------------------------- building


def test_every_item_of_users_folders_has_a_line(pack: Path) -> None:
    lines = json.loads((pack / "manifest.json").read_text())
    own = [line for line in lines if line["source"].startswith("user:")]
    assert {(line["kind"], line["path"]) for line in own} == {
        ("texture", "a.png"),
        ("mesh", "quad.obj"),
    }
    assert all(line["license"] == "the user's own" for line in own)
    assert len(lines) == 2 + 3


def test_a_large_photo_gives_three_views_of_one_group(tmp_path: Path) -> None:
    image(tmp_path / "images" / "p.png", 900, 1400)
    image(tmp_path / "images" / "small.png", 30, 40)
    choice = sources.Choice(sources=(), photos=(tmp_path / "images",))
    sources.build(tmp_path / "pack", choice)
    pack = assets.load(tmp_path / "pack")
    assert len(pack.photos) == 4
    assert len({pack.groups[i] for i in pack.photos}) == 2
    assert not pack.meshes


def test_meshes_of_one_name_in_folders_of_one_name_are_two(tmp_path: Path) -> None:
    image(tmp_path / "images" / "a.png")
    quad(tmp_path / "a" / "meshes")
    quad(tmp_path / "b" / "meshes")
    (tmp_path / "b" / "meshes" / "quad.mtl").write_text("newmtl red\nKd 0.1 0.1 0.9\n")
    folders = tmp_path / "a" / "meshes", tmp_path / "b" / "meshes"
    choice = sources.Choice(sources=(), textures=(tmp_path / "images",), meshes=folders)
    sources.build(tmp_path / "pack", choice)
    first, second = assets.load(tmp_path / "pack").meshes
    np.testing.assert_allclose([first.color[0, 0], second.color[0, 0]], [0.9, 0.1], rtol=1e-6)


def test_unusable_files_are_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    image(tmp_path / "images" / "good.png")
    (tmp_path / "images" / "bad.jpg").write_bytes(b"\xff\xd8 no image")
    (tmp_path / "images" / "empty.png").write_bytes(b"")
    image(tmp_path / "images" / "pixel.png", 1, 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    image(tmp_path / "images" / "huge.png", 200, 200)
    quad(tmp_path / "meshes")
    (tmp_path / "meshes" / "flat.obj").write_text("v 0 0 0\nv 1 1 1\nv 2 2 2\nf 1 2 3\n")
    (tmp_path / "meshes" / "nan.obj").write_text("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    nine = [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 2, "material": 9}]}]
    (tmp_path / "meshes" / "nine.glb").write_bytes(triangle_glb(meshes=nine))
    (tmp_path / "meshes" / "long.obj").write_text(f"mtllib {'a' * 300}\n{QUAD_OBJ}")
    folders = {"textures": (tmp_path / "images",), "meshes": (tmp_path / "meshes",)}
    with caplog.at_level(logging.WARNING):
        sources.build(tmp_path / "pack", sources.Choice(sources=(), **folders))
    for name in ("bad.jpg", "empty.png", "huge.png", "flat.obj", "nan.obj", "nine.glb", "long.obj"):
        assert name in caplog.text
    pack = assets.load(tmp_path / "pack")
    assert len(pack.meshes) == 1
    plain = [i for i in pack.surfaces if pack.groups[i].endswith("pixel.png")]
    assert len(plain) == 1, "an image of one pixel is a plain texture"
    assert pack.textures[plain[0]].shape == (256, 256, 3)


def test_a_build_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image(tmp_path / "a" / "1.png")
    image(tmp_path / "b" / "2.png", 50, 50)
    choice = sources.Choice(sources=(), textures=(tmp_path / "a",), photos=(tmp_path / "b",))
    real = pack_writer.PackWriter.add_texture

    def fail(self: Any, image: Any, **line: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pack_writer.PackWriter, "add_texture", fail)
    with pytest.raises(OSError, match="No space left"):
        sources.build(tmp_path / "pack", choice)
    with pytest.raises(FileNotFoundError, match=r"found none in it; make a pack"):
        assets.load(tmp_path / "pack")
    monkeypatch.setattr(pack_writer.PackWriter, "add_texture", real)
    said: list[str] = []
    sources.build(tmp_path / "pack", choice, progress=said.append)
    assert f"{tmp_path / 'b'}: done before" in said
    assert len(assets.load(tmp_path / "pack").photos) == 1


def test_a_folder_is_the_pack_of_the_last_choice(tmp_path: Path) -> None:
    image(tmp_path / "a" / "1.png")
    image(tmp_path / "b" / "2.png", 50, 50)

    def paths(*folders: str) -> set[str]:
        choice = sources.Choice(sources=(), textures=tuple(tmp_path / name for name in folders))
        sources.build(tmp_path / "pack", choice)
        pack = assets.load(tmp_path / "pack")
        return {g.split("/")[-1] for g in pack.groups if g.startswith("user")}

    assert paths("a", "b") == {"1.png", "2.png"}
    assert paths("b") == {"2.png"}
    assert paths("a") == {"1.png"}
    lines = json.loads((tmp_path / "pack" / "manifest.json").read_text())
    images = [f"textures/{p.name}" for p in (tmp_path / "pack" / "textures").iterdir()]
    assert sorted(images) == sorted(line["file"] for line in lines)


def test_folders_and_sources_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected a folder of mesh files"):
        sources.build(tmp_path / "p", sources.Choice((), meshes=(tmp_path / "none",)))
    with pytest.raises(ValueError, match=r"no source 'deb:nothing': there are deb:sweethome3d"):
        sources.build(tmp_path / "p", sources.Choice(("deb:nothing",)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="found none; check the folder"):
        sources.build(tmp_path / "p", sources.Choice((), photos=(tmp_path / "empty",)))


def wheel(cache: Path, name: str, files: dict[str, bytes]) -> None:
    cache.mkdir(exist_ok=True)
    with zipfile.ZipFile(cache / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)


def test_a_package_in_the_cache_is_taken_with_its_licence(tmp_path: Path) -> None:
    content = image(tmp_path / "c.png").read_bytes()
    listed = sources.known()["pypi:scikit-image"].files
    wheel(tmp_path / "cache", "scikit_image", dict.fromkeys(listed, content))
    choice = sources.Choice(("pypi:scikit-image",))
    sources.build(tmp_path / "pack", choice, cache=tmp_path / "cache")
    lines = json.loads((tmp_path / "pack" / "manifest.json").read_text())
    (line,) = [line for line in lines if line["source"] == "pypi:scikit-image"][:1]
    assert (line["kind"], line["license"]) == ("photo", "CC0-1.0")
    assert "Stefan van der Walt" in line["author"]


def test_a_damaged_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "scikit_image-1.0-py3-none-any.whl").write_bytes(b"cut")
    choice = sources.Choice(("pypi:scikit-image",))
    with pytest.raises(ValueError, match=r"whl: not a readable package .* delete it"):
        sources.build(tmp_path / "pack", choice, cache=tmp_path / "cache")


def test_failed_downloads_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> SimpleNamespace:
        return SimpleNamespace(returncode=100, stdout="", stderr=said)

    monkeypatch.setattr(packages.shutil, "which", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr(subprocess, "run", run)
    said = "E: Unable to locate package nothing\n"
    with pytest.raises(OSError, match=r"Unable to locate package nothing; run `apt-get update`"):
        packages.fetch("deb:nothing", tmp_path)
    said = "E: write error: No space left on device"
    with pytest.raises(OSError, match="disk is full; make room") as raised:
        packages.fetch("deb:nothing", tmp_path)
    assert raised.value.errno == errno.ENOSPC
    monkeypatch.setattr(packages.shutil, "which", lambda _: None)
    with pytest.raises(FileNotFoundError, match=r"expected the program apt-get .* put it as"):
        packages.fetch("deb:nothing", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_small_for_a_package_is_told_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = SimpleNamespace(stdout="Package: big\nInstalled-Size: 2000000\nSize: 900000000\n")
    monkeypatch.setattr(packages.shutil, "which", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: shown)
    monkeypatch.setattr(packages.shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000_000))
    with pytest.raises(OSError, match=r"needs 2948 MB while it is unpacked, 5 MB are free"):
        packages.fetch("deb:big", tmp_path)


COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2010 Somebody
License: GPL-2+

Files: data/photos/a.jpg
 data/photos/b.jpg
Copyright: 2018, Ann
 2019, Ben
License: CC-BY-4.0

Files: Models/*
Copyright: Carl
License: CC0

License: CC0
 The text of it
"""


def test_rights_come_from_the_copyright_file_of_a_debian_package() -> None:
    tree = {"usr/share/doc/x/copyright": COPYRIGHT.encode}
    found = rights.Rights(tree)
    assert found.of("usr/share/x/a.jpg") == ("CC-BY-4.0", "2018, Ann; 2019, Ben")
    assert found.of("usr/share/x/c.jpg") == ("GPL-2+", "2010 Somebody")
    assert found.of("Models/deep/chair.obj") == ("CC0", "Carl")


@pytest.mark.parametrize(
    ("license", "free"),
    [
        *[(name, True) for name in ("CC0", "CC-BY-3.0", "CC-BY-4.0", "MIT", "Expat", "Apache-2.0")],
        *[(name, True) for name in ("public-domain", "zlib")],
        *[(name, False) for name in ("CC-BY-SA-3.0", "GPL-2+", "LGPL-3/CC-BY-SA", "GFDL-1.2+")],
        *[(name, False) for name in ("CC-BY-NC-4.0", "unknown", "", "the user's own")],
    ],
)
def test_permissive_means_without_conditions_on_what_is_made(license: str, free: bool) -> None:
    assert rights.is_permissive(license) == free


# ------------------------------------------------------------------------------- panoramas


def test_a_panorama_is_seen_to_the_side_its_columns_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four quarters of four colours, the first ahead: each view shows its own in the middle.

    Longitude 0 is the middle column; a quarter to the right is longitude 90.
    """
    light = np.zeros((64, 128, 3), np.float32)
    quarters = {0: [1, 0.1, 0.1], 1: [0.1, 1, 0.1], 2: [0.1, 0.1, 1], 3: [1, 1, 0.1]}
    for column in range(128):
        longitude = (column + 0.5) / 128 * 360 - 180
        light[:, column] = quarters[int((longitude + 45) // 90) % 4]
    light[:26] *= 3  # brighter sky
    monkeypatch.setattr(panoramas, "_read", lambda _: light)
    shown = panoramas.views(b"")
    for view, color in zip(shown, quarters.values(), strict=True):
        assert view.shape == (512, 512, 3)
        middle = view[300, 256].astype(int)
        assert ((middle > 100) == (np.array(color) > 0.5)).all()
        assert (view[20, 256].astype(int) >= middle).all()


def test_there_is_no_seam_where_a_panorama_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = np.cos(np.linspace(-np.pi, np.pi, 129)[:-1] + np.pi / 128) + 2
    light = np.broadcast_to(turn[None, :, None], (64, 128, 3)).astype(np.float32)
    monkeypatch.setattr(panoramas, "_read", lambda _: light)
    behind = panoramas.views(b"")[2].astype(int)
    assert np.abs(np.diff(behind[256], axis=0)).max() <= 2


def test_panoramas_say_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(FileNotFoundError, match=r"pip install OpenEXR, or leave the source"):
        panoramas.views(b"")


# ---------------------------------------------------------------------------- broken packs


def test_a_missing_pack_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="found no such folder; make a pack with"):
        assets.load(tmp_path / "none")


@pytest.mark.parametrize("text", ["", "[", "{}x", '[{"file": "a"}]', "[3]"])
def test_a_broken_manifest_is_named(pack: Path, text: str) -> None:
    (pack / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest.json: expected a list of items"):
        assets.load(pack)


def test_a_manifest_without_textures_is_refused(pack: Path) -> None:
    edit(pack, lambda lines: lines.clear())
    with pytest.raises(ValueError, match="at least one texture or photo"):
        assets.load(pack)


def test_an_image_that_does_not_decode_is_named(pack: Path) -> None:
    broken = next((pack / "textures").iterdir())
    broken.write_bytes(broken.read_bytes()[:20])
    edit(pack, lambda lines: None)
    with pytest.raises(ValueError, match=rf"{broken.name}: expected an image, 20 bytes"):
        assets.load(pack)
    broken.unlink()
    edit(pack, lambda lines: None)
    with pytest.raises(FileNotFoundError, match=rf"{broken.name}: expected an image, no such"):
        assets.load(pack)


def rewrite_mesh(pack: Path, key: str, change: Any) -> None:
    with np.load(pack / "meshes.npz") as stored:
        arrays = dict(stored)
    (name,) = [name for name in arrays if name.endswith(key)]
    arrays[name] = change(arrays[name])
    np.savez(pack / "meshes.npz", **arrays)
    edit(pack, lambda lines: None)


def test_a_broken_mesh_is_named(pack: Path) -> None:
    rewrite_mesh(pack, "_f", lambda faces: faces + 90)
    with pytest.raises(ValueError, match=r"\(quad.obj\): broken mesh: .*delete its line"):
        assets.load(pack)


def test_a_mesh_without_area_is_named(pack: Path) -> None:
    rewrite_mesh(pack, "_f", np.zeros_like)
    with pytest.raises(ValueError, match=r"\(quad.obj\): broken mesh"):
        assets.load(pack)


def test_missing_mesh_arrays_are_named(pack: Path) -> None:
    np.savez(pack / "meshes.npz")
    edit(pack, lambda lines: None)
    with pytest.raises(ValueError, match=r"\(quad.obj\): broken mesh: .*_v"):
        assets.load(pack)
    (pack / "meshes.npz").write_bytes(b"cut")
    edit(pack, lambda lines: None)
    with pytest.raises(ValueError, match=r"meshes.npz: not a readable .npz"):
        assets.load(pack)
    (pack / "meshes.npz").unlink()
    edit(pack, lambda lines: None)
    with pytest.raises(FileNotFoundError, match="lists 1 meshes but the file is missing"):
        assets.load(pack)


def test_a_mesh_may_not_reach_outside_its_materials(pack: Path) -> None:
    edit(pack, lambda lines: mesh_line(lines)["materials"].clear())
    with pytest.raises(ValueError, match=r"\(quad.obj\): broken mesh"):
        assets.load(pack)


def test_a_changed_pack_is_read_again(pack: Path) -> None:
    before = assets.load(pack)
    assert assets.load(pack) is before
    edit(pack, lambda lines: lines.remove(mesh_line(lines)))
    after = assets.load(pack)
    assert not after.meshes
    assert after.fingerprint != before.fingerprint


def test_the_small_pack_can_be_built_from_its_list() -> None:
    """Each line of tools/small_pack.txt is in the shipped manifest, and the other way round."""
    listed = (Path(__file__).parents[1] / "tools" / "small_pack.txt").read_text().splitlines()
    lines = json.loads((assets.SHIPPED / "manifest.json").read_text())
    shipped = {line["path"] for line in lines if not line["source"].startswith("code")}
    assert set(listed) == shipped
