"""What pyproject.toml cannot say: with LANEBUS_COMPILE=1 the modules on the hot path are compiled with mypyc.

Without it this is the build that pyproject.toml describes, and the wheel is one for every machine. With it the wheel is
for one Python and one kind of machine: compiled modules stand beside their sources, and are imported instead.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
import tomllib
from contextlib import chdir
from pathlib import Path

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext

COMPILE = os.environ.get("LANEBUS_COMPILE", "") not in ("", "0")

BUILD_REQUIREMENTS = ["mypy>=2.4", "msgspec>=0.20", "pyzmq>=27"]
"""The compiler, and the packages whose types it reads."""


def compiled_modules() -> list[str]:
    """The names of the modules to compile, from pyproject.toml."""
    with Path(__file__).with_name("pyproject.toml").open("rb") as file:
        return list(tomllib.load(file)["tool"]["lanebus"]["compiled"])


def need_compiler() -> None:
    """Exit with the remedy unless there is a C compiler that finds Python's headers."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    command = [*compiler, f"-I{sysconfig.get_path('include')}", "-fsyntax-only", "-xc", "-"]
    try:
        subprocess.run(command, input=b"#include <Python.h>\n", check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        output = getattr(error, "stderr", b"").decode(errors="replace").strip()
        sys.exit(
            f"LANEBUS_COMPILE is set, and C cannot be compiled here: {output or error}\n"
            "Install a C compiler and the headers of Python (on Debian and Ubuntu: apt-get install gcc libc6-dev "
            "python3-dev), or build without LANEBUS_COMPILE."
        )


class CompiledDistribution(Distribution):
    """One whose wheel is for one kind of machine, though its extensions are known only when they are built."""

    def has_ext_modules(self) -> bool:
        return True


class CompileModules(build_ext):
    """Translates the modules to C when they are built, and not whenever something asks for metadata."""

    def finalize_options(self) -> None:
        self.distribution.ext_modules = self.distribution.ext_modules or []
        super().finalize_options()

    def run(self) -> None:
        need_compiler()
        # What build_py has gathered has the folders of the packages; in the repository they lie side by side.
        self.run_command("build_py")
        self.distribution.ext_modules = self._translate(Path(self.build_lib), Path(self.build_temp).resolve())
        # Listing the sources has finalized this command before there were extensions.
        self.reinitialize_command("build_ext").ensure_finalized()
        super().run()

    def _translate(self, packages: Path, scratch: Path) -> list[Extension]:
        from mypyc.build import mypycify

        # From inside, so that the files that tracebacks name are found in the installed package. Types are checked
        # elsewhere, with settings that this needs nothing of.
        options = ["--config-file=", "--ignore-missing-imports", f"--cache-dir={scratch / 'mypy'}"]
        paths = [f"{name.replace('.', '/')}.py" for name in compiled_modules()]
        with chdir(packages):
            return list(
                mypycify(
                    [*options, *paths],
                    opt_level="3",
                    debug_level="0",
                    target_dir=str(scratch),
                    group_name="lanebus",
                )
            )


if COMPILE:
    setup(
        distclass=CompiledDistribution,
        cmdclass={"build_ext": CompileModules},
        setup_requires=BUILD_REQUIREMENTS,
    )
else:
    setup()
