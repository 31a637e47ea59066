"""The wheel holds every module and template, and works without a checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cry_modules", "data_prep")

IMPORT_ALL = """
import importlib, pkgutil, sys
for package in sys.argv[1:]:
    package = importlib.import_module(package)
    assert package.__file__.startswith(sys.prefix), package.__file__
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
            print(module.name)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy: setuptools writes into the source."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    run("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
        "--wheel-dir", folder / "dist", folder)  # fmt: skip
    return next((folder / "dist").glob("*.whl"))


def run(*command, python=sys.executable, cwd=None):
    """Run Python, without the checkout on its path, and return its output."""
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [str(python), *map(str, command)],
        cwd=cwd, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def source_files(suffix):
    """Paths of the packages' files, relative to the repository."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob(f"*{suffix}")
    }


def test_the_wheel_holds_every_module_and_template(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    templates = source_files(".j2")
    assert templates
    assert source_files(".py") | templates <= names


@pytest.mark.slow
def test_every_module_imports_in_a_clean_environment(wheel, tmp_path):
    environment = tmp_path / "env"
    run("-m", "venv", "--without-pip", environment)
    python = environment / "bin/python"
    # What the wheel depends on, without the checkout that .pth files of this
    # environment may name: a path in a .pth file is not searched for others.
    purelib = sysconfig.get_path(
        "purelib", "venv", {"base": environment, "platbase": environment}
    )
    Path(purelib, "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    run("-m", "pip", "--python", python, "install", "--quiet", "--no-deps",
        "--no-index", wheel)  # fmt: skip
    printed = run(
        "-I", "-c", IMPORT_ALL, *PACKAGES, python=python, cwd=tmp_path
    )
    modules = {
        name[: -len(".py")].replace("/", ".")
        for name in source_files(".py")
        if not name.endswith(("__init__.py", "__main__.py"))
    }
    assert modules <= set(printed.split())
