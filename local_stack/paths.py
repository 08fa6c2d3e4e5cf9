"""Paths of one stack: the data directory, what is in it, and how its files are written."""

import contextlib
import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from local_stack.account import Account
from local_stack.errors import StackError

# For the servers' data when their account can't enter the data directory.
_FALLBACK_PARENT = Path("/var/lib")

# A unix socket's path may have 107 bytes; supervisord adds its pid while it binds.
_MAX_SOCKET_PATH_BYTES = 90


@dataclass(frozen=True)
class StackPaths:
    """Paths of one stack. `root`, the data directory, is absolute."""

    root: Path

    @property
    def servers(self) -> Path:
        """Data of PostgreSQL and Redis, configuration of PgBouncer; owned by the servers' account, maybe behind a link."""
        return (self.root / "servers").resolve()

    @property
    def logs(self) -> Path:
        """One log file per program, rotated by the supervisor."""
        return self.root / "logs"

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance directory."""
        return self.root / "dagster"

    @property
    def workspace(self) -> Path:
        """Dagster's workspace file, which names the code server."""
        return self.dagster_home / "workspace.yaml"

    @property
    def supervisor_config(self) -> Path:
        """The supervisor's configuration, private: it holds secrets."""
        return self.root / "supervisord.conf"

    @property
    def supervisor_pid(self) -> Path:
        """The supervisor's pid file."""
        return self.root / "supervisord.pid"

    @property
    def supervisor_socket(self) -> Path:
        """The supervisor's unix socket; in a private temporary directory where the path here would be too long."""
        path = self.root / "supervisord.sock"
        if len(os.fsencode(path)) <= _MAX_SOCKET_PATH_BYTES:
            return path
        return Path(tempfile.gettempdir()) / f"salespulse-{os.geteuid()}-{self._digest}" / "supervisord.sock"

    @property
    def credentials(self) -> Path:
        """Generated passwords, private."""
        return self.root / "credentials.json"

    @property
    def ports(self) -> Path:
        """The port of each program at the last start."""
        return self.root / "ports.json"

    @property
    def lock(self) -> Path:
        """The lock file held while the stack is started or stopped."""
        return self.root / "stack.lock"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]

    def prepare(self, account: Account, log: Callable[[str], object]) -> None:
        """Make the directories; the servers' data go elsewhere if their account can't enter the data directory.

        Raises:
            StackError: no directory will do.
        """
        # Others may pass through when the servers run as another account; every file with a secret is private itself.
        self.root.mkdir(parents=True, exist_ok=True, mode=0o755 if account.is_other_user else 0o700)
        for directory in (self.logs, self.dagster_home, self.supervisor_socket.parent):
            directory.mkdir(exist_ok=True, mode=0o700)
        link = self.root / "servers"
        if not link.exists():
            self._place_servers(link, account, log)
        if not account.can_reach(self.servers):
            raise StackError(
                f"the servers run as {account.name}, which can't enter {self.servers}: "
                "use another --data-dir, or delete this one"
            )

    def _place_servers(self, link: Path, account: Account, log: Callable[[str], object]) -> None:
        link.unlink(missing_ok=True)  # a link whose target is gone
        if account.can_reach(self.root):
            link.mkdir(mode=0o700)
            account.chown(link)
            return
        for parent in (_FALLBACK_PARENT, Path(tempfile.gettempdir())):
            directory = parent / f"salespulse-{self._digest}"
            if os.access(parent, os.W_OK) and account.can_reach(parent):
                directory.mkdir(mode=0o700, exist_ok=True)
                account.chown(directory)
                link.symlink_to(directory)
                log(f"{account.name} can't enter {self.root}: the servers' data are in {directory}")
                return
        raise StackError(f"the servers run as {account.name}, which can't enter any directory for their data")


def write_private(path: Path, text: str, *, owner: Account | None = None) -> None:
    """Replace a file atomically; at no moment can anybody but its owner read it."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if owner is not None:
            owner.chown(draft)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel releases it when the process ends."""
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
