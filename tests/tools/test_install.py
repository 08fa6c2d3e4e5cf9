"""`make install` on the machines of others. Each test installs the whole lock, so that `make test-install` runs them apart."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow_install, pytest.mark.timeout(1800)]


def run(*command, cwd=ROOT, **environment):
    # What `make` hands down would answer for the variables that a test gives.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "VENV"))}
    done = subprocess.run(
        command, cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_install(venv, cwd=ROOT, **environment):
    return run("make", "install", f"PYTHON={sys.executable}", f"VENV={venv}", cwd=cwd, **environment)


def test_a_clone_whose_path_has_a_space(tmp_path):
    clone = tmp_path / "a clone"
    run("git", "clone", "--quiet", str(ROOT), str(clone))
    make_install(".venv", cwd=clone)
    assert "Usage: salespulse" in run(str(clone / ".venv/bin/salespulse"), "--help", cwd=tmp_path)
    assert "Usage: salespulse" in run(".venv/bin/salespulse", "--help", cwd=clone)


def test_an_environment_of_another_interpreter_is_made_again(tmp_path):
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(tmp_path / "uninstalled")
    (venv / "pyvenv.cfg").write_text("version = 3.10.13\n")
    (venv / "leftover").touch()
    assert "making it again" in make_install(venv)
    assert not (venv / "leftover").exists()
    version = run(str(venv / "bin/python"), "-c", "import sys, pipelines; print(sys.version)")
    assert version.strip() == sys.version
    assert make_install(venv) == "make: Nothing to be done for 'install'.\n"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pip 23.0 does not run on Python 3.12 and later")
def test_an_old_pip_installs_the_lock_without_uv(tmp_path):
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", str(venv))
    run(str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "pip==23.0.1")
    # uv finds nothing: it may not ask the registry, and its cache is empty.
    make_install(venv, UV_OFFLINE="1", UV_CACHE_DIR=str(tmp_path / "cache"))
    assert run(str(venv / "bin/python"), "-m", "pip", "--version").startswith("pip 23.0.1 ")
    assert run(str(venv / "bin/python"), "-m", "pip", "check") == "No broken requirements found.\n"
