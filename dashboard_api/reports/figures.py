"""The figures that a report is made of: read from the rollups in one transaction, kept as the text that came."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import orjson

from dashboard_api.errors import NotReadyError, ParameterError, StoreNotFoundError
from dashboard_api.filters import Filter
from dashboard_api.period import DAYS_MAX, DEFAULT_DAYS, FIRST_DATE, Period
from dbconnect import Statement
from dbsql import query

Row = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATEMENTS_BYTES = 1_000


@dataclass(frozen=True)
class Part:
    """Something to read, by the name that the function `salespulse.dashboard_figures` knows; of a list, which page of it."""

    name: str
    sort: str = "net"
    limit: int = 0
    offset: int = 0


SUMS = Part("sums")


@dataclass(frozen=True)
class Figures:
    """Of one tenant, one period and some stores.

    Attributes:
        tenant_key: whose.
        period: the business dates asked for, or the default ones.
        store_keys: only these stores; None: every one.
        first_date: the first business date with figures; None where there are none.
        last_date: the last one.
        newest_date: the last one, the future included.
        as_of: every sale up to this moment is in the figures.
        changed_at: when the tenant's figures last changed.
        texts: what was read, as JSON.
    """

    tenant_key: int
    period: Period
    store_keys: list[int] | None
    first_date: date | None
    last_date: date | None
    newest_date: date | None
    as_of: datetime
    changed_at: datetime
    texts: dict[Part, str | None] = field(default_factory=dict)

    def rows(self, part: Part) -> list[Row]:
        """Give the rows of a part: text, whole numbers, and decimals as answers write them."""
        found: list[Row] = self._value(part) or []
        return found

    def members(self, part: Part) -> dict[str, Any]:
        """Give the members of a part that has several; a list without rows is None."""
        found: dict[str, Any] = self._value(part)
        return found

    def scope(self) -> dict[str, Any]:
        """What every answer says first: over which dates it is."""
        return {"period": self.period.as_document(), "previous_period": self.period.previous.as_document()}

    @property
    def size_bytes(self) -> int:
        """Memory that they take, about."""
        return _STATEMENTS_BYTES + sum(len(text) for text in self.texts.values() if text is not None)

    @property
    def identity(self) -> tuple[object, ...]:
        """Figures that agree in this are of one state of the tenant, and may stand in one answer."""
        return self.changed_at, self.first_date, self.last_date, *self.question

    @property
    def question(self) -> tuple[object, ...]:
        """What statements ask for: those made for one of two figures that agree in this are those of the other."""
        return self.period, self.store_keys, self.newest_date

    def statements(self, parts: Sequence[Part]) -> list[Statement]:
        """Give what reads parts; their rows go to `take`. One statement has one page, so there may be several."""
        return [self._statement(page, parts) for page, parts in _by_page(parts).items()]

    def take(self, parts: Sequence[Part], rows: Iterable[Sequence[Row]]) -> None:
        """Keep what the statements of these parts gave."""
        for (_, wanted), found in zip(_by_page(parts).items(), rows, strict=True):
            texts = {row["part"]: row["figures"] for row in found}
            self.texts.update((part, texts[part.name]) for part in wanted)

    def _value(self, part: Part) -> Any:
        text = self.texts[part]
        return None if text is None else orjson.loads(text)

    def _statement(self, page: "_Page", parts: Iterable[Part]) -> Statement:
        parameters = {
            "tenant_key": self.tenant_key,
            "store_keys": self.store_keys,
            "parts": [part.name for part in parts],
            "sort": page.sort,
            "row_limit": page.limit,
            "row_offset": page.offset,
            **self._dates,
        }
        return Statement(query("dashboard.figures"), parameters)

    @cached_property
    def _dates(self) -> dict[str, object]:
        return {**self.period.parameters(), **self.period.piece_parameters(self.newest_date)}


class _Page(NamedTuple):
    sort: str = ""
    limit: int = 0
    offset: int = 0


def _by_page(parts: Sequence[Part]) -> dict[_Page, list[Part]]:
    """What is no page goes with any one."""
    found: dict[_Page, list[Part]] = {}
    others = []
    for part in parts:
        if part.limit:
            found.setdefault(_Page(part.sort, part.limit, part.offset), []).append(part)
        else:
            others.append(part)
    if others:
        found.setdefault(next(iter(found), _Page()), []).extend(others)
    return found


def opening(tenant_key: int, asked: Filter) -> Statement:
    """Give the first statement of a reading; its rows go to `opened`."""
    return Statement(query("dashboard.opening"), {"tenant_key": tenant_key, "store_ids": list(asked.store)})


def opened(tenant_key: int, asked: Filter, rows: Sequence[Row]) -> Figures:
    """Resolve what was asked, default dates and stores. Has no part yet.

    Args:
        tenant_key: whose.
        asked: which dates and stores.
        rows: what `opening` gave, in a transaction that shows this tenant's rows alone.

    Raises:
        NotReadyError: nothing has been refreshed yet.
        StoreNotFoundError: the tenant has no store of that id.
        ParameterError: the one date that was given makes too long a period.
    """
    if not rows:
        raise NotReadyError("the figures are being prepared: no refresh has finished yet", retry_after_s=5)
    (found,) = rows
    return Figures(
        tenant_key=tenant_key,
        period=resolve_period(asked, found["last_date"] or datetime.now(UTC).date()),
        store_keys=_store_keys(asked.store, found["store_keys"] or {}) if asked.store else None,
        first_date=found["first_date"],
        last_date=found["last_date"],
        newest_date=found["newest_date"],
        as_of=found["as_of"],
        changed_at=found["changed_at"] or EPOCH,
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
