"""What runs the checks elsewhere can be read there, and names commands and files that are here."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
YAML_FILES = [ROOT / ".pre-commit-config.yaml", *sorted((ROOT / ".github").rglob("*.yml"))]
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.name)
def test_yaml_files_can_be_read(path):
    assert yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", [*YAML_FILES, ROOT / ".ci/run", ROOT / ".github/PULL_REQUEST_TEMPLATE.md"], ids=str)
def test_make_targets_exist(path):
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", path.read_text()))
    assert named <= TARGETS


def test_fast_tests_exist():
    printed = subprocess.run(
        ["make", "--dry-run", "test-fast"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    named = re.findall(r"\btests/\S+", printed)
    assert len(named) > 3
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_hooks_and_steps_run_files_that_exist():
    hooks = yaml.safe_load(YAML_FILES[0].read_text())["repos"][0]["hooks"]
    scripts = {hook["entry"] for hook in hooks if hook["entry"].startswith(("tools/", "tests/"))}
    assert scripts == {"tools/commit-msg"}
    assert all(
        (ROOT / script).stat().st_mode & 0o111 for script in [*scripts, ".ci/run", "tests/install-debian-packages"]
    )


def test_pythons_of_the_classifiers_are_in_the_workflow():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert set(versions) <= set(matrix)
    assert project["requires-python"] == f">={matrix[0]}"
