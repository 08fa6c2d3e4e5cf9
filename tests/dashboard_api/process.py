"""Run `python -m dashboard_api` as a process of its own."""

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx

from dbconnect import Settings
from tests.dashboard_api.server import SECRET

ROOT = Path(__file__).parents[2]


def environment(settings: Settings, port: int) -> dict[str, str]:
    urls = {
        f"SALESPULSE_{name.upper()}": getattr(settings, name).get_secret_value()
        for name in ("dashboard_url", "dashboard_fallback_url", "redis_url")
    }
    numbers = (
        "dashboard_processes",
        "dashboard_pool_size",
        "dashboard_fallback_pool_size",
        "dashboard_pool_wait_seconds",
        "dashboard_statement_timeout_seconds",
        "dashboard_cache_mb",
    )
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SALESPULSE_")},
        **urls,
        **{f"SALESPULSE_{name.upper()}": str(getattr(settings, name)) for name in numbers},
        "SALESPULSE_JWT_SECRET": SECRET.get_secret_value(),
        "SALESPULSE_API_PORT": str(port),
        "SALESPULSE_RATELIMIT_POLICIES": str(settings.ratelimit_policies),
        "PYTHONPATH": str(ROOT),
    }


def run(variables: dict[str, str], directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dashboard_api"], env=variables, cwd=directory, stderr=subprocess.PIPE, text=True
    )


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return int(listening.getsockname()[1])


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False
