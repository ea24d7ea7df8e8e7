"""The house's rules: which way imports point, what an `__init__` may hold, sizes, tests and packaging."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]

FOLDERS = ("wire", "conf", "broker", "adapters", "cli", "examples")

ALLOWED: dict[str, set[str]] = {
    "wire": set(),
    "conf": {"wire"},
    "broker": {"conf", "wire"},
    "adapters": {"wire"},
    "cli": {"adapters", "broker", "conf", "examples", "public", "wire"},
    "examples": {"adapters", "public"},
    # The public names, and the in-memory broker for users' own tests.
    "src/lanebus/__init__.py": {"adapters", "wire"},
    "src/lanebus/testing.py": {"adapters", "broker", "conf", "public", "wire"},
}
"""What each part may import besides itself; `public` is the package lanebus itself."""

TESTED_FOLDERS = ("wire", "broker", "adapters", "conf")
"""Folders of which every module has a test file of its own."""

LINES_PER_FILE = 500


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            if "__pycache__" not in path.parts:
                yield path


def own_sources() -> list[Path]:
    return [*sources(*FOLDERS), *sorted((REPOSITORY / "src" / "lanebus").glob("*.py"))]


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def part_of(path: Path) -> str:
    name = name_of(path)
    return name if name.startswith("src/") else name.split("/")[0]


def imported_parts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and part for every import of lanebus in a file, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "lanebus":
                part = rest.partition(".")[0]
                yield node.lineno, part if part in FOLDERS else "public"


def pyproject() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", own_sources(), ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    part = part_of(path)
    wrong = [(line, to) for line, to in imported_parts(path) if to != part and to not in ALLOWED[part]]
    assert not wrong, f"{name_of(path)} imports what {part} must not: {wrong}"


@pytest.mark.parametrize("path", [path for path in own_sources() if path.name == "__init__.py"], ids=name_of)
def test_an_init_file_implements_nothing(path: Path) -> None:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assert body, f"{name_of(path)} has no docstring"
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant), f"{name_of(path)} has no docstring"
    for node in body[1:]:
        names = [ast.unparse(target) for target in node.targets] if isinstance(node, ast.Assign) else []
        assert isinstance(node, ast.Import | ast.ImportFrom) or names in (["__all__"], ["__version__"]), (
            f"{name_of(path)}:{node.lineno} holds more than imports, __all__ and __version__"
        )


@pytest.mark.parametrize("path", [*own_sources(), *sources("tests", "benchmarks")], ids=name_of)
def test_no_file_is_too_long(path: Path) -> None:
    count = len(path.read_text(encoding="utf-8").splitlines())
    assert count <= LINES_PER_FILE, f"{name_of(path)} has {count} lines: divide it by what its parts do"


@pytest.mark.parametrize(
    "path", [path for path in sources(*TESTED_FOLDERS) if path.name != "__init__.py"], ids=name_of
)
def test_every_module_has_its_test_file(path: Path) -> None:
    inside = path.relative_to(REPOSITORY)
    expected = REPOSITORY / "tests" / inside.parent / f"test_{inside.name}"
    assert expected.is_file(), f"{name_of(path)} has no {name_of(expected)}"


def test_every_folder_with_code_is_packaged() -> None:
    setuptools = pyproject()["tool"]["setuptools"]
    folders = {path.parent for path in own_sources()}
    found = {folder.relative_to(REPOSITORY).as_posix() for folder in folders}
    assert set(setuptools["package-dir"]) == set(setuptools["packages"])
    assert found == set(setuptools["package-dir"].values())
    for package, folder in setuptools["package-dir"].items():
        inside = folder.removeprefix("src/lanebus").strip("/").replace("/", ".")
        assert package == ".".join(filter(None, ("lanebus", inside)))
        assert (REPOSITORY / folder / "__init__.py").is_file(), f"{folder} has no __init__.py"


def test_type_checkers_reach_every_folder_by_its_link() -> None:
    for folder in FOLDERS:
        link = REPOSITORY / "src" / "lanebus" / folder
        assert link.is_symlink(), f"{name_of(link)} is no link: the checkout lost it"
        assert link.resolve() == REPOSITORY / folder
    pyright = pyproject()["tool"]["pyright"]
    assert set(pyright["include"]) == {f"src/lanebus/{folder}" for folder in FOLDERS} | {"tests"}
    assert set(pyright["ignore"]) == set(FOLDERS)


def test_what_is_compiled_is_there_and_defines_no_messages() -> None:
    names = pyproject()["tool"]["lanebus"]["compiled"]
    assert len(names) == len(set(names))
    for name in names:
        path = (REPOSITORY / name.removeprefix("lanebus.").replace(".", "/")).with_suffix(".py")
        assert path.is_file(), f"{name} is to be compiled, and is not there"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            bases = [ast.unparse(base) for base in node.bases] if isinstance(node, ast.ClassDef) else []
            # mypyc takes the types of their fields away, by which msgspec decodes them.
            assert not {"Struct", "msgspec.Struct"} & set(bases), f"{name} defines messages"


def test_one_version() -> None:
    text = (REPOSITORY / "src" / "lanebus" / "__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{pyproject()["project"]["version"]}"' in text


def test_coverage_is_demanded_with_branches() -> None:
    coverage = pyproject()["tool"]["coverage"]
    assert coverage["run"] == {"branch": True, "source_pkgs": ["lanebus"]}, "all of it is counted"
    assert coverage["report"]["fail_under"] >= 95
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.split("\ntest: ")[1].split("\n\n")[0]
    assert "$(PYTEST) $(SIDE_BY_SIDE) --cov " in recipe
    assert "fail-under" not in recipe


def test_the_quick_check_leaves_out_nothing_but_processes_and_coverage() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.split("\ncheck: ")[1].split("\n\n")[0]
    assert recipe.startswith("lint ")
    assert '$(PYTEST) $(SIDE_BY_SIDE) -m "not system"' in recipe
    assert set(recipe.split()) >= {*(f"tests/{folder}" for folder in TESTED_FOLDERS), "tests/test_*.py"}
    assert "--cov" not in recipe


def test_every_target_is_named_where_people_look_for_it() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    shown = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    told = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^make ([a-z-]+)  ", told, re.MULTILINE)) <= shown
    assert {"check", "test", "lint"} <= set(re.findall(r"^make ([a-z-]+)  ", told, re.MULTILINE))
