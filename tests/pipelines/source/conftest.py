"""Fixtures of the mapping's tests: both applications, each with the schema `truth`."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipelines.refresh import RefreshResult, refresh
from tests.pipelines.refresh.sessions import Session
from tests.pipelines.source.operations import World, return_half, seed, sell
from tests.servers.postgres import PostgresPair
from tests.warehouse import Installation, Template, clone, discard, install_truth


@pytest.fixture
def mapped(postgres_pair: PostgresPair, any_template: Template) -> Iterator[Installation]:
    """Either application, seeded, with some sales and returns, not refreshed yet."""
    installation = clone(postgres_pair, any_template)
    install_truth(installation)
    yield installation
    discard(installation)


@pytest.fixture
def session(mapped: Installation) -> Session:
    return Session(mapped)


@pytest.fixture
def world(mapped: Installation, session: Session) -> World:
    world = World()
    session.run(world, seed, 0, 0, 0)
    for number in range(6):
        session.run(world, sell, number, number + 1, number + 1)
        session.run(world, return_half, number, number, number)
    return world


@pytest.fixture
def refresh_mapped(mapped: Installation) -> Callable[..., RefreshResult]:
    """Wait for the standby, refresh."""
    connections = mapped.connections()

    def run(**changes: Any) -> RefreshResult:
        mapped.wait_for_replay()
        return refresh(connections, mapped.options(**changes))

    return run
