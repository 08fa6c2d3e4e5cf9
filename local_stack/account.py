"""The operating-system account that the servers run as.

PostgreSQL refuses to run as root, so root runs the servers as an existing unprivileged account. Accounts are never
created, and directories above ours never change their mode: where the account can't enter one, another one is used.
"""

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from local_stack.errors import StackError

_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """The account that runs the servers; without ids, our own."""

    name: str
    uid: int | None = None
    gid: int | None = None

    @property
    def is_other_user(self) -> bool:
        """Whether the servers run as another account than our own, so that their files must change owner."""
        return self.uid is not None

    def popen_options(self) -> dict[str, Any]:
        """Return keyword arguments for `subprocess.Popen` that run the child as this account."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_reach(self, path: Path) -> bool:
        """Whether the account can enter this directory, or execute this file, by the kernel's own check."""
        if self.uid is None:
            return os.access(path, os.X_OK)
        check = subprocess.run(
            ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)], check=False, cwd="/", **self.popen_options()
        )
        return check.returncode == 0

    def chown(self, path: Path) -> None:
        """Make the account the owner of one file or directory."""
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
            stdin: its standard input.
            environment: added to ours; for secrets, since everybody can see arguments.
            timeout_s: seconds until it is killed.

        Returns:
            Its standard output.

        Raises:
            StackError: it failed; the message ends with its standard error.
        """
        process = subprocess.run(
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
        if process.returncode != 0:
            raise StackError(
                f"{Path(str(command[0])).name} failed ({process.returncode}): {process.stderr.strip()[-2000:]}"
            )
        return str(process.stdout)


def server_account(*, data: Path | None = None) -> Account:
    """Return the account that the servers run as: our own, or for root an existing unprivileged one.

    Args:
        data: the servers' directory; if it exists, its owner is the account, whatever accounts were added since.

    Raises:
        StackError: we are root, and there is no such account.
    """
    if os.geteuid() != 0:
        return Account(name=psutil.Process().username())
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
        f"PostgreSQL can't run as root, and none of the accounts {', '.join(_CANDIDATES)} exists: "
        "run as an ordinary user, or set SALESPULSE_ADMIN_URL and its companions"
    )
