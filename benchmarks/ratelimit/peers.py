"""The other libraries, each as its documentation says, with its GCRA or token bucket where it has one."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import limits
import limits.aio
import redis
import redis.asyncio
import throttled
import throttled.asyncio
from pyrate_limiter import GCRA, BucketFactory, Duration, Limiter, Rate, RateItem, StateBucket, WallClock
from pyrate_limiter.buckets.redis_state import RedisStateStore

from benchmarks.ratelimit.floor import QUANTITY, RATE

DAY_S = 86_400
Check = Callable[[str], object]
AsyncCheck = Callable[[str], Awaitable[object]]


class _Buckets(BucketFactory):
    """pyrate-limiter keeps one bucket per key; whoever uses it makes and finds them."""

    def __init__(self, client: redis.Redis | redis.asyncio.Redis) -> None:
        self._client = client
        self._clock = WallClock()
        self._rates = [Rate(RATE, Duration.DAY, burst=QUANTITY)]
        self._buckets: dict[str, StateBucket] = {}

    def wrap_item(self, name: str, weight: int = 1) -> RateItem:
        return RateItem(name, self._clock.now(), weight=weight)

    def get(self, item: RateItem) -> StateBucket:
        bucket = self._buckets.get(item.name)
        if bucket is None:
            store = RedisStateStore(self._client, f"pyrate:{item.name}")
            bucket = self._buckets[item.name] = StateBucket(self._rates, GCRA(), store)
        return bucket


def sync_peers(port: int) -> dict[str, Check]:
    """By name, what checks one key. limits has no token bucket: its two cheapest strategies stand for it."""
    storage = limits.storage.storage_from_string(f"redis://127.0.0.1:{port}")
    item = limits.RateLimitItemPerDay(QUANTITY)
    fixed = limits.strategies.FixedWindowRateLimiter(storage)
    sliding = limits.strategies.SlidingWindowCounterRateLimiter(storage)
    store = throttled.RedisStore(server=f"redis://127.0.0.1:{port}/0")
    quota = throttled.per_duration(timedelta(seconds=DAY_S), RATE, burst=QUANTITY)
    bucket = throttled.Throttled(using="token_bucket", quota=quota, store=store)
    gcra = throttled.Throttled(using="gcra", quota=quota, store=store)
    pyrate = Limiter(_Buckets(redis.Redis(port=port)))
    return {
        "limits fixed window": lambda key: fixed.hit(item, key),
        "limits sliding window": lambda key: sliding.hit(item, key),
        "throttled-py token bucket": bucket.limit,
        "throttled-py GCRA": gcra.limit,
        "pyrate-limiter GCRA": lambda key: pyrate.try_acquire(key, blocking=False),
    }


def async_peers(port: int) -> dict[str, AsyncCheck]:
    """The same, awaited."""
    storage = limits.storage.storage_from_string(f"async+redis://127.0.0.1:{port}", implementation="redispy")
    item = limits.RateLimitItemPerDay(QUANTITY)
    fixed = limits.aio.strategies.FixedWindowRateLimiter(storage)
    sliding = limits.aio.strategies.SlidingWindowCounterRateLimiter(storage)
    store = throttled.asyncio.RedisStore(server=f"redis://127.0.0.1:{port}/0")
    quota = throttled.per_duration(timedelta(seconds=DAY_S), RATE, burst=QUANTITY)
    bucket = throttled.asyncio.Throttled(using="token_bucket", quota=quota, store=store)
    gcra = throttled.asyncio.Throttled(using="gcra", quota=quota, store=store)
    pyrate = Limiter(_Buckets(redis.asyncio.Redis(port=port)))
    return {
        "limits fixed window": lambda key: fixed.hit(item, key),
        "limits sliding window": lambda key: sliding.hit(item, key),
        "throttled-py token bucket": bucket.limit,
        "throttled-py GCRA": gcra.limit,
        "pyrate-limiter GCRA": lambda key: pyrate.try_acquire_async(key, blocking=False),
    }
