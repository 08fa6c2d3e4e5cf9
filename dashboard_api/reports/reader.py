"""Read figures for one question: within one read-only transaction, for one tenant, over one period."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any, LiteralString, TypeAlias, TypeVar

from psycopg import AsyncConnection

from dashboard_api.errors import NotReadyError, ParameterError, StoreNotFoundError
from dashboard_api.filters import Filter
from dashboard_api.period import DAYS_MAX, DEFAULT_DAYS, FIRST_DATE, Period
from dbsql import query

Row = dict[str, Any]
T = TypeVar("T")
# What was asked for already, and is waited for when called.
Later: TypeAlias = Callable[[], Awaitable[T]]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Reader:
    """What a report reads with.

    Attributes:
        connection: in a transaction that shows this tenant's rows alone.
        tenant_key: whose.
        period: the business dates asked for, or the default ones.
        store_keys: only these stores; None: every one.
        first_date: the first business date with figures; None where there are none.
        last_date: the last one.
        as_of: every sale up to this moment is in the figures.
        changed_at: when the tenant's figures last changed.
    """

    connection: AsyncConnection[Row]
    tenant_key: int
    period: Period
    store_keys: list[int] | None
    first_date: date | None
    last_date: date | None
    as_of: datetime
    changed_at: datetime

    async def rows(self, statement: LiteralString, **parameters: object) -> list[Row]:
        """Run a statement of `dbsql/queries/dashboard.sql` over tenant, stores and period; give its rows."""
        return await (await self.ask(statement, **parameters))()

    async def ask(self, statement: LiteralString, **parameters: object) -> Later[list[Row]]:
        """Send a statement; give what waits for its rows.

        In pipeline mode all that is asked before the first wait goes to the server together: one round trip, and half of the
        process's own time for each.
        """
        given = {**self._parameters, **parameters}
        return (await self.connection.execute(query(f"dashboard.{statement}"), given)).fetchall

    @cached_property
    def _parameters(self) -> dict[str, object]:
        return {
            "tenant_key": self.tenant_key,
            "store_keys": self.store_keys,
            **self.period.parameters(),
            **self.period.piece_parameters(),
        }

    def scope(self) -> dict[str, Any]:
        """What every answer says first: over which dates it is."""
        return {"period": self.period.as_document(), "previous_period": self.period.previous.as_document()}


async def open_reader(connection: AsyncConnection[Row], tenant_key: int, asked: Filter) -> Reader:
    """Resolve what was asked: default dates, and stores.

    Raises:
        NotReadyError: nothing has been refreshed yet.
        StoreNotFoundError: the tenant has no store of that id.
        ParameterError: the one date that was given makes too long a period.
    """
    parameters = {"tenant_key": tenant_key, "store_ids": list(asked.store)}
    opening = await (await connection.execute(query("dashboard.opening"), parameters)).fetchone()
    if opening is None:
        raise NotReadyError("the figures are being prepared: no refresh has finished yet", retry_after_s=5)
    return Reader(
        connection=connection,
        tenant_key=tenant_key,
        period=resolve_period(asked, opening["last_date"] or datetime.now(UTC).date()),
        store_keys=_store_keys(asked.store, opening["store_keys"] or {}) if asked.store else None,
        first_date=opening["first_date"],
        last_date=opening["last_date"],
        as_of=opening["as_of"],
        changed_at=opening["changed_at"] or EPOCH,
    )


def resolve_period(asked: Filter, last_date: date) -> Period:
    """Fill in the dates that were not given: up to the last one with figures, 30 days in all.

    Raises:
        ParameterError: the period would be too long, or end before it begins.
    """
    to_date = asked.to_date
    if to_date is None:
        to_date = max(last_date, asked.from_date or last_date)
    from_date = asked.from_date or max(FIRST_DATE, to_date - timedelta(days=DEFAULT_DAYS - 1))
    if (to_date - from_date).days >= DAYS_MAX:
        raise ParameterError("from", f"a period is {DAYS_MAX:,} days at most; without `to` it goes to {to_date}")
    return Period(from_date, to_date)


def _store_keys(store_ids: tuple[str, ...], found: dict[str, int]) -> list[int]:
    for store_id in store_ids:
        if store_id not in found:
            raise StoreNotFoundError(f"no store {store_id!r}")
    return sorted(found.values())
