"""The rate limiter in front of the API: its policies, reloaded while it runs, and the paths exempt from it."""

import redis.asyncio

from dashboard_api.errors import NotConfiguredError
from dbconnect import Settings
from ratelimit_service import AsyncLimiter, FileSource, Options, PolicySet, PolicyWatcher, RateLimitError, load_policies
from ratelimit_service.http import bundled_policies

# Health and metrics must always respond; the pages' own files cost less than counting them.
EXEMPT_PATHS = ("/healthz", "/readyz", "/metrics", "/", "/jobs", "/docs", "/openapi.json", "/static/**")
POLICY = "default"
# A thousand requests that arrive at once occupy the event loop for longer than the limiter's default of 50 ms: that is no outage of
# Redis, and must not make each process decide by itself.
_DEADLINE_S = 0.5


class ApiRateLimiter:
    """The limiter of one process.

    Raises:
        SettingsError: `redis_url` is not set. An unreachable Redis is no error: the policy says what applies then.
        NotConfiguredError: the policy file is invalid; the message names the line.
    """

    def __init__(self, settings: Settings) -> None:
        client = redis.asyncio.from_url(settings.url("redis_url"))
        options = Options(deadline_s=_DEADLINE_S, breaker_open_s=_DEADLINE_S, instances=settings.dashboard_processes)
        self.limiter = AsyncLimiter(client, _policies(settings), options=options)
        self._watcher: PolicyWatcher | None = None
        if settings.ratelimit_policies is not None:
            self._watcher = PolicyWatcher(
                FileSource(settings.ratelimit_policies),
                self.limiter.install,
                on_refused=self.limiter.metrics.reload_failures.add,
            )

    def start(self) -> None:
        """Start watching the policy file."""
        if self._watcher is not None:
            self._watcher.start()

    async def close(self) -> None:
        """Stop watching, and close the connections to Redis."""
        if self._watcher is not None:
            self._watcher.stop()
        await self.limiter.aclose()


def _policies(settings: Settings) -> PolicySet:
    if settings.ratelimit_policies is None:
        return bundled_policies()
    try:
        policies = load_policies(settings.ratelimit_policies)
    except RateLimitError as error:
        raise NotConfiguredError(str(error)) from error
    if POLICY not in policies:
        raise NotConfiguredError(
            f"{settings.ratelimit_policies} has no policy named {POLICY!r}, which the API requires"
        )
    return policies
