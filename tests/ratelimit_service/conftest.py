"""Fixtures: real Redis servers, flushed before each test, and limiters on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ratelimit_service import Limiter, Options, Policy, PolicySet
from tests.servers import redis_servers


@pytest.fixture(scope="session")
def redis_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis_servers.Server]:
    with redis_servers.one(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(redis_session: redis_servers.Server) -> redis_servers.Server:
    """One server, empty."""
    redis_session.client().flushall()
    redis_session.client().script_flush()
    return redis_session


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[redis_servers.Server]:
    """A server that a test may stop and kill."""
    with redis_servers.one(tmp_path) as server:
        yield server


@pytest.fixture
def client(server: redis_servers.Server) -> redis.Redis:
    return redis.Redis(port=server.port)


# A test that asks for correctness, not for time, must not be answered by an outage's policy on a busy machine.
PATIENT = Options(deadline_s=30.0, breaker_open_s=30.0)


@pytest.fixture(autouse=True)
def patient_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limiters that are made without options, as in the documentation's examples, are patient too."""
    for module in ("limiter", "async_limiter"):
        monkeypatch.setattr(f"ratelimit_service.{module}.Options", lambda: PATIENT)


@pytest.fixture
def make_limiter(client: redis.Redis) -> Iterator:
    """Makes limiters with a patient deadline, from policies; closes them."""
    limiters = []

    def make(*policies: Policy, options: Options = PATIENT, **more) -> Limiter:
        limiter = Limiter(more.pop("client", client), PolicySet(policies), options, **more)
        limiters.append(limiter)
        return limiter

    yield make
    for limiter in limiters:
        limiter.close()
