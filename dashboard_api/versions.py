"""What the figures reflect just now, asked a few times a second for all tenants together, instead of once a request."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import AsyncConnection

from dashboard_api.answers import Answer
from dashboard_api.errors import NotConfiguredError
from dashboard_api.freshness import Freshness
from dbconnect import ReadRouter, SalespulseError
from dbsql import query

POLL_S = 0.5
# Every version is read anew this often: a promoted standby may have lost the newest ones.
REREAD_S = 60.0
# Longer than answers are given after a change, `GRACE_S`.
_REMEMBERED = timedelta(seconds=60)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

log = logging.getLogger(__name__)


class VersionWatch:
    """Keeps `freshness` and the tenants' versions up to date until it is stopped."""

    def __init__(
        self,
        router: ReadRouter,
        *,
        stale_after_s: float,
        on_change: Callable[[dict[int, datetime]], None] | None = None,
        late_after_s: float = 5.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Watch.

        Args:
            router: finds a server to ask.
            stale_after_s: an answer from before a change is said to be stale where it lags this far behind the newest look.
            on_change: told of the tenants whose figures have changed since the look before, with their versions.
            late_after_s: without a look for so long, the figures are said to be stale.
            clock: the time.
        """
        self._router = router
        self._on_change = on_change
        self._late_after = timedelta(seconds=late_after_s)
        self._stale_after = timedelta(seconds=stale_after_s)
        self._clock = clock
        self._versions: dict[int, datetime] = {}
        # Of a tenant whose figures changed lately: the versions before, oldest first, and the moment up to which each was seen to be the
        # last one.
        self._superseded: dict[int, list[tuple[datetime, datetime]]] = {}
        self._aged: dict[datetime, Freshness] = {}
        self._newest = _EPOCH
        self._seen_at: datetime | None = None
        self._reread_at: datetime | None = None
        self._is_behind = False
        self._problem: str | None = None
        self._is_role_checked = False
        self.refusal: NotConfiguredError | None = None
        self._freshness: Freshness | None = None
        self._holds_until = _EPOCH

    @property
    def is_current(self) -> bool:
        """Whether the last look succeeded, lately."""
        return self._seen_at is not None and self._clock() - self._seen_at <= self._late_after

    @property
    def problem(self) -> str | None:
        """Why the last look failed; None if it didn't."""
        return self._problem

    @property
    def freshness(self) -> Freshness | None:
        """The newest look, with its age as of now, about; None before the first refresh."""
        # A look takes long while no server answers; what is known grows old all the same.
        if self._freshness is not None and self._clock() > self._holds_until:
            self._tick()
        return self._freshness

    def version(self, tenant_key: int) -> datetime:
        """When the tenant's figures last changed, as far as is known; an answer from then or later is still right."""
        return self._versions.get(tenant_key, _EPOCH)

    def freshness_of(self, answer: Answer, tenant_key: int) -> Freshness:
        """What to say of an answer: where nothing of the tenant's has changed since, it reflects all that the look did.

        An answer from a server that was behind the last look says only what its own snapshot showed; one from before a change that
        was noticed lately reflects what the look before that showed, and is said to be stale when that is longer ago than a read may
        be without being marked.
        """
        seen = self.freshness
        if seen is not None and answer.changed_at >= self.version(tenant_key) and answer.as_of <= seen.as_of:
            return seen
        as_of = answer.as_of
        for version, until in reversed(self._superseded.get(tenant_key, ())):
            if answer.changed_at >= version:
                as_of = max(as_of, until)
                break
        aged = self._aged.get(as_of)
        if aged is None:
            staleness_s = max(0.0, (self._clock() - as_of).total_seconds())
            is_stale = seen is None or seen.is_stale or seen.as_of - as_of > self._stale_after
            # One for all answers of that moment under this look.
            aged = self._aged[as_of] = Freshness(as_of, round(staleness_s, 3), is_stale)
        return aged

    async def look(self) -> None:
        """Look once. Where no server answers, what was known stays, grows older, and is soon said to be stale."""
        try:
            await self._read()
        except NotConfiguredError as error:
            log.error("%s", error)  # noqa: TRY400 - the message says it all; a stack trace would hide it
            self.refusal, self._freshness = error, None
        except (SalespulseError, psycopg.Error) as error:
            if self._problem is None:
                log.warning("the state of the figures can't be read: %s", error)
            self._problem = str(error)
        self._tick()

    async def run(self) -> None:
        """Look again and again; cancel to end."""
        while True:
            await asyncio.sleep(POLL_S)
            await self.look()

    async def _read(self) -> None:
        now = self._clock()
        is_whole = self._reread_at is None or now - self._reread_at > timedelta(seconds=REREAD_S)
        since = _EPOCH if is_whole else self._newest
        async with self._router.read_only() as read:
            if not self._is_role_checked:
                await _check_role(read.connection)
                self._is_role_checked = True
            state = await (await read.connection.execute(query("dashboard.state"))).fetchone()
            cursor = await read.connection.execute(query("dashboard.changed_tenants"), {"since": since})
            changed: list[dict[str, Any]] = await cursor.fetchall()
            self._is_behind = read.is_stale
        found = {row["tenant_key"]: row["changed_at"] for row in changed}
        newer = {key: version for key, version in found.items() if self._versions.get(key, _EPOCH) < version}
        if self._freshness is not None:
            as_of = self._freshness.as_of
            for key in newer.keys() & self._versions.keys():
                self._superseded.setdefault(key, []).append((self._versions[key], as_of))
            if is_whole:
                self._forget_superseded(before=as_of - _REMEMBERED)
        if is_whole:
            self._versions, self._reread_at = found, now
        else:
            self._versions.update(found)
        self._newest = max(self._versions.values(), default=_EPOCH)
        self._seen_at, self._problem = now, None
        if state is not None:
            self._freshness = Freshness(state["as_of"], 0.0, is_stale=False)
        if self._on_change is not None:
            self._on_change(newer)

    def _forget_superseded(self, *, before: datetime) -> None:
        kept = {key: [each for each in known if each[1] >= before] for key, known in self._superseded.items()}
        self._superseded = {key: known for key, known in kept.items() if known}

    def _tick(self) -> None:
        self._aged.clear()
        if self._freshness is None:
            return
        now, as_of = self._clock(), self._freshness.as_of
        staleness_s = max(0.0, (now - as_of).total_seconds())
        self._freshness = Freshness(as_of, round(staleness_s, 3), self._is_behind or not self.is_current)
        self._holds_until = now + timedelta(seconds=2 * POLL_S)
        if not self._freshness.is_stale and self._seen_at is not None:
            self._holds_until = min(self._holds_until, self._seen_at + self._late_after)


async def _check_role(connection: AsyncConnection[dict[str, Any]]) -> None:
    # A role that row-level security doesn't hold would show every tenant everything: rather no dashboard at all.
    row = await (await connection.execute(query("dashboard.role_is_safe"))).fetchone()
    if row is not None and (row["may_write"] or not row["is_row_security_active"]):
        raise NotConfiguredError(
            "SALESPULSE_DASHBOARD_URL logs in as a role that may write the rollups or bypasses row-level security: use "
            "salespulse_dashboard"
        )
