"""Who made the files of a package, and under which licence."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import PurePosixPath

Tree = dict[str, Callable[[], bytes]]  # path of a file in a package -> its content


def is_permissive(license: str) -> bool:
    """Whether a licence lets a work made with the item be passed on under any terms."""
    text = license.lower().replace("public domain", "public-domain")
    if re.search(r"sa\b|gpl|gfdl|\bnc\b|\bnd\b|user", text):
        return False
    return bool(re.search(r"cc0|cc-by|apache|expat|\bmit\b|bsd|public-domain|zlib", text))


class Rights:
    """Licence and author of the files of a package.

    From its Debian copyright file, its catalogue of models, or as stated for all of them.
    """

    def __init__(self, tree: Tree, license: str = "", author: str = "") -> None:
        self._fixed = (license, author)
        self._creators = _catalogue_authors(tree)
        self._rules: list[tuple[list[str], str, str]] = []
        for path, read in tree.items():
            if re.fullmatch(r"usr/share/doc/[^/]+/copyright", path):
                self._rules = _copyright_rules(read().decode("utf-8", "replace"))

    def of(self, path: str) -> tuple[str, str]:
        """(licence, author) of a file; what was stated for all files comes first."""
        license, author = "unknown", ""
        for globs, rule_license, rule_author in self._rules:
            if any(_matches(path, glob) for glob in globs):
                license, author = rule_license, rule_author
        creator = self._creators.get(path.partition("/")[2])
        return self._fixed[0] or license, self._fixed[1] or creator or author


def _catalogue_authors(tree: Tree) -> dict[str, str]:
    """Creator of each model (by its path in the archive) in Sweet Home 3D catalogues."""
    found: dict[str, str] = {}
    for path, read in tree.items():
        if PurePosixPath(path).name == "PluginFurnitureCatalog.properties":
            text = read().decode("latin-1")
            models = dict(re.findall(r"^model#(\d+)=/?(.*?)\s*$", text, re.M))
            creators = dict(re.findall(r"^creator#(\d+)=(.*?)\s*$", text, re.M))
            found |= {model: creators.get(number, "") for number, model in models.items()}
    return found


def _copyright_rules(text: str) -> list[tuple[list[str], str, str]]:
    """(globs, licence, authors) of each Files paragraph of a machine-readable copyright file."""
    rules = []
    for paragraph in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^([A-Z][\w-]*):[ \t]*((?:.*)(?:\n[ \t].*)*)", paragraph, re.M))
        if "Files" in fields and "License" in fields:
            authors = "; ".join(line.strip() for line in fields.get("Copyright", "").splitlines())
            license = fields["License"].splitlines()[0].strip()
            rules.append((fields["Files"].split(), license, authors.strip("; ")[:200]))
    return rules


def _matches(path: str, glob: str) -> bool:
    """Whether an installed path is meant by a glob over the source tree, whose folders differ."""
    if glob == "*":
        return True
    folder, _, name = glob.rpartition("/")
    parts: Sequence[str] = PurePosixPath(path).parts
    if name == "*":
        return PurePosixPath(folder).name in parts[:-1]
    return fnmatch(parts[-1], name)
