"""Where everything of one stack lies: the data directory and what is in it."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local_stack.account import Account
from local_stack.errors import StackError

# Servers' data that can't lie in the data directory, because the account that root gives them to can't enter it.
_ELSEWHERE = Path("/var/lib")

# A unix socket's path may have 107 bytes; supervisord adds its pid while it binds.
_LONGEST_SOCKET = 90


@dataclass(frozen=True)
class Layout:
    """Paths of one stack. `root` is absolute."""

    root: Path

    @property
    def servers(self) -> Path:
        """PostgreSQL, Redis and PgBouncer: the servers' account's own, and perhaps elsewhere behind a link."""
        return (self.root / "servers").resolve()

    @property
    def logs(self) -> Path:
        """One file per program, rotated by the supervisor."""
        return self.root / "logs"

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance directory."""
        return self.root / "dagster"

    @property
    def workspace(self) -> Path:
        """Tells Dagster's webserver and daemon where the code server listens."""
        return self.dagster_home / "workspace.yaml"

    @property
    def supervisor_config(self) -> Path:
        """The supervisor's configuration; holds secrets, and is private."""
        return self.root / "supervisord.conf"

    @property
    def supervisor_pid(self) -> Path:
        """The supervisor's pid file."""
        return self.root / "supervisord.pid"

    @property
    def supervisor_socket(self) -> Path:
        """The supervisor's unix socket; in a private directory of its own when the path here would be too long."""
        here = self.root / "supervisord.sock"
        if len(os.fsencode(here)) <= _LONGEST_SOCKET:
            return here
        return Path(tempfile.gettempdir()) / f"salespulse-{os.geteuid()}-{self._digest}" / "supervisord.sock"

    @property
    def credentials(self) -> Path:
        """Generated passwords, private."""
        return self.root / "credentials.json"

    @property
    def ports(self) -> Path:
        """The ports picked last time."""
        return self.root / "ports.json"

    @property
    def lock(self) -> Path:
        """Held by whoever starts or stops this stack."""
        return self.root / "stack.lock"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]

    def prepare(self, account: Account, say: Callable[[str], None]) -> None:
        """Make the directories; choose another place for the servers' data where their account can't enter this one.

        Raises:
            StackError: no directory will do.
        """
        # Others may pass through when the servers run as somebody else; every file with a secret is private by itself.
        self.root.mkdir(parents=True, exist_ok=True, mode=0o755 if account.is_other else 0o700)
        for directory in (self.logs, self.dagster_home, self.supervisor_socket.parent):
            directory.mkdir(exist_ok=True, mode=0o700)
        link = self.root / "servers"
        if not link.exists():
            self._place_servers(link, account, say)
        if not account.can_reach(self.servers):
            raise StackError(
                f"the account {account.name}, which the servers run as, can't enter {self.servers}: "
                "use another --data-dir, or delete this one"
            )

    def _place_servers(self, link: Path, account: Account, say: Callable[[str], None]) -> None:
        link.unlink(missing_ok=True)  # a link whose target is gone
        if account.can_reach(self.root):
            link.mkdir(mode=0o700)
            account.own(link)
            return
        for parent in (_ELSEWHERE, Path(tempfile.gettempdir())):
            place = parent / f"salespulse-{self._digest}"
            if os.access(parent, os.W_OK) and account.can_reach(parent):
                place.mkdir(mode=0o700, exist_ok=True)
                account.own(place)
                link.symlink_to(place)
                say(f"{account.name} can't enter {self.root}: the servers' data lie in {place}")
                return
        raise StackError(f"no directory for the servers' data that the account {account.name} can enter")
