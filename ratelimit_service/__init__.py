"""A rate limiter on Redis and job-status events; HTTP middleware is in `http`, an HTTP service in `companion`.

Policies are values (`Policy`, `Limit`); a `Limiter` or `AsyncLimiter` decides by them in one script call to Redis.
Start with `docs/ratelimit.md`.
"""

from ratelimit_service.async_limiter import AsyncLimiter
from ratelimit_service.decision import CheckRequest, Decision, LimitState
from ratelimit_service.errors import (
    PolicyError,
    PolicyFileError,
    RateLimitedError,
    RateLimitError,
    RedisUnavailableError,
    UsageError,
)
from ratelimit_service.limiter import Limiter
from ratelimit_service.limits import Algorithm, Limit
from ratelimit_service.options import Options
from ratelimit_service.policy import OnOutage, Policy, PolicySet
from ratelimit_service.policy_file import load_policies, parse_policies
from ratelimit_service.policy_store import FileSource, PolicyWatcher, RedisSource, publish_policies
from ratelimit_service.slots import Slot, SlotLease

__all__ = [
    "Algorithm",
    "AsyncLimiter",
    "CheckRequest",
    "Decision",
    "FileSource",
    "Limit",
    "LimitState",
    "Limiter",
    "OnOutage",
    "Options",
    "Policy",
    "PolicyError",
    "PolicyFileError",
    "PolicySet",
    "PolicyWatcher",
    "RateLimitError",
    "RateLimitedError",
    "RedisSource",
    "RedisUnavailableError",
    "Slot",
    "SlotLease",
    "UsageError",
    "load_policies",
    "parse_policies",
    "publish_policies",
]
