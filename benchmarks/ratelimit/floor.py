"""The floor of the ratios: a GCRA script for one limit, called by EVALSHA, as a team would write without a library."""

import redis
import redis.asyncio

RATE, QUANTITY = 1_000, 10_000_000
INTERVAL_US = 86_400_000
"""A thousand a day with a burst of ten million: never exhausted here, and every key's state lives on for minutes."""

SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local tat = tonumber(redis.call('GET', KEYS[1]) or now)
if tat < now then tat = now end
local interval, cost = tonumber(ARGV[2]), tonumber(ARGV[3])
local after = tat + interval * cost
local room = after - now - interval * tonumber(ARGV[1])
if room > 0 then return {0, 0, tat - now, room} end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
return {1, math.floor(-room / interval), after - now, 0}
"""


class Floor:
    """One awaited round trip per check, over redis-py's own client."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._sha = client.script_load(SCRIPT)

    def check(self, key: str) -> list[int]:
        """Whether it is allowed, what remains, microseconds until reset, microseconds to wait."""
        return self._client.evalsha(self._sha, 1, key, QUANTITY, INTERVAL_US, 1)


class AsyncFloor:
    """The same with redis.asyncio; each check awaits its own EVALSHA."""

    def __init__(self, client: redis.asyncio.Redis, sha: str) -> None:
        self._client = client
        self._sha = sha

    async def check(self, key: str) -> list[int]:
        """As `Floor.check`."""
        return await self._client.evalsha(self._sha, 1, key, QUANTITY, INTERVAL_US, 1)
