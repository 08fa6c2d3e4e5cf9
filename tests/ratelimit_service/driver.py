"""A limiter's core with a clock of the test's own, straight to the script: no caches."""

from dataclasses import replace

import redis

from ratelimit_service import Decision, PolicySet
from ratelimit_service.core import Call, Core
from ratelimit_service.script import pack_time
from ratelimit_service.transport import Transport
from tests.ratelimit_service.conftest import PATIENT


class Driver:
    def __init__(self, client: redis.Redis, policies: PolicySet) -> None:
        self.transport = Transport(client, PATIENT)
        self.core = Core(policies, replace(PATIENT, denials=0), is_cluster=False, open_circuits=lambda: 0)

    def decide(self, call: Call, now: int) -> Decision:
        return self.core.finish(call, self._reply(call, now))

    def number(self, call: Call, now: int) -> int:
        return self.core.finish_number(call, self._reply(call, now))

    def _reply(self, call: Call, now: int) -> bytes:
        return self.transport.call(call.keys, (pack_time(now), *call.requests))
