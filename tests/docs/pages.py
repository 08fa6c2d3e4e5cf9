"""Read a page's code blocks, and run the commands that it gives as a reader would."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from salespulse.cli.root import cli
from tests.warehouse import Installation

ROOT = Path(__file__).parents[2]
_TITLED = re.compile(r"^```\w+ title=(?P<title>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"^```sh\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def read_page(path: str) -> str:
    """The text of a page, by its path from the repository's root."""
    return (ROOT / path).read_text(encoding="utf-8")


def titled_blocks(page: str) -> dict[str, str]:
    """Code blocks that say which file they are, by that file."""
    return {match["title"]: match["text"] for match in _TITLED.finditer(page)}


def shell_lines(page: str) -> list[list[str]]:
    """The arguments of each command in the page's shell blocks; every one is a `salespulse …`."""
    lines = [shlex.split(line, comments=True) for match in _SHELL.finditer(page) for line in match["text"].splitlines()]
    assert all(line[0] == "salespulse" for line in lines if line)
    return [line[1:] for line in lines if line]


class Reader:
    """Somebody who types the page's commands in a directory.

    Args:
        installation: whose servers the settings name.
        directory: the working directory.
        has_packages: Python packages in the directory go before the installed ones; each command is a process then.
        settings: further environment variables.
    """

    def __init__(
        self, installation: Installation, directory: Path, *, has_packages: bool = False, **settings: str
    ) -> None:
        self._installation = installation
        self._directory = directory
        self._has_packages = has_packages
        self._environment = {
            "SALESPULSE_DATA_DIR": str(directory / "no-stack"),
            "SALESPULSE_ADMIN_URL": installation.database.primary_url,
            "SALESPULSE_PRIMARY_URL": installation.url("salespulse_pipeline"),
            "SALESPULSE_REPLICA_URL": installation.url("salespulse_reader", server=installation.pair.standby),
            **settings,
        }

    def types(self, arguments: list[str], *, fails: bool = False) -> str:
        """Run `salespulse …` and give what it printed; the standby has replayed everything before it starts."""
        self._installation.wait_for_replay()
        if self._has_packages:
            return self.python("from salespulse.cli import main; main()", *arguments, fails=fails)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self._directory)
            for name, value in self._environment.items():
                patch.setenv(name, value)
            result = CliRunner().invoke(cli, arguments)
        assert (result.exit_code != 0) == fails, f"{arguments}: {result.output} {result.exception!r}"
        return result.stdout

    def reads(self, arguments: list[str], *, fails: bool = False) -> Any:
        """The same with `--json`, decoded."""
        return json.loads(self.types([*arguments, "--json"], fails=fails))

    def python(self, code: str, *arguments: str, fails: bool = False) -> str:
        """Run Python code in the directory and give what it printed."""
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=self._directory,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **self._environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert (done.returncode != 0) == fails, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout
