"""Serve the app as production does, uvicorn with uvloop and httptools, in a thread; and what it needs beside it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from dashboard_api.app import create_app
from dashboard_api.auth import issue_token
from dashboard_api.server import make_server
from dashboard_api.services import Services
from dbconnect import Settings
from dbsql import query
from local_stack.waiting import wait_until
from tests.warehouse import Installation

DASHBOARD = "salespulse_dashboard"
SECRET = SecretStr("a secret of the tests, which has rather more than the 32 characters that are asked for")


def token_for(tenant_id: str, **changes: Any) -> str:
    """A token as the application would issue it."""
    settings = Settings(jwt_secret=SECRET, _env_file=None)
    return issue_token(settings, **{"tenant_id": tenant_id, "subject": "someone", **changes})


def dashboard_settings(installation: Installation, **changes: Any) -> Settings:
    """The dashboards' routes, direct to both servers; nothing is read from a file."""
    values: dict[str, Any] = {
        "dashboard_url": installation.url(DASHBOARD, server=installation.pair.standby),
        "dashboard_fallback_url": installation.url(DASHBOARD),
        "dashboard_pool_size": 4,
        "dashboard_fallback_pool_size": 2,
        # Many readers share few connections here, on a machine that may be busy: whom they see is tested, not how fast.
        "dashboard_pool_wait_seconds": 20.0,
        "dashboard_statement_timeout_seconds": 20.0,
    }
    return Settings(_env_file=None, **(values | changes))


@contextmanager
def heartbeats(installation: Installation) -> Iterator[None]:
    """Write the heartbeat ten times a second, whatever happens to the server, until the block ends."""
    stop = threading.Event()

    def write_heartbeats() -> None:
        while not stop.is_set():
            try:
                with psycopg.connect(installation.url("salespulse_pipeline"), autocommit=True) as connection:
                    while not stop.wait(0.1):
                        connection.execute(query("source.beat"))
            except psycopg.OperationalError:
                stop.wait(0.1)

    thread = threading.Thread(target=write_heartbeats, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@dataclass
class Api:
    """A served app."""

    app: FastAPI
    url: str
    server: uvicorn.Server

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services

    def client(self, token: str | None = None, **headers: str) -> httpx.Client:
        """A client of its own, with a credential or without."""
        credential = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=credential | headers, timeout=20)

    def metric(self, name: str, **labels: str) -> float:
        """One sample of /metrics; 0 where there is none."""
        value = self.services.metrics.registry.get_sample_value(name, labels)
        return 0.0 if value is None else value


@contextmanager
def serve(settings: Settings) -> Iterator[Api]:
    """Serve until the block ends."""
    app = create_app(settings)
    listening = socket.create_server(("127.0.0.1", 0))
    server = make_server(app, settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), timeout_s=20, what="the API to start", every_s=0.01)
        assert server.started, "the app's start-up failed"
        yield Api(app, f"http://127.0.0.1:{listening.getsockname()[1]}", server)
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
