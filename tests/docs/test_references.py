"""What the documents point at is there: links, headings, commands with their options, settings, make targets."""

import re
from pathlib import Path

import click
import pytest

from dbconnect import Settings
from salespulse.cli.root import cli
from tests.docs.pages import ROOT

# What was released and removed since: only the history names it.
_REMOVED_SETTINGS = {"SALESPULSE_DASHBOARD_MAKER"}
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("README.md")]
    if path.is_file()
)
_LINK = re.compile(r"\]\((?!https?://|mailto:)(?P<path>[^)#\s]*)(?:#(?P<heading>[^)\s]+))?\)")
_COMMAND = re.compile(r"(?:^|`)salespulse (?P<arguments>[^`\n]+)", re.MULTILINE)
# Code blocks, and what a comment hides from readers.
_FENCE = re.compile(r"^```.*?^```$|<!--.*?-->", re.MULTILINE | re.DOTALL)
_SETTING = re.compile(r"\bSALESPULSE_[A-Z][A-Z_]*[A-Z]\b")
_MAKE = re.compile(r"(?:^|`)make (?P<target>[a-z][a-z-]*)", re.MULTILINE)


def headings(path: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_somewhere(page: str) -> None:
    source = ROOT / page
    for match in _LINK.finditer(_FENCE.sub("", source.read_text(encoding="utf-8"))):
        target = (source.parent / match["path"]).resolve() if match["path"] else source
        assert target.is_relative_to(ROOT), match[0]
        assert target.exists(), f"{match[0]} leads nowhere"
        if match["heading"]:
            assert match["heading"] in headings(target), f"{match[0]}: no such heading"


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_exist(page: str) -> None:
    for match in _COMMAND.finditer((ROOT / page).read_text(encoding="utf-8")):
        command: click.Command = cli
        words = re.sub(r"[\[\]]", " ", match["arguments"]).split()
        while words and isinstance(command, click.Group):
            subcommand = command.get_command(click.Context(command), words[0])
            assert subcommand is not None, f"`salespulse {match['arguments']}`: no command {words[0]!r}"
            command, words = subcommand, words[1:]
        options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        used_options = {word.split("=")[0].rstrip(".,;)") for word in words if word.startswith("--")}
        assert used_options <= options, f"`salespulse {match['arguments']}` has no {used_options - options}"


@pytest.mark.parametrize("page", PAGES)
def test_settings_exist(page: str) -> None:
    setting_names = {f"SALESPULSE_{name.upper()}" for name in Settings.model_fields}
    if page == "CHANGELOG.md" or page.startswith("docs/adr/"):
        setting_names |= _REMOVED_SETTINGS
    assert set(_SETTING.findall((ROOT / page).read_text(encoding="utf-8"))) <= setting_names


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {match["target"] for match in _MAKE.finditer((ROOT / page).read_text(encoding="utf-8"))} <= targets


def test_every_command_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in cli.list_commands(click.Context(cli)):
        assert re.search(rf"`salespulse {name}\b", readme), name


def test_no_page_names_a_machine_path() -> None:
    for page in PAGES:
        machine_paths = re.findall(r"(?<![\w.<])/(?:work|farm|tmp|home)/\S*", (ROOT / page).read_text(encoding="utf-8"))
        assert machine_paths == [], page
