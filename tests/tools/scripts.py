"""Run a script of tools/ within this process: a process for each case would take minutes."""

import contextlib
import importlib.machinery
import importlib.util
import io
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parents[2]


def run_script(name: str, *arguments: str) -> tuple[int, str]:
    """Return the exit code and the output of `tools/<name> <arguments>`."""
    loader = importlib.machinery.SourceFileLoader(f"script_{name.partition('.')[0]}", str(ROOT / "tools" / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    output = io.StringIO()
    with (
        mock.patch("sys.argv", [name, *arguments]),
        mock.patch("sys.dont_write_bytecode", new=True),
        contextlib.redirect_stdout(output),
    ):
        loader.exec_module(module)
        code: int = module.main()
    return code, output.getvalue()
