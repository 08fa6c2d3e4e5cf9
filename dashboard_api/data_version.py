"""Poll which state the figures reflect: twice a second for all tenants together, instead of once a request."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import AsyncConnection

from dashboard_api.errors import NotConfiguredError
from dashboard_api.rendered_report import Freshness, RenderedReport
from dbconnect import ReadRouter, SalespulseError
from dbsql import query

POLL_EVERY_S = 0.5
# All versions are read again this often: a promoted standby may have lost the newest ones.
FULL_READ_EVERY_S = 60.0
# Longer than outdated reports are served, `GRACE_S`.
_KEEP_SUPERSEDED = timedelta(seconds=60)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_logger = logging.getLogger(__name__)


class DataVersionMonitor:
    """Keep `freshness` and the tenants' data versions up to date.

    Args:
        router: connections to the database.
        stale_after_s: a report from before a change is stale where it lags this far behind the newest poll.
        on_change: called with the new data versions, by tenant, of the tenants whose figures have changed since the poll before.
        late_after_s: without a successful poll for this long, all figures are stale.
        clock: returns the current time.

    Attributes:
        refusal: why these figures must not be served at all; None: they may.
    """

    def __init__(
        self,
        router: ReadRouter,
        *,
        stale_after_s: float,
        on_change: Callable[[dict[int, datetime]], None] | None = None,
        late_after_s: float = 5.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._router = router
        self._on_change = on_change
        self._late_after = timedelta(seconds=late_after_s)
        self._stale_after = timedelta(seconds=stale_after_s)
        self._clock = clock
        self._versions: dict[int, datetime] = {}
        # By tenant whose figures changed lately: previous versions, oldest first, and until when each was seen to be current.
        self._superseded: dict[int, list[tuple[datetime, datetime]]] = {}
        # By the moment that a report reflects, under the current poll.
        self._older_freshness: dict[datetime, Freshness] = {}
        self._newest_version = _EPOCH
        self._polled_at: datetime | None = None
        self._fully_read_at: datetime | None = None
        self._is_behind = False
        self._problem: str | None = None
        self._is_role_checked = False
        self._freshness: Freshness | None = None
        self._freshness_valid_until = _EPOCH
        self.refusal: NotConfiguredError | None = None

    @property
    def is_current(self) -> bool:
        """Whether a poll has succeeded lately."""
        return self._polled_at is not None and self._clock() - self._polled_at <= self._late_after

    @property
    def freshness(self) -> Freshness | None:
        """The freshness of unchanged figures as of now, approximately; None before the first refresh."""
        # A poll takes long while no server responds; what it showed before ages all the same.
        if self._freshness is not None and self._clock() > self._freshness_valid_until:
            self._update_age()
        return self._freshness

    def version(self, tenant_key: int) -> datetime:
        """Return when the tenant's figures last changed, as far as is known; a report from then or later is up to date."""
        return self._versions.get(tenant_key, _EPOCH)

    def freshness_of(self, report: RenderedReport, tenant_key: int) -> Freshness:
        """Return a report's freshness: that of the last poll, where nothing of the tenant's has changed since the report was built.

        A report from a server behind the last poll reflects only its own snapshot. One from before a change that was noticed lately
        reflects the poll before that change, and is stale when that is longer ago than `stale_after_s`.
        """
        newest = self.freshness
        if newest is not None and report.changed_at >= self.version(tenant_key) and report.as_of <= newest.as_of:
            return newest
        as_of = report.as_of
        for version, current_until in reversed(self._superseded.get(tenant_key, ())):
            if report.changed_at >= version:
                as_of = max(as_of, current_until)
                break
        older = self._older_freshness.get(as_of)
        if older is None:
            staleness_s = max(0.0, (self._clock() - as_of).total_seconds())
            is_stale = newest is None or newest.is_stale or newest.as_of - as_of > self._stale_after
            older = self._older_freshness[as_of] = Freshness(as_of, round(staleness_s, 3), is_stale)
        return older

    async def poll(self) -> None:
        """Read the versions once. Where no server responds, the known ones stay, age, and soon become stale."""
        try:
            await self._read()
        except NotConfiguredError as error:
            _logger.error("%s", error)  # noqa: TRY400 - the message says it all; a stack trace would hide it
            self.refusal, self._freshness = error, None
        except (SalespulseError, psycopg.Error) as error:
            if self._problem is None:
                _logger.warning("can't read the data version: %s", error)
            self._problem = str(error)
        self._update_age()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await asyncio.sleep(POLL_EVERY_S)
            await self.poll()

    async def _read(self) -> None:
        now = self._clock()
        is_full = self._fully_read_at is None or now - self._fully_read_at > timedelta(seconds=FULL_READ_EVERY_S)
        since = _EPOCH if is_full else self._newest_version
        async with self._router.read_only() as read:
            if not self._is_role_checked:
                await _check_role(read.connection)
                self._is_role_checked = True
            state = await (await read.connection.execute(query("dashboard.state"))).fetchone()
            cursor = await read.connection.execute(query("dashboard.changed_tenants"), {"since": since})
            rows: list[dict[str, Any]] = await cursor.fetchall()
            self._is_behind = read.is_stale
        versions = {row["tenant_key"]: row["changed_at"] for row in rows}
        newer = {key: version for key, version in versions.items() if self._versions.get(key, _EPOCH) < version}
        if self._freshness is not None:
            as_of = self._freshness.as_of
            for key in newer.keys() & self._versions.keys():
                self._superseded.setdefault(key, []).append((self._versions[key], as_of))
            if is_full:
                self._drop_superseded(before=as_of - _KEEP_SUPERSEDED)
        if is_full:
            self._versions, self._fully_read_at = versions, now
        else:
            self._versions.update(versions)
        self._newest_version = max(self._versions.values(), default=_EPOCH)
        self._polled_at, self._problem = now, None
        if state is not None:
            self._freshness = Freshness(state["as_of"], 0.0, is_stale=False)
        if self._on_change is not None:
            self._on_change(newer)

    def _drop_superseded(self, *, before: datetime) -> None:
        recent = {key: [each for each in pairs if each[1] >= before] for key, pairs in self._superseded.items()}
        self._superseded = {key: pairs for key, pairs in recent.items() if pairs}

    def _update_age(self) -> None:
        self._older_freshness.clear()
        if self._freshness is None:
            return
        now, as_of = self._clock(), self._freshness.as_of
        staleness_s = max(0.0, (now - as_of).total_seconds())
        self._freshness = Freshness(as_of, round(staleness_s, 3), self._is_behind or not self.is_current)
        self._freshness_valid_until = now + timedelta(seconds=2 * POLL_EVERY_S)
        if not self._freshness.is_stale and self._polled_at is not None:
            self._freshness_valid_until = min(self._freshness_valid_until, self._polled_at + self._late_after)


async def _check_role(connection: AsyncConnection[dict[str, Any]]) -> None:
    # A role that bypasses row-level security would show every tenant's figures to everyone: better no dashboard at all.
    row = await (await connection.execute(query("dashboard.role_is_safe"))).fetchone()
    if row is not None and (row["may_write"] or not row["is_row_security_active"]):
        raise NotConfiguredError(
            "the role of SALESPULSE_DASHBOARD_URL may write the rollups or bypasses row-level security: use salespulse_dashboard"
        )
