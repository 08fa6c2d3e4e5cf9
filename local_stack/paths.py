"""Paths of one stack: the data directory, what is in it, and how its files are written."""

import contextlib
import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from local_stack.account import Account
from local_stack.errors import StackError

# For the servers' data when their account can't enter the data directory.
_FALLBACK_PARENT = Path("/var/lib")

# A unix socket's path may have 107 bytes; supervisord adds its pid while it binds.
_MAX_SOCKET_PATH_BYTES = 90


class StackPaths:
    """Paths of one stack.

    Attributes:
        root: the data directory, absolute.
        logs: one log file per program, rotated by the supervisor.
        dagster_home: Dagster's instance directory.
        workspace: Dagster's workspace file, which names the code server.
        supervisor_config: the supervisor's configuration, private because it holds secrets.
        supervisor_pid: the supervisor's pid file.
        supervisor_socket: its unix socket, in a private temporary directory where the path here would be too long.
        credentials: generated passwords, private.
        ports: the port of each program at the last start.
        lock: the lock file held while the stack is started or stopped.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.logs = root / "logs"
        self.dagster_home = root / "dagster"
        self.workspace = self.dagster_home / "workspace.yaml"
        self.supervisor_config = root / "supervisord.conf"
        self.supervisor_pid = root / "supervisord.pid"
        self.credentials = root / "credentials.json"
        self.ports = root / "ports.json"
        self.lock = root / "stack.lock"
        self._digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
        self.supervisor_socket = root / "supervisord.sock"
        if len(os.fsencode(self.supervisor_socket)) > _MAX_SOCKET_PATH_BYTES:
            directory = Path(tempfile.gettempdir()) / f"salespulse-{os.geteuid()}-{self._digest}"
            self.supervisor_socket = directory / "supervisord.sock"

    @property
    def servers(self) -> Path:
        """Data of PostgreSQL and Redis, configuration of PgBouncer; owned by the servers' account, maybe behind a link."""
        return (self.root / "servers").resolve()

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
