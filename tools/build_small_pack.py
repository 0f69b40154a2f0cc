"""Builds the pack that ships in tapnet/scenes/pack from the items listed in small_pack.txt.

    python tools/build_small_pack.py tapnet/scenes/pack [CACHE]

Only items that may be passed on under any terms are taken (CC0, CC-BY, MIT, public domain); the
authors are named in the manifest. Downloads about 690 MB into CACHE, kept there. Needs OpenEXR.
"""

import logging
import shutil
import sys
import tempfile
from pathlib import Path

from tapnet.scenes import sources

SOURCES = (
    "deb:sweethome3d-furniture",
    "deb:lomiri-wallpapers-16.04",
    "deb:blender-data",
    "deb:ufoai-textures",
    "pypi:robosuite",
    "pypi:scikit-learn",
    "pypi:scikit-image",
)
MOST_BYTES = 6_000_000


def main(pack: Path, cache: Path | None) -> None:
    listed = Path(__file__).with_name("small_pack.txt").read_text().splitlines()
    choice = sources.Choice(sources=SOURCES, permissive=True, only=frozenset(listed), quality=78)
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "pack"
        sources.build(built, choice, cache=cache, progress=print)
        shutil.rmtree(built / ".parts")
        shutil.copy(Path(__file__).with_name("small_pack_readme.md"), built / "README.md")
        size = sum(path.stat().st_size for path in built.rglob("*") if path.is_file())
        print(f"{size / 1e6:.2f} MB of at most {MOST_BYTES / 1e6:.0f} MB")
        if size > MOST_BYTES:
            raise SystemExit("too large: take lines out of small_pack.txt")
        shutil.rmtree(pack, ignore_errors=True)
        shutil.copytree(built, pack)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
