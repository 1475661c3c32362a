"""Imports go to lower levels only, optional and heavy packages have one door, importing the package is quick."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "b2scvr"
SCRIPTS = [ROOT / "train.py", ROOT / "test.py", *sorted((ROOT / "tools").glob("*.py"))]

LEVEL = {
    "types": 0, "registry": 0, "config": 0,
    "ops": 1, "bitstream": 1, "fill": 1, "checkpoints": 1,
    "layers": 2,
    "backbones": 3,
    "dac": 4, "cfc": 4, "baselines": 4,
    "data": 5, "losses": 5, "metrics": 5, "write": 5,
    "engine": 6, "pipeline": 6,
}  # fmt: skip
SIDEWAYS = {("fill", "ops")}  # classical guesses use the evidence tensor
FORBIDDEN = {(part, "bitstream") for part in ("dac", "cfc", "baselines")}  # they know carriers, not codecs
HIGHEST_FOR_LEVEL_5 = 1  # data, losses, metrics, write know no model
DOORS = {  # package: the only files that may import it
    "av": {"bitstream", "write/video.py"},
    "accelerate": {"engine/runtime.py"},
    "sam2": {"backbones/sam2.py", "backbones/sam2_video.py"},
    "timm": {"backbones/dinov2.py", "backbones/timm.py"},
    "open_clip": {"backbones/clip.py"},
    "mmengine": {"config.py", "registry.py"},
    "mmcv": {"ops/deform_conv.py"},
    "lpips": {"metrics/perceptual.py"},
}
WITHOUT_TORCH = ("types", "registry", "config", "bitstream", "write")


def imports(path):
    """Return (module, line) of every import of a file, those inside functions too; relative ones in full."""
    found = []
    parts = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [(name.name, node.lineno) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            if module == "b2scvr":
                found += [(f"b2scvr.{name.name}", node.lineno) for name in node.names]
            else:
                found.append((module, node.lineno))
    return found


def part_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def allowed(importer, imported):
    """Whether a part of the package may import another one."""
    if importer == imported or (importer, imported) in SIDEWAYS:
        return True
    if (importer, imported) in FORBIDDEN or LEVEL[imported] >= LEVEL[importer]:
        return False
    return LEVEL[importer] != 5 or LEVEL[imported] <= HIGHEST_FOR_LEVEL_5


MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_lower_levels_only(path):
    importer = part_of(path)
    assert importer in LEVEL, f"{importer} has no level: give it one here and in the README"
    for module, line in imports(path):
        if module.startswith("b2scvr."):
            imported = module.split(".")[1]
            if imported not in LEVEL:
                continue  # a name of b2scvr/__init__.py
            assert allowed(importer, imported), f"{path.relative_to(ROOT)}:{line} imports {module}"


@pytest.mark.parametrize("path", [*MODULES, PACKAGE / "__init__.py"], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_package_with_one_door_is_imported_there_only(path):
    place = path.relative_to(PACKAGE).as_posix()
    for module, line in imports(path):
        doors = DOORS.get(module.split(".")[0])
        if doors is not None:
            assert place in doors or place.split("/")[0] in doors, f"{place}:{line} imports {module}"


@pytest.mark.parametrize("part", WITHOUT_TORCH)
def test_parts_that_know_no_torch(part):
    files = [path for path in MODULES if part_of(path) == part]
    assert files
    for path in files:
        assert not [m for m, _ in imports(path) if m.split(".")[0] in ("torch", "torchvision")], path


def test_no_module_imports_a_script_and_nobody_imports_with_a_star():
    for path in [*MODULES, *filter(Path.exists, SCRIPTS)]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert all(name.name != "*" for name in node.names), f"{path}:{node.lineno}"
        if path in MODULES:
            assert not {m for m, _ in imports(path)} & {"tools", "train", "test"}, path


def test_importing_the_package_loads_neither_torch_nor_a_codec():
    code = "import sys, b2scvr; print(sorted({'torch', 'av', 'cv2', 'numpy', 'mmengine'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("importer", "imported", "fine"),
    [
        ("layers", "ops", True), ("ops", "layers", False), ("dac", "cfc", False), ("dac", "bitstream", False),
        ("write", "bitstream", True), ("metrics", "dac", False), ("fill", "ops", True), ("ops", "fill", False),
        ("pipeline", "cfc", True), ("pipeline", "engine", False),
    ],
)  # fmt: skip
def test_the_rule_itself(importer, imported, fine):
    assert allowed(importer, imported) is fine
