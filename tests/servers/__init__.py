"""Pytest plugin: servers that only tests and benchmarks run on. `postgres` and `redis_servers` start them.

The pair of `postgres_pair` is started on first use, once per test process: one per xdist worker, since tests pause and
kill their standby.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import pytest

from tests.servers.postgres import PostgresPair

_numbers = itertools.count(1)

T = TypeVar("T")


class Shared(Generic[T]):
    """A server or stack that several tests use, started on first use, and again after a test that failed on it.

    When it does not start, each further test fails at once instead of waiting for it again.
    """

    def __init__(self, run: Callable[[], AbstractContextManager[T]]) -> None:
        self._run = run
        self._running = ExitStack()
        self._value: T | None = None
        self._failure: BaseException | None = None

    @contextmanager
    def lend(self, session: pytest.Session) -> Iterator[T]:
        """For one test; afterwards `session` tells whether that failed."""
        if self._failure is not None:
            pytest.fail(f"it did not start for an earlier test: {self._failure}")
        failed_before = session.testsfailed
        if self._value is None:
            try:
                self._value = self._running.enter_context(self._run())
            except BaseException as failure:
                self._failure = failure
                raise
        yield self._value
        if session.testsfailed > failed_before:
            self.close()

    def close(self) -> None:
        self._value = None
        self._running.close()


@dataclass(frozen=True)
class Database:
    """One fresh database on the pair: the superuser's URLs of it on both servers."""

    pair: PostgresPair
    name: str

    @property
    def primary_url(self) -> str:
        return self.pair.primary.url(self.name)

    @property
    def standby_url(self) -> str:
        return self.pair.standby.url(self.name)


def fresh_database(pair: PostgresPair, *, template: str = "template1") -> str:
    """Create a database on the pair, a copy of `template` (without sessions in it), and return its name."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    pair.create_database(name, template=template)
    return name


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Callable[[str], Path]]:
    """Makes scratch directories that the servers' account can enter (pytest's own are closed to other accounts)."""
    directories: list[Path] = []

    def make(prefix: str) -> Path:
        directories.append(Path(tempfile.mkdtemp(prefix=f"{prefix}-")))
        directories[-1].chmod(0o755)
        return directories[-1]

    yield make
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_pair(server_directory: Callable[[str], Path]) -> Iterator[PostgresPair]:
    """A primary and its standby, shared by the session: leave both running and replaying."""
    pair = PostgresPair.create(server_directory("salespulse-pair"))
    try:
        yield pair
    finally:
        pair.stop()


@pytest.fixture
def own_pair(server_directory: Callable[[str], Path]) -> Iterator[PostgresPair]:
    """A pair for one test alone, which may promote, break or lose it."""
    pair = PostgresPair.create(server_directory("salespulse-own-pair"))
    try:
        yield pair
    finally:
        pair.stop()


@pytest.fixture
def database(postgres_pair: PostgresPair) -> Iterator[Database]:
    """An empty database on the shared pair, dropped afterwards."""
    name = fresh_database(postgres_pair)
    yield Database(postgres_pair, name)
    postgres_pair.drop_database(name)
