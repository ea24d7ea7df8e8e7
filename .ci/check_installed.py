"""Compare an installed lanebus with the repository it was built from.

Usage: check_installed.py REPOSITORY [--compiled], with the interpreter of the environment that has the wheel, from
another folder. Exits with a message when a module is missing, comes from the repository itself, or does not import, or
when other modules are compiled than should be: with --compiled those that pyproject.toml names, else none.
"""

import importlib
import sys
import tomllib
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

import lanebus
from lanebus.conf.load import load


def main() -> None:
    """Check every module of the repository's packages; raises `SystemExit` with what is wrong."""
    repository = Path(sys.argv[1]).resolve()
    tool = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]
    setuptools = tool["setuptools"]
    installed = Path(lanebus.__file__).resolve().parent
    if installed.is_relative_to(repository / "src"):
        sys.exit(f"lanebus is imported from {installed}, not from an installed wheel")

    count = 0
    compiled = set()
    for package in setuptools["packages"]:
        for source in sorted((repository / setuptools["package-dir"][package]).glob("*.py")):
            name = package if source.stem == "__init__" else f"{package}.{source.stem}"
            target = installed.joinpath(*package.split(".")[1:], source.name)
            if not target.is_file():
                sys.exit(f"the wheel lacks {target.relative_to(installed.parent)}")
            if source.stem != "__main__":
                module = importlib.import_module(name)
                if isinstance(module.__loader__, ExtensionFileLoader):
                    compiled.add(name)
            count += 1

    wrong = compiled ^ set(tool["lanebus"]["compiled"] if "--compiled" in sys.argv[2:] else ())
    if wrong:
        sys.exit(f"compiled, and should not be, or the other way round: {', '.join(sorted(wrong))}")

    load(None)
    for data in ("share/lanebus/systemd/lanebus.service",):
        if not Path(sys.prefix, data).is_file():
            sys.exit(f"the wheel lacks {data}")
    if not (installed / "py.typed").is_file():
        sys.exit("the wheel lacks py.typed")
    print(f"{count} modules import from {installed}, {len(compiled)} of them compiled")


main()
