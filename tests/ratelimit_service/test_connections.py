"""Ways to reach Redis that a service meets in life: a socket file, a second event loop, a cluster that moves a slot."""

import asyncio

import pytest
import redis
import redis.asyncio
from redis.crc import key_slot

from ratelimit_service import AsyncLimiter, Limiter, Options, Policy, PolicySet
from ratelimit_service.async_connections import AsyncConnectionPool
from tests.ratelimit_service.conftest import PATIENT
from tests.servers import redis_servers

POLICIES = PolicySet([Policy.parse("user", "10/day per user")])


@pytest.fixture(scope="module")
def socket_path(tmp_path_factory):
    # A socket's path may have 107 bytes at most, so not below the test's own folder.
    folder = tmp_path_factory.mktemp("s")
    path = folder / "redis.sock"
    server = redis_servers.Server(folder, "--unixsocket", str(path))
    yield str(path)
    server.stop()


def test_over_a_unix_socket(socket_path):
    with Limiter(redis.Redis(unix_socket_path=socket_path), POLICIES, PATIENT) as limiter:
        decision = limiter.check("user", "ann")
    assert (decision.remaining, decision.degraded) == (9, False)


async def test_async_over_a_unix_socket(socket_path):
    client = redis.asyncio.Redis(unix_socket_path=socket_path)
    async with client, AsyncLimiter(client, POLICIES, PATIENT) as limiter:
        decision = await limiter.check("user", "bob")
    assert (decision.remaining, decision.degraded) == (9, False)


def test_an_async_limiter_outlives_its_event_loop(server):
    limiter = AsyncLimiter(redis.asyncio.Redis(port=server.port), POLICIES, PATIENT)

    async def some(count: int) -> list[int]:
        return [
            decision.remaining
            for decision in await asyncio.gather(*(limiter.check("user", "ann") for _ in range(count)))
        ]

    assert asyncio.run(some(3)) == [9, 8, 7]
    assert asyncio.run(some(2)) == [6, 5]
    asyncio.run(limiter.aclose())


class SlowConnection:
    """Is connected once its server has answered."""

    def __init__(self, answers: list[asyncio.Event]) -> None:
        self._answer = asyncio.Event()
        answers.append(self._answer)

    async def connect(self) -> None:
        await self._answer.wait()

    async def disconnect(self, **_) -> None:
        pass


async def test_connecting_outlives_the_check_that_began_it():
    answers: list[asyncio.Event] = []
    pool = AsyncConnectionPool(lambda: SlowConnection(answers), Options(connections=4))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pool.acquire(), 0.001)
    await asyncio.sleep(0)
    answers[0].set()
    assert await pool.acquire() is not None
    assert len(answers) == 1, "the second check took what the first one began"
    await pool.aclose()


async def test_of_connections_in_the_making_the_oldest_stay_and_one_is_new():
    answers: list[asyncio.Event] = []
    options = Options(deadline_s=1e-9, connections=3)
    pool = AsyncConnectionPool(lambda: SlowConnection(answers), options)
    for number in range(6):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.acquire(), 0.001)
        assert len(answers) == number + 1, "each check tries again, since a server may be back"
    answers[0].set()
    assert await asyncio.wait_for(pool.acquire(), 30) is not None
    await pool.aclose()


class Migration:
    """A slot on its way from one master to another: its keys are at the new place, its owner answers ASK."""

    def __init__(self, nodes: list[redis_servers.Server], key: bytes) -> None:
        self.slot = key_slot(key)
        masters = [node.client() for node in nodes[:3]]
        at = next(at for at, end in enumerate((5460, 10922, 16383)) if self.slot <= end)
        self._from, self._to = masters[at], masters[(at + 1) % 3]
        self._all = masters
        self._to_port = nodes[(at + 1) % 3].port

    def begin(self) -> None:
        owner, heir = (client.cluster("MYID").decode() for client in (self._from, self._to))
        self._to.execute_command("CLUSTER", "SETSLOT", self.slot, "IMPORTING", owner)
        self._from.execute_command("CLUSTER", "SETSLOT", self.slot, "MIGRATING", heir)
        for key in self._from.execute_command("CLUSTER", "GETKEYSINSLOT", self.slot, 100):
            self._from.migrate("127.0.0.1", self._to_port, key, 0, 5000)

    def finish(self) -> None:
        heir = self._to.cluster("MYID").decode()
        for client in (self._to, self._from, *self._all):
            client.execute_command("CLUSTER", "SETSLOT", self.slot, "NODE", heir)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with redis_servers.cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


def test_a_slot_that_moves_loses_no_count(nodes):
    client = redis.RedisCluster(port=nodes[0].port, host="127.0.0.1")
    with Limiter(client, POLICIES, PATIENT) as limiter:
        assert limiter.check("user", "ann").remaining == 9
        migration = Migration(nodes, b"{ann}")
        migration.begin()
        during = [limiter.check("user", "ann") for _ in range(3)]
        migration.finish()
        after = [limiter.check("user", "ann") for _ in range(3)]
    assert [decision.remaining for decision in during + after] == [8, 7, 6, 5, 4, 3]
    assert not any(decision.degraded for decision in during + after)


async def test_the_async_limiter_follows_a_slot_that_moves(nodes):
    client = redis.asyncio.RedisCluster(port=nodes[0].port, host="127.0.0.1")
    async with AsyncLimiter(client, POLICIES, PATIENT) as limiter:
        assert (await limiter.check("user", "eve")).remaining == 9
        migration = Migration(nodes, b"{eve}")
        migration.begin()
        during = await asyncio.gather(*(limiter.check("user", "eve") for _ in range(3)))
        migration.finish()
        after = await asyncio.gather(*(limiter.check("user", "eve") for _ in range(3)))
    await client.aclose()
    assert [decision.remaining for decision in during + after] == [8, 7, 6, 5, 4, 3]
    assert not any(decision.degraded for decision in during + after)
