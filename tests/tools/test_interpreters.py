"""That every module imports, on whatever interpreter the tests run, and that the packages to install are all there."""

import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_imports_alone(package):
    modules = [
        item.name
        for item in pkgutil.walk_packages([str(ROOT / package)], prefix=f"{package}.")
        if not item.name.endswith("__main__")
    ]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    # A syntax that a later Python refuses shows as a warning first.
    done = subprocess.run(
        [sys.executable, "-W", "error::SyntaxWarning", "-c", code, package, *modules],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
