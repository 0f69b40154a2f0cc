"""Synthetic clips as a stream, and as shards on disk."""

import errno
import io
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tapnet import files
from tapnet.data import shards, tapvid, validation
from tapnet.data.synthetic import Recipe, Synthetic, loader
from tapnet.scenes import Settings, assets
from tapnet.structs import Example

SMALL = Settings(size=(48, 64), frames=3, points=8, samples=1, objects=(1, 3))
RECIPE = Recipe(seed=5, settings=SMALL)


def same(a: Example, b: Example) -> bool:
    pairs = [(getattr(a, k), getattr(b, k)) for k in ("video", "target_points", "occluded")]
    return a.name == b.name and all(np.array_equal(x, y) for x, y in pairs)


# --------------------------------------------------------------------------------- stream


@pytest.mark.parametrize("workers", [1, 2])
def test_the_samples_do_not_depend_on_the_number_of_workers(workers: int) -> None:
    alone = list(loader(Synthetic(RECIPE, 5)))
    assert [e.name for e in alone] == [f"train-5-{i:06d}" for i in range(5)]
    together = list(loader(Synthetic(RECIPE, 5), workers=workers))
    assert len(together) == 5
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))


def test_a_sample_depends_on_seed_index_and_part() -> None:
    seeds = {
        Recipe(seed=seed, settings=SMALL, part=part).scene(index).seed
        for seed in (0, 1)
        for index in (0, 1)
        for part in ("train", "validation")
    }
    assert len(seeds) == 8
    assert Recipe(settings=SMALL).scene(1) == Recipe(settings=SMALL).scene(1)


def test_ranks_share_the_stream_and_start_goes_on() -> None:
    def names(**where: int) -> list[str]:
        return [e.name[-2:] for e in Synthetic(RECIPE, 2, **where)]

    assert names(rank=0, world=2) == ["00", "02"]
    assert names(rank=1, world=2) == ["01", "03"]
    assert names(start=4, rank=1, world=2) == ["05", "07"]


def test_clips_have_the_size_asked_for() -> None:
    example = RECIPE.example(0)
    assert example.video.shape == (3, 48, 64, 3)
    assert example.target_points.shape == (8, 3, 2)


def test_bad_counts_and_ranks_are_refused() -> None:
    with pytest.raises(ValueError, match="count: expected 0 or more"):
        Synthetic(RECIPE, -1)
    with pytest.raises(ValueError, match="rank 2, world 2"):
        Synthetic(RECIPE, rank=2, world=2)
    assert list(Synthetic(RECIPE, 0)) == []


def test_training_and_validation_clips_share_no_asset() -> None:
    train, held = RECIPE.assets(), Recipe(part="validation").assets()
    used = {int(i) for mesh in train.meshes for i in np.unique(mesh.texture)} - {-1}
    used_held = {int(i) for mesh in held.meshes for i in np.unique(mesh.texture)} - {-1}
    assert not used & used_held
    assert not {m.group for m in train.meshes} & {m.group for m in held.meshes}
    for kind in ("surfaces", "photos"):
        a = {train.groups[i] for i in getattr(train, kind)}
        assert not a & {held.groups[i] for i in getattr(held, kind)}
    assert len(held.meshes) > 10
    assert len(train.meshes) > 4 * len(held.meshes)


# --------------------------------------------------------------------------------- shards


def test_shards_give_back_the_clips(tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []
    done = shards.write(tmp_path, RECIPE, 3, per_shard=2, progress=lambda a, b: said.append((a, b)))
    assert done == 3
    assert said == [(1, 3), (2, 3), (3, 3)]
    assert [p.name for p in shards.files(tmp_path)] == ["clips-00000.tar", "clips-00001.tar"]
    for index, example in enumerate(shards.read(tmp_path)):
        truth = RECIPE.example(index)
        assert example.name == truth.name
        np.testing.assert_array_equal(example.target_points, truth.target_points)
        np.testing.assert_array_equal(example.query_points, truth.query_points)
        np.testing.assert_array_equal(example.occluded, truth.occluded)
        stored = shards.encode("x", truth, {})
        for t, frame in enumerate(example.video):
            with Image.open(io.BytesIO(stored[f"x.frame-{t:04d}.jpg"])) as image:
                np.testing.assert_array_equal(frame, np.asarray(image))
    assert index == 2


def test_colours_survive_the_jpeg_of_a_shard() -> None:
    """A smooth picture with a sharp red-blue edge, which halved chroma would blur."""
    y, x = np.mgrid[:32, :48].astype(np.float32)
    frame = np.stack([y * 7, x * 5, 255 - y * 7], axis=-1).astype(np.uint8)
    frame[:, 25:] = [[[220, 20, 20]]]
    frame[16:, 25:] = [[[20, 20, 220]]]
    none = np.zeros((0, 3)), np.zeros((0, 1, 2)), np.zeros((0, 1), bool)
    stored = shards.encode("x", Example("x", frame[None], *none), {})
    shown = shards._decode(stored["x.frame-0000.jpg"]).astype(int)
    difference = np.abs(shown - frame)
    assert difference.mean() < 2
    assert difference[:, 27:46].max() < 16, "also beside the edge"


def test_a_stopped_writer_goes_on_and_the_files_are_equal(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, _: int) -> None:
        if done == 3:
            raise Stop

    with pytest.raises(Stop):
        shards.write(tmp_path / "a", RECIPE, 5, per_shard=2, progress=stop)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["clips-00000.tar", "dataset.json"]
    (tmp_path / "a" / ".clips-00001-abc.tar").write_bytes(b"left by a kill")
    assert len(list(shards.read(tmp_path / "a"))) == 2, "only of the finished shard"
    assert shards.write(tmp_path / "a", RECIPE, 5, per_shard=2) == 3
    assert shards.write(tmp_path / "a", RECIPE, 5, per_shard=2) == 0
    assert shards.write(tmp_path / "b", RECIPE, 5, per_shard=2) == 5
    names = [p.name for p in (tmp_path / "a").iterdir()]
    assert sorted(names) == sorted(p.name for p in (tmp_path / "b").iterdir())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_larger_count_completes_the_last_shard(tmp_path: Path) -> None:
    shards.write(tmp_path, RECIPE, 1, per_shard=2)
    assert shards.write(tmp_path, RECIPE, 3, per_shard=2) == 3
    assert [e.name[-1] for e in shards.read(tmp_path)] == ["0", "1", "2"]


def test_clips_of_another_recipe_are_not_mixed_in(tmp_path: Path) -> None:
    shards.write(tmp_path, RECIPE, 1)
    with pytest.raises(ValueError, match="seed = 5, asked was 6; take another folder"):
        shards.write(tmp_path, Recipe(seed=6, settings=SMALL), 1)


def test_a_full_disk_keeps_the_finished_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, added = tarfile.TarFile.addfile, []

    def full(self: tarfile.TarFile, info: tarfile.TarInfo, data: io.BytesIO | None = None) -> None:
        added.append(info.name)
        if len(added) > 8:  # 5 files per clip
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, info, data)

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(OSError, match=r"disk is full; 1 finished shards are kept") as raised:
        shards.write(tmp_path, RECIPE, 3, per_shard=1)
    assert raised.value.errno == errno.ENOSPC
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clips-00000.tar", "dataset.json"]


def test_other_tools_find_one_key_and_its_parts(tmp_path: Path) -> None:
    """WebDataset: what stands before the first dot is the key; files of a key are together."""
    shards.write(tmp_path, RECIPE, 2)
    with tarfile.open(tmp_path / "clips-00000.tar") as tar:
        names = tar.getnames()
    assert names[:3] == ["clip-000000.json", "clip-000000.tracks.npz", "clip-000000.frame-0000.jpg"]
    keys = [name.split(".")[0] for name in names]
    assert keys == ["clip-000000"] * 5 + ["clip-000001"] * 5


def test_damaged_shards_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder; make some with"):
        list(shards.read(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="there are none in it"):
        list(shards.read(tmp_path))
    shards.write(tmp_path, RECIPE, 1)
    shard = tmp_path / "clips-00000.tar"
    whole = shard.read_bytes()
    shard.write_bytes(b"no tar at all" * 100)
    with pytest.raises(ValueError, match=r"clips-00000.tar: expected a tar of clips"):
        list(shards.read(tmp_path))
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"clips-00000.tar"):
        list(shards.read(tmp_path))
    repack(shard, whole, leave_out="frame-0001.jpg")
    with pytest.raises(ValueError, match=r"clip-000000: expected .* but 'frame-0001.jpg'"):
        list(shards.read(tmp_path))
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        (name,) = (name for name in tar.getnames() if name.endswith("0.tracks.npz"))
        tracks = tar.extractfile(name).read()
    flipped = bytearray(tracks)
    flipped[120] ^= 255  # within what is compressed
    for part, content in (
        ("tracks.npz", flipped),
        ("tracks.npz", tracks[:40]),
        ("frame-0001.jpg", b""),
        ("json", b"[]"),
        ("json", b'{"name": "a", "frames": 1000000000000}'),
        ("tracks.npz", npz(target_points=np.full((1, 3, 2), "a"))),
        ("tracks.npz", npz(occluded=np.zeros((1, 3)))),
    ):
        repack(shard, whole, leave_out=part, instead=bytes(content))
        with pytest.raises(ValueError, match=r"clips-00000.tar, clip-000000: expected json"):
            list(shards.read(tmp_path))


def test_a_shard_that_was_cut_is_rendered_again(tmp_path: Path) -> None:
    shards.write(tmp_path, RECIPE, 2)
    shard = tmp_path / "clips-00000.tar"
    whole = shard.read_bytes()
    with tarfile.open(shard) as tar:
        members = tar.getmembers()
    second = [member for member in members if member.name.endswith(".json")][1]
    for length in (
        0,
        second.offset_data + 512,
        members[-1].offset + 9,
        members[-1].offset_data + 9,
    ):
        shard.write_bytes(whole[:length])
        assert shards.write(tmp_path, RECIPE, 2) == 2
        assert shard.read_bytes() == whole
    assert shards.write(tmp_path, RECIPE, 2) == 0


def npz(**changes: np.ndarray) -> bytes:
    arrays = {
        "query_points": np.zeros((1, 3)),
        "target_points": np.zeros((1, 3, 2)),
        "occluded": np.zeros((1, 3), bool),
    }
    content = io.BytesIO()
    np.savez(content, **(arrays | changes))
    return content.getvalue()


def repack(path: Path, whole: bytes, leave_out: str, instead: bytes | None = None) -> None:
    with tarfile.open(fileobj=io.BytesIO(whole)) as old, tarfile.open(path, "w") as new:
        for member in old:
            if not member.name.endswith(leave_out):
                new.addfile(member, old.extractfile(member))
            elif instead is not None:
                member.size = len(instead)
                new.addfile(member, io.BytesIO(instead))


# ----------------------------------------------------------------------------- validation set


def test_the_validation_set_is_the_same_again_and_reads_as_tapvid(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    few = {"short": validation.Group(2, 3), "long": validation.Group(1, 5, first=7)}
    small = Settings(size=(32, 32), points=4, samples=1)
    first = validation.write(tmp_path / "a", groups=few, settings=small)
    again = validation.write(tmp_path / "b", groups=few, settings=small)
    assert first == again
    assert json.loads((tmp_path / "a" / "validation.json").read_text())["files"] == first
    clips = list(tapvid.read(tmp_path / "a" / "short.pkl"))
    assert [clip.name for clip in clips] == ["validation-0-000000", "validation-0-000001"]
    truth = Recipe(part="validation", settings=validation.of_length(small, 3)).example(1)
    np.testing.assert_array_equal(clips[1].video(), truth.video)
    np.testing.assert_allclose(clips[1].points * 32, truth.target_points, atol=1e-4)
    (long,) = tapvid.read(tmp_path / "a" / "long.pkl")
    assert (long.name, len(long)) == ("validation-0-000007", 5)


def test_the_validation_set_is_forty_short_and_ten_long_clips() -> None:
    sizes = {name: (group.clips, group.frames) for name, group in validation.GROUPS.items()}
    assert sizes == {"scenes-24": (40, 24), "scenes-96": (10, 96)}
    starts = [group.first for group in validation.GROUPS.values()]
    assert starts == [0, 1000], "a long clip must not be a short one that goes on"


def test_no_half_written_validation_file_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    few = {"short": validation.Group(1, 2)}
    with pytest.raises(OSError, match="No space left"):
        validation.write(
            tmp_path, groups=few, settings=Settings(size=(16, 16), points=2, samples=1)
        )
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------- page


def test_the_code_of_the_page_runs() -> None:
    page = (Path(__file__).parents[1] / "docs" / "scenes.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    ours = [block for block in blocks if "Kubric(" not in block]  # that one needs a download
    assert len(ours) == 2
    for block in ours:
        exec(compile(block, "docs/scenes.md", "exec"), {})


def test_the_page_counts_the_shipped_pack_right() -> None:
    page = (Path(__file__).parents[1] / "docs" / "scenes.md").read_text(encoding="utf-8")
    pack = assets.load()
    photographs = len({pack.groups[i] for i in pack.photos})
    assert (
        f"({len(pack.meshes)} objects, {len(pack.surfaces)} surface textures, "
        f"{len(pack.photos)} views of {photographs} photographs;" in page
    )
