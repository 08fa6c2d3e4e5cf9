"""Measure the sync limiter: one check, three limits, batches, denials, leases, an open circuit."""

import itertools
from collections.abc import Callable

import redis

from benchmarks.ratelimit.floor import Floor
from benchmarks.ratelimit.peers import Check, sync_peers
from benchmarks.ratelimit.policies import PATIENT, POLICIES
from benchmarks.ratelimit.rounds import Effort, Work, faster, interleave, times
from benchmarks.ratelimit.server import free_port
from benchmarks.report import Figure, Report, figure
from ratelimit_service import CheckRequest, Limiter

MANY = 10_000
BATCH = 32
FLOOR = "bare EVALSHA"
OURS = "salespulse"
_KEYS = [f"user-{number:05}" for number in range(MANY)]


def on_hot_key(check: Check) -> Work:
    """n checks of one key."""

    def work(count: int) -> None:
        for _ in range(count):
            check("user-hot")

    return work


def on_many_keys(check: Check) -> Work:
    """n checks that go round 10,000 keys."""
    keys = itertools.cycle(_KEYS)

    def work(count: int) -> None:
        for key in itertools.islice(keys, count):
            check(key)

    return work


def measure_sync(report: Report, port: int, effort: Effort) -> None:
    """All figures of the sync limiter."""
    client = redis.Redis(port=port)
    with Limiter(client, POLICIES, PATIENT) as limiter:
        floor, peers = Floor(client), sync_peers(port)
        for scene, over in (("sync, hot key", on_hot_key), ("sync, 10,000 keys", on_many_keys)):
            client.flushall()
            _one_check(report, scene, over, floor, limiter, peers, effort)
        client.flushall()
        _in_process(report, floor, limiter, effort)
    report.add(*_outage(effort))
    client.close()


def _one_check(
    report: Report,
    scene: str,
    over: Callable[[Check], Work],
    floor: Floor,
    limiter: Limiter,
    peers: dict[str, Check],
    effort: Effort,
) -> None:
    contenders = {
        FLOOR: floor.check,
        OURS: lambda key: limiter.check("one", key),
        f"{OURS}, three limits": lambda key: limiter.check("three", key),
        **peers,
    }
    times_us = interleave({name: over(check) for name, check in contenders.items()}, effort)
    report.add(*times(times_us, scene))
    report.add(
        faster(times_us, scene, OURS, FLOOR, bound=0.9),
        faster(times_us, scene, f"{OURS}, three limits", FLOOR, bound=0.75, note="the floor decides one limit"),
        *(faster(times_us, scene, OURS, peer, bound=1.0) for peer in peers),
    )


def _in_process(report: Report, floor: Floor, limiter: Limiter, effort: Effort) -> None:
    requests = [CheckRequest("one", key) for key in _KEYS[:BATCH]]

    def many(count: int) -> None:
        for _ in range(0, count, BATCH):
            limiter.check_many(requests)

    assert limiter.check("used_up", "user-hot").allowed
    assert not limiter.check("used_up", "user-hot").allowed
    contenders = {
        FLOOR: on_hot_key(floor.check),
        "check_many of 32": many,
        "denied key": on_hot_key(lambda key: limiter.check("used_up", key)),
        "lease of 20": on_hot_key(lambda key: limiter.check("leased", key)),
    }
    times_us = interleave(contenders, effort, unit=BATCH)
    scene = "sync"
    assert limiter.check("used_up", "user-hot").is_cached
    report.add(
        *times(times_us, scene),
        faster(times_us, scene, "check_many of 32", FLOOR, bound=None, note="held to 5 in the async limiter"),
        faster(times_us, scene, "denied key", FLOOR, bound=100),
        faster(times_us, scene, "lease of 20", FLOOR, bound=10),
    )


def _outage(effort: Effort) -> list[Figure]:
    """Nobody listens: after three failures the circuit is open. The probes, one each quarter second, are included."""
    with Limiter(redis.Redis(port=free_port()), POLICIES) as limiter:
        contenders = {name: on_hot_key(lambda key, name=name: limiter.check(name, key)) for name in _OUTAGES}
        for work in contenders.values():
            work(10)
        assert limiter.check("closed", "user-hot").degraded
        times_us = interleave(contenders, effort)
    return [figure(f"sync, circuit open: on_outage {name}", times_us[name], "µs/check", bound=20) for name in _OUTAGES]


_OUTAGES = ("open", "closed", "local")
