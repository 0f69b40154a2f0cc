"""Imports point down (docs/design.md): words <- basics <- parts <- procedures <- faces."""

import ast
import sys
from pathlib import Path

import pytest

import tapnet

PACKAGE = Path(tapnet.__file__).parent
LAYERS = [
    {"structs", "geometry", "files", "stored", "pickles"},
    {"video", "queries", "metrics", "metrics3d", "draw", "scenes"},
    {"models", "baselines", "data", "losses"},
    {
        "train",
        "bootstrap",
        "evaluate",
        "stream",
        "tracker",
        "tracks",
        "checkpoint",
        "export",
        "annotation",
        "config",
        "configs",
        "demo",
        "deploy",
    },
    {
        "__main__",
        "cli",
        "cores",
        "data_cli",
        "evaluate_cli",
        "experiment",
        "faults",
        "live",
        "progress",
        "scenes_cli",
        "studio",
        "studio_cli",
    },
]
PARTS = LAYERS[2]
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE or p.stem != "__init__")


def top(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rank(name: str) -> int:
    found = [i for i, names in enumerate(LAYERS) if name in names]
    assert found, f"tapnet/{name} is in no layer: give it one in tests/test_layers.py"
    return found[0]


def imported_tops(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tapnet."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "tapnet":
            found |= {alias.name for alias in node.names if (PACKAGE / alias.name).exists()}
            found |= {a.name for a in node.names if (PACKAGE / f"{a.name}.py").exists()}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("tapnet.")}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down_and_parts_do_not_import_parts(path: Path) -> None:
    here = top(path)
    for there in imported_tops(path) - {here}:
        assert rank(there) <= rank(here), f"{here} imports {there}, which is above it"
        assert not (here in PARTS and there in PARTS), f"{here} imports {there}: parts stand apart"


def test_no_name_under_tapnet_hides_a_standard_or_installed_module() -> None:
    installed = {
        *sys.stdlib_module_names,
        *("torch", "numpy", "einops", "av", "cv2", "PIL", "safetensors", "tyro", "rich"),
        *("pytest", "hypothesis", "numba", "triton", "datasets", "fastapi", "uvicorn", "ray"),
    }
    names = {p.stem for p in PACKAGE.iterdir() if p.is_dir() or p.suffix == ".py"} - {"__init__"}
    assert not names & installed
