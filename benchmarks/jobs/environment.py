"""Start the local stack, and API processes beside its own whose limits let a benchmark through."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.jobs.http_client import Connection
from benchmarks.ratelimit.server import free_port
from dashboard_api.auth import issue_token
from dbconnect import Settings
from local_stack.stack import StackOptions, down, up
from local_stack.waiting import wait_until
from salespulse.cli.stack import NICE_VALUES, supervised_commands
from salespulse.demo import prepare_schema

_UNTHROTTLED = '[policies.default]\nlimits = ["10000000/minute per user"]\n'
_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Api:
    """One process of the API.

    Attributes:
        port: that it listens on.
        redis_url: where its jobs are.
        settings: of the stack.
    """

    port: int
    redis_url: str
    settings: Settings

    async def connect(self) -> Connection:
        return await Connection.open(_HOST, self.port)

    def credential(self, tenant: str, subject: str = "bench") -> dict[str, str]:
        token = issue_token(self.settings, tenant_id=tenant, subject=subject, role="owner", valid_s=3600)
        return {"Authorization": f"Bearer {token}"}


@contextlib.contextmanager
def stack() -> Iterator[Settings]:
    """Start the whole local stack in a directory of its own."""
    scratch = Path(tempfile.mkdtemp(prefix="salespulse-bench-"))
    scratch.chmod(0o755)
    directory = scratch / "stack"
    try:
        options = StackOptions(
            data_dir=directory, with_ui=False, commands=supervised_commands(), nice_values=NICE_VALUES
        )
        yield up(options, migrate=prepare_schema, log=_say).settings
    finally:
        down(directory, log=_say)
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def api(settings: Settings, redis_url: str | None = None) -> Iterator[Api]:
    """Serve as the stack does, on a port of its own; with jobs in another Redis where one is given."""
    port = free_port()
    jobs_redis_url = redis_url or settings.url("redis_url")
    with tempfile.TemporaryDirectory(prefix="bench-api-") as folder:
        policies = Path(folder) / "policies.toml"
        policies.write_text(_UNTHROTTLED)
        environment = {
            **os.environ,
            "SALESPULSE_DATA_DIR": str(settings.data_dir),
            "SALESPULSE_API_PORT": str(port),
            "SALESPULSE_RATELIMIT_POLICIES": str(policies),
            "SALESPULSE_REDIS_URL": jobs_redis_url,
        }
        log = Path(folder) / "api.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "dashboard_api"], env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            wait_until(
                lambda: process.poll() is not None or _answers(port),
                timeout_s=120,
                what=lambda: f"the API to start: {log.read_text()[-2000:]}",
            )
            assert process.poll() is None, log.read_text()[-2000:]
            yield Api(port, jobs_redis_url, settings)
        finally:
            process.terminate()
            process.wait(30)


def now_ms() -> float:
    """Unix time in milliseconds: server and clients share this machine's clock."""
    return time.time() * 1000


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{_HOST}:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _say(line: str) -> None:
    print(f"  stack: {line}", file=sys.stderr, flush=True)
