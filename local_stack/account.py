"""The operating-system account that the servers run as.

PostgreSQL refuses to run as root, so root hands its servers to an unprivileged account that already exists. Accounts
are never created and modes of directories above ours are never changed: where the account can't get at a path,
another path is chosen and said.
"""

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack.errors import StackError

_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """Who runs the servers: `None` ids mean "whoever we are"."""

    name: str
    uid: int | None = None
    gid: int | None = None

    @property
    def is_other(self) -> bool:
        """Whether files must be handed over, because the servers run as somebody else than we do."""
        return self.uid is not None

    def popen_options(self) -> dict[str, Any]:
        """Keyword arguments for `subprocess.Popen` that run the child as this account."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_reach(self, path: Path) -> bool:
        """Whether the account can enter this directory, or execute this file; asked of the kernel, as the account."""
        if self.uid is None:
            return os.access(path, os.X_OK)
        asked = subprocess.run(
            ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)], check=False, cwd="/", **self.popen_options()
        )
        return asked.returncode == 0

    def own(self, path: Path) -> None:
        """Give one file or directory to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def run(
        self,
        command: Sequence[object],
        *,
        stdin: str | None = None,
        environment: Mapping[str, str] | None = None,
        timeout_s: float = 600,
    ) -> str:
        """Run a command to its end as the account.

        Args:
            command: program and arguments.
            stdin: what it reads.
            environment: added to ours; secrets go here, since arguments can be seen by everybody.
            timeout_s: killed after this many seconds.

        Returns:
            What it wrote to standard output.

        Raises:
            StackError: it failed; the message ends with what it said.
        """
        done = subprocess.run(
            [str(part) for part in command],
            check=False,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd="/",
            env={**os.environ, **(environment or {})},
            **self.popen_options(),
        )
        if done.returncode != 0:
            raise StackError(f"{Path(str(command[0])).name} failed ({done.returncode}): {done.stderr.strip()[-2000:]}")
        return str(done.stdout)


def server_account(*, data: Path | None = None) -> Account:
    """Find the account that the servers run as: ourselves, or as root an existing unprivileged one.

    Args:
        data: a directory of the servers; when it exists its owner is taken, so that installing a package which brings
            an account does not part a stack from its data.

    Raises:
        StackError: we are root and there is no such account.
    """
    if os.geteuid() != 0:
        return Account(name=_own_name())
    if data is not None and data.exists() and data.stat().st_uid != 0:
        owner = pwd.getpwuid(data.stat().st_uid)
        return Account(name=owner.pw_name, uid=owner.pw_uid, gid=owner.pw_gid)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise StackError(
        f"PostgreSQL does not run as root, and none of the accounts {', '.join(_CANDIDATES)} exists. "
        "Run as an ordinary user, or give the servers by URL."
    )


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container may run as a number without a name
        return str(os.geteuid())
