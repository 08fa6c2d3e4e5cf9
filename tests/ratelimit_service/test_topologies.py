"""A cluster of three masters, and a master under Sentinel, with a failover of each."""

import asyncio
import socket

import pytest
import redis
import redis.asyncio
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.sentinel import Sentinel

from ratelimit_service import AsyncLimiter, CheckRequest, Decision, Limiter, Options, Policy, PolicyError, PolicySet
from tests.ratelimit_service.conftest import PATIENT
from tests.ratelimit_service.recovery import Clock
from tests.servers import redis_servers

POLICIES = PolicySet(
    [
        Policy.parse("user", "10/day per user"),
        Policy.parse("both", "100/day per tenant", "10/day per tenant+user"),
        Policy.parse("wide", "1000/day per user", "100000/day per all", one_slot=True),
    ]
)
SPANNING = Policy.parse("span", "10/day per user", "100/day per all")
# A deadline with room for a machine that runs other tests; the clock of the breakers is the test's.
ROOMY = Options(deadline_s=5.0, breaker_open_s=5.0)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with redis_servers.cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


def test_decisions_spread_over_the_cluster(nodes):
    client = redis.RedisCluster(port=nodes[0].port, host="127.0.0.1")
    with pytest.raises(PolicyError, match="no key part in common"):
        Limiter(client, PolicySet([SPANNING]))
    with Limiter(client, POLICIES, PATIENT) as limiter:
        for user in range(60):
            assert limiter.check("user", user).remaining == 9
            assert limiter.check("both", {"tenant": user % 7, "user": user}).limits[1].remaining == 9
        assert limiter.check("wide", {"user": "ann"}).limits[1].remaining == 99_999
        many = limiter.check_many([CheckRequest("user", user) for user in range(60)])
        assert [decision.remaining for decision in many] == [8] * 60
        assert limiter.refund("user", 1, refund_id="x") == 1
        assert limiter.refund("user", 1, refund_id="x") == 0
        with pytest.raises(PolicyError, match="no key part in common"):
            limiter.install(PolicySet([SPANNING]))
        assert limiter.check("user", 1).remaining == 8
    assert all(node.client().dbsize() > 5 for node in nodes[:3])


async def test_the_async_limiter_on_the_cluster(nodes):
    client = redis.asyncio.RedisCluster(host="127.0.0.1", port=nodes[1].port)
    async with AsyncLimiter(client, POLICIES, PATIENT) as limiter:
        decisions = await asyncio.gather(*(limiter.check("user", f"a{user}") for user in range(60)))
        assert [decision.remaining for decision in decisions] == [9] * 60
        assert not any(decision.degraded for decision in decisions)
    await client.aclose()


def test_a_moved_slot_is_followed_and_charged_once(nodes):
    client = redis.RedisCluster(port=nodes[0].port, host="127.0.0.1")
    with Limiter(client, POLICIES, PATIENT) as limiter:
        limiter.check("user", "mover")
        transport = limiter._transport
        transport._map._slots = dict.fromkeys(range(16384), ("127.0.0.1", nodes[2].port))
        for number in range(8):
            assert limiter.check("user", f"moved{number}").remaining == 9
        assert limiter.check("user", "mover").remaining == 8


async def test_async_connections_to_a_node_are_bounded_and_waited_for(nodes):
    client = redis.asyncio.RedisCluster(host="127.0.0.1", port=nodes[1].port)
    options = Options(deadline_s=30.0, breaker_open_s=30.0, connections=2)
    before = [node.client().info("stats")["total_connections_received"] for node in nodes[:3]]
    async with AsyncLimiter(client, POLICIES, options) as limiter:
        decisions = await asyncio.gather(*(limiter.check("user", f"b{user}") for user in range(200)))
        assert [(decision.remaining, decision.degraded) for decision in decisions] == [(9, False)] * 200
    await client.aclose()
    after = [node.client().info("stats")["total_connections_received"] for node in nodes[:3]]
    # Two of the limiter's own, one that looks, and a few of the cluster client for the map of slots.
    assert all(new - old <= 2 + 1 + 4 for old, new in zip(before, after, strict=True))


async def test_a_dead_master_is_replaced(nodes):
    clock = Clock()
    asynchronous = AsyncLimiter(
        redis.asyncio.RedisCluster(port=nodes[0].port, host="127.0.0.1"), POLICIES, ROOMY, clock=clock
    )
    client = redis.RedisCluster(port=nodes[0].port, host="127.0.0.1")
    users = [f"u{number}" for number in range(40)]

    async def check_all() -> list[Decision]:
        return [
            *(limiter.check("user", user) for user in users),
            *await asyncio.gather(*(asynchronous.check("user", user) for user in users)),
        ]

    with Limiter(client, POLICIES, ROOMY, clock=clock) as limiter:
        assert not any(decision.degraded for decision in await check_all())
        nodes[0].kill()
        decisions = await check_all()
        assert all(decision.allowed for decision in decisions)
        assert any(not decision.degraded for decision in decisions), "the other masters go on deciding"
        redis_servers.until(lambda: nodes[3].client().role()[0] == b"master", within_s=60)
        alive = [node.client() for node in nodes[1:]]
        redis_servers.until(lambda: all(node.cluster("INFO")["cluster_state"] == "ok" for node in alive), within_s=60)
        for _ in clock.probes(ROOMY):
            decisions = await check_all()
            if not any(decision.degraded for decision in decisions):
                break
        assert limiter._transport.open_circuits() == 0
        assert asynchronous._transport.open_circuits() == 0
    await asynchronous.aclose()


async def test_a_sentinel_that_does_not_answer_leaves_time_for_the_others(tmp_path):
    options = Options(deadline_s=4.0, breaker_open_s=4.0)
    with redis_servers.sentinel_pair(tmp_path) as (_, _, sentinel), socket.create_server(("127.0.0.1", 0)) as silent:
        sentinels = [("127.0.0.1", silent.getsockname()[1]), ("127.0.0.1", sentinel.port)]
        with Limiter(Sentinel(sentinels).master_for("shop"), POLICIES, options) as limiter:
            assert limiter.check("user", "k").remaining == 9
        async with AsyncLimiter(AsyncSentinel(sentinels).master_for("shop"), POLICIES, options) as asynchronous:
            assert (await asynchronous.check("user", "k")).remaining == 8


def test_a_sentinel_failover_is_followed(tmp_path):
    with redis_servers.sentinel_pair(tmp_path) as (master, replica, sentinel):
        manager = Sentinel([("127.0.0.1", sentinel.port)], socket_timeout=1)

        async def failover() -> None:
            clock = Clock()
            async_manager = AsyncSentinel([("127.0.0.1", sentinel.port)], socket_timeout=1)
            asynchronous = AsyncLimiter(async_manager.master_for("shop"), POLICIES, ROOMY, clock=clock)
            with Limiter(manager.master_for("shop"), POLICIES, ROOMY, clock=clock) as limiter:
                assert limiter.check("user", "k").remaining == 9
                assert (await asynchronous.check("user", "k")).remaining == 8
                redis_servers.until(lambda: replica.client().dbsize() == 1)
                master.kill()
                assert limiter.check("user", "k").degraded
                assert (await asynchronous.check("user", "k")).degraded
                for _ in range(5):
                    assert limiter.check("user", "k").degraded
                    assert (await asynchronous.check("user", "k")).degraded
                redis_servers.until(lambda: replica.client().role()[0] == b"master", within_s=60)
                redis_servers.until(lambda: manager.discover_master("shop")[1] == replica.port, within_s=60)
                for _ in clock.probes(ROOMY):
                    both = limiter.check("user", "other"), await asynchronous.check("user", "other")
                    if not any(decision.degraded for decision in both):
                        break
                assert limiter.peek("user", "k").remaining == 8, "the promoted replica knows what was charged"
            await asynchronous.aclose()

        asyncio.run(failover())
