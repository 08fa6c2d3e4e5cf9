"""Routers on the shared pair, with a heart that beats."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from connect import Settings
from dbsql import query
from local_stack.postgres import PostgresServer
from tests.warehouse import Installation

DASHBOARD = "salespulse_dashboard"


class Heart:
    """Beats on the primary ten times a second; its thread ends with the test."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, connect_timeout=2) as connection:
                    while not self._stop.wait(0.1):
                        connection.execute(query("source.beat"))
            except psycopg.OperationalError:
                self._stop.wait(0.1)


@contextmanager
def beating(installation: Installation) -> Iterator[Heart]:
    heart = Heart(installation.url("salespulse_pipeline"))
    try:
        yield heart
    finally:
        heart.stop()


def dashboard_settings(
    installation: Installation, *, replica: PostgresServer | None = None, **changes: Any
) -> Settings:
    """Settings of the dashboards' routes, direct to both servers; nothing is read from the environment."""
    values: dict[str, Any] = {
        "dashboard_url": installation.url(DASHBOARD, server=replica or installation.pair.standby),
        "dashboard_fallback_url": installation.url(DASHBOARD),
        "dashboard_pool_size": 4,
        "dashboard_fallback_pool_size": 2,
        "dashboard_pool_wait_seconds": 2.0,
    } | changes
    return Settings(_env_file=None, **values)


@pytest.fixture
def heart(installation: Installation) -> Iterator[Heart]:
    with beating(installation) as it:
        yield it


@pytest.fixture
def settings_of(installation: Installation, heart: Heart) -> Callable[..., Settings]:
    return lambda **changes: dashboard_settings(installation, **changes)
