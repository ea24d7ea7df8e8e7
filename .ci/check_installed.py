"""Compare an installed lanebus with the repository it was built from.

Usage: check_installed.py REPOSITORY, with the interpreter of the environment that has the wheel, from another folder.
Exits with a message when a module is missing, comes from the repository itself, or does not import.
"""

import importlib
import sys
import tomllib
from pathlib import Path

import lanebus
from lanebus.conf.load import load


def main() -> None:
    """Check every module of the repository's packages; raises `SystemExit` with what is wrong."""
    repository = Path(sys.argv[1]).resolve()
    setuptools = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["setuptools"]
    installed = Path(lanebus.__file__).resolve().parent
    if installed.is_relative_to(repository / "src"):
        sys.exit(f"lanebus is imported from {installed}, not from an installed wheel")

    count = 0
    for package in setuptools["packages"]:
        for source in sorted((repository / setuptools["package-dir"][package]).glob("*.py")):
            name = package if source.stem == "__init__" else f"{package}.{source.stem}"
            target = installed.joinpath(*package.split(".")[1:], source.name)
            if not target.is_file():
                sys.exit(f"the wheel lacks {target.relative_to(installed.parent)}")
            if source.stem != "__main__":
                importlib.import_module(name)
            count += 1

    load(None)
    for data in ("share/lanebus/systemd/lanebus.service",):
        if not Path(sys.prefix, data).is_file():
            sys.exit(f"the wheel lacks {data}")
    if not (installed / "py.typed").is_file():
        sys.exit("the wheel lacks py.typed")
    print(f"{count} modules import from {installed}")


main()
