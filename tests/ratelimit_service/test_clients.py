"""Any redis-py client: its own classes and credentials are used, and what can't work is refused at set-up."""

import inspect
import subprocess
import venv
from pathlib import Path

import pytest
import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel

from ratelimit_service import AsyncLimiter, Limiter, Policy, PolicySet, RedisUnavailableError, UsageError
from ratelimit_service.redis_clients import connection_maker
from tests.ratelimit_service.conftest import PATIENT
from tests.servers import redis_servers

POLICIES = PolicySet(
    [
        Policy.parse("all", "10/day", "10/day fixed", "10/day sliding"),
        Policy.parse("log", "10/day log"),
        Policy.parse("slots", "2 in flight"),
    ]
)
COUNTERS = ["+evalsha", "+eval", "+time", "+get", "+set", "+del", "+pexpire", "+type"]
SETS = ["+zadd", "+zcard", "+zpopmax", "+zrange", "+zrem", "+zremrangebyrank", "+zremrangebyscore", "+zscore"]
# What `ping`, which takes no second slot and refunds nothing, does not need.
UNCHECKED = {"+zpopmax", "+zrem", "+zscore", "+type", "+zremrangebyrank", "+zcard"}
FakeRedis = type("FakeRedis", (redis.Redis,), {"__module__": "fakeredis._server"})
FakeAsyncRedis = type("FakeRedis", (redis.asyncio.Redis,), {"__module__": "fakeredis.aioredis"})


@pytest.mark.parametrize(
    ("make", "client", "message"),
    [
        (Limiter, "redis://localhost", "not a URL"),
        (AsyncLimiter, "redis://localhost", "not a URL"),
        (Limiter, redis.asyncio.Redis(), "not redis.asyncio"),
        (Limiter, redis.asyncio.RedisCluster(host="localhost"), "not redis.asyncio"),
        (AsyncLimiter, redis.Redis(), "not redis.client"),
        (Limiter, None, "not builtins.NoneType"),
        (Limiter, redis.ConnectionPool(), "not redis.connection.ConnectionPool"),
        (Limiter, FakeRedis(), "needs a Redis server"),
        (AsyncLimiter, FakeAsyncRedis(), "needs a Redis server"),
    ],
)
def test_a_client_that_cannot_work_is_refused(make, client, message):
    with pytest.raises(UsageError, match=message):
        make(client, POLICIES)


class OwnConnection(redis.sentinel.SentinelManagedSSLConnection):
    pass


class OwnAsyncConnection(redis.asyncio.sentinel.SentinelManagedSSLConnection):
    pass


@pytest.mark.parametrize(("module", "connection_class"), [(redis, OwnConnection), (redis.asyncio, OwnAsyncConnection)])
def test_sentinels_are_reached_as_their_client_reaches_them(module, connection_class):
    credentials = redis.CredentialProvider()
    own = {"ssl": True, "ssl_ca_path": "/certificates", "credential_provider": credentials, "client_name": "shop"}
    manager = module.sentinel.Sentinel([("one", 1), ("two", 2)], sentinel_kwargs=own)
    client = manager.master_for("shop", connection_class=connection_class, ssl_ca_path="/others", username="ann")
    make = connection_maker(client, 0.05)
    connection = make()
    assert type(connection) is connection_class
    assert connection.username == "ann"
    sentinels = connection.connection_pool.sentinel_manager.sentinels
    assert len(sentinels) == 2
    for sentinel, original in zip(sentinels, manager.sentinels, strict=True):
        pool, original_pool = sentinel.connection_pool, original.connection_pool
        assert type(pool) is type(original_pool)
        assert pool.connection_class is original_pool.connection_class is module.SSLConnection
        for name in ("host", "port", "ssl_ca_path", "credential_provider", "client_name"):
            assert pool.connection_kwargs[name] == original_pool.connection_kwargs[name]
        assert pool.connection_kwargs["socket_timeout"] < 1


@pytest.fixture
def user(server):
    """Sets the rights of the user `limiter`, and returns clients of it."""

    def limited_to(commands: list[str]) -> list:
        server.client().execute_command(
            "ACL", "SETUSER", "limiter", "reset", "on", ">secret", "~rl*", "-@all", *commands
        )
        name = {"port": server.port, "username": "limiter", "password": "secret"}
        return [
            Limiter(redis.Redis(**name), POLICIES, PATIENT),
            AsyncLimiter(redis.asyncio.Redis(**name), POLICIES, PATIENT),
        ]

    yield limited_to
    server.client().execute_command("ACL", "DELUSER", "limiter")


async def ping(limiter: Limiter | AsyncLimiter) -> None:
    pinging = limiter.ping()
    if inspect.isawaitable(pinging):
        await pinging


async def test_the_documented_rights_are_enough(user, server):
    limiter, asynchronous = user(COUNTERS + SETS)
    for each in (limiter, asynchronous):
        await ping(each)
    assert server.client().dbsize() == 0, "ping leaves no key"
    for policy in ("all", "log"):
        assert not limiter.check(policy, "k").degraded
        assert limiter.refund(policy, "k") == 1
        assert limiter.reset(policy, "k")
    with limiter.slot("slots", "k"), limiter.slot("slots", "k") as slot:
        assert limiter.renew_slot(slot)
    assert limiter.peek("slots", "k").remaining == 2
    await asynchronous.aclose()


@pytest.mark.parametrize("missing", sorted({*COUNTERS, *SETS} - UNCHECKED))
async def test_ping_raises_what_is_missing(user, missing):
    limiter, asynchronous = user([command for command in COUNTERS + SETS if command != missing])
    for each in (limiter, asynchronous):
        with pytest.raises(RedisUnavailableError, match=r"(?i)permission|acl"):
            await ping(each)
    await asynchronous.aclose()


async def test_ping_raises_when_redis_is_away(own_server):
    own_server.kill()
    for each in (
        Limiter(redis.Redis(port=own_server.port), POLICIES, PATIENT),
        AsyncLimiter(redis.asyncio.Redis(port=own_server.port), POLICIES, PATIENT),
    ):
        with pytest.raises(RedisUnavailableError, match="onnect"):
            await ping(each)


ON_ITS_OWN = """
import asyncio, sys
import redis, redis.asyncio
from ratelimit_service import AsyncLimiter, Limiter, Options, Policy, PolicySet

policies, options = PolicySet([Policy.parse("p", "100/day")]), Options(deadline_s=30, breaker_open_s=30)

async def check_async(client):
    async with AsyncLimiter(client, policies, options) as limiter:
        await limiter.ping()
        return [(await limiter.check("p", key)).degraded for key in range(20)]

one, of_cluster = map(int, sys.argv[1:])
for client in (redis.Redis(port=one), redis.RedisCluster(host="127.0.0.1", port=of_cluster)):
    with Limiter(client, policies, options) as limiter:
        limiter.ping()
        assert not any(limiter.check("p", key).degraded for key in range(20))
for client in (redis.asyncio.Redis(port=one), redis.asyncio.RedisCluster(host="127.0.0.1", port=of_cluster)):
    assert not any(asyncio.run(check_async(client)))
print(redis.__version__)
"""


@pytest.mark.slow_install
def test_the_oldest_redis_py_will_do(server, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv/bin/python")
    subprocess.run([python, "-m", "pip", "install", "-q", "redis==5.0.0", "prometheus-client", "PyYAML"], check=True)
    with redis_servers.cluster(tmp_path / "cluster") as nodes:
        command = [python, "-c", ON_ITS_OWN, str(server.port), str(nodes[0].port)]
        environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("5.0.0", "")
