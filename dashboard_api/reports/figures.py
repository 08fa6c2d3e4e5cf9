"""The figures that reports are made of: read from the rollups in one transaction, stored as the JSON text that the database returns.

What a report is, too. The reports themselves stand in the neighbouring files.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import orjson

from dashboard_api.errors import InvalidParameterError, NotReadyError, StoreNotFoundError
from dashboard_api.filters import Filter
from dashboard_api.period import DAYS_MAX, DEFAULT_DAYS, Period
from dbconnect import Statement
from dbsql import FIRST_DATE, query

FigureRow = dict[str, Any]
FilterT = TypeVar("FilterT", bound=Filter)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BASE_SIZE_BYTES = 1_000
# One message to learn the dates, one with them; the others are for changes in between.
_READ_ATTEMPTS = 6


@dataclass(frozen=True)
class Part:
    """A result of the database function `salespulse.dashboard_figures`: its name there and, for a list, the page."""

    name: str
    sort: str = "net"
    limit: int = 0
    offset: int = 0


SUMS = Part("sums")


@dataclass(frozen=True)
class Figures:
    """Parts of one tenant, one period and some stores, all of one state of the database.

    Attributes:
        tenant_key: the tenant's surrogate key.
        period: the business dates requested, or the default ones.
        store_keys: only these stores; None: all.
        first_date: the first business date with figures; None where there are none.
        last_date: the last one up to today.
        newest_date: the last one, future dates included.
        as_of: every sale up to this moment is in the figures.
        changed_at: when the tenant's figures last changed.
        texts: JSON text by part.
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

    def rows(self, part: Part) -> list[FigureRow]:
        """Return the rows of a part: strings, integers, and decimals as strings."""
        rows: list[FigureRow] = self._value(part) or []
        return rows

    def members(self, part: Part) -> dict[str, Any]:
        """Return the members of a part that has several; a list without rows is None."""
        members: dict[str, Any] = self._value(part)
        return members

    def periods(self) -> dict[str, Any]:
        """Return the first members of every report: the period and the previous one."""
        return {"period": self.period.as_document(), "previous_period": self.period.previous.as_document()}

    @property
    def size_bytes(self) -> int:
        """Approximate memory."""
        return _BASE_SIZE_BYTES + sum(len(text) for text in self.texts.values() if text is not None)

    @property
    def state_key(self) -> tuple[object, ...]:
        """Figures with equal keys are of one state of the tenant, and may appear in one report."""
        return self.changed_at, self.first_date, self.last_date, *self.query_key

    @property
    def query_key(self) -> tuple[object, ...]:
        """Figures with equal keys have equal statements."""
        return self.period, self.store_keys, self.newest_date

    def statements(self, parts: Sequence[Part]) -> list[Statement]:
        """Return the statements that read parts, for `add_rows`. A statement has one page, so there may be several."""
        return [self._statement(page, members) for page, members in _by_page(parts).items()]

    def add_rows(self, parts: Sequence[Part], results: Iterable[Sequence[FigureRow]]) -> None:
        """Store what the statements of these parts returned."""
        for members, rows in zip(_by_page(parts).values(), results, strict=True):
            texts = {row["part"]: row["figures"] for row in rows}
            self.texts.update((part, texts[part.name]) for part in members)

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
            **self._date_parameters,
        }
        return Statement(query("dashboard.figures"), parameters)

    @cached_property
    def _date_parameters(self) -> dict[str, object]:
        return {**self.period.parameters(), **self.period.piece_parameters(self.newest_date)}


@dataclass(frozen=True)
class Report(Generic[FilterT]):
    """One kind of report.

    Attributes:
        name: its path under `/api/dashboard/`.
        rows: the list in the document that CSV contains.
        columns: of that list, in order.
        parts: returns the parts that the document is built of; parts that several reports share are read once.
        build: returns the document: strings, integers, decimals and dates.
    """

    name: str
    rows: str
    columns: tuple[str, ...]
    parts: Callable[[Period, FilterT], tuple[Part, ...]]
    build: Callable[[Figures, FilterT], dict[str, Any]]


# Executes statements in one transaction that sees only the tenant's rows, and returns the rows of each.
Execute: TypeAlias = Callable[[Sequence[Statement]], Awaitable[Sequence[Sequence[FigureRow]]]]


async def read_figures(
    execute: Execute,
    tenant_key: int,
    filters: Filter,
    parts: Callable[[Period], Sequence[Part]],
    previous: Figures | None,
) -> Figures:
    """Read figures with all parts, of one state.

    Only the database knows the default dates and the stores. Earlier figures mostly tell: so the parts are requested in the same message
    as the scope, for the scope of the earlier figures, and once more where the scope has changed.

    Args:
        execute: executes statements.
        tenant_key: the tenant's surrogate key.
        filters: the dates and stores.
        parts: returns the parts to read, given the period.
        previous: earlier figures. Their parts are not read again where the state is the same; for a state that is known to be outdated,
            drop them first, see `without_parts`.

    Raises:
        NotReadyError: nothing has been refreshed yet, or the figures change too fast.
        StoreNotFoundError: the tenant has no store of that id.
        InvalidParameterError: with the default for the other date, the period is too long.
    """
    for _ in range(_READ_ATTEMPTS):
        missing = [] if previous is None else _missing(previous, parts)
        statements = [] if previous is None else previous.statements(missing)
        scope_rows, *results = await execute([scope_statement(tenant_key, filters), *statements])
        figures = resolve_scope(tenant_key, filters, scope_rows)
        if previous is not None and previous.query_key == figures.query_key:
            if previous.state_key == figures.state_key:
                figures.texts.update(previous.texts)
            figures.add_rows(missing, results)
            if not _missing(figures, parts):
                return figures
        previous = figures
    raise NotReadyError("the figures change faster than they can be read; retry later", retry_after_s=1)


def without_parts(figures: Figures) -> Figures:
    """Return the scope of figures whose state is outdated, for `read_figures`."""
    return replace(figures, texts={})


def scope_statement(tenant_key: int, filters: Filter) -> Statement:
    """Return the statement that reads the scope: its rows go to `resolve_scope`."""
    return Statement(query("dashboard.opening"), {"tenant_key": tenant_key, "store_ids": list(filters.store)})


def resolve_scope(tenant_key: int, filters: Filter, rows: Sequence[FigureRow]) -> Figures:
    """Resolve default dates and store ids, and return figures without parts.

    Args:
        tenant_key: the tenant's surrogate key.
        filters: the dates and stores requested.
        rows: the rows of `scope_statement`, from a transaction that sees only this tenant's rows.

    Raises:
        NotReadyError: nothing has been refreshed yet.
        StoreNotFoundError: the tenant has no store of that id.
        InvalidParameterError: with the default for the other date, the period is too long.
    """
    if not rows:
        raise NotReadyError("the figures are being prepared: no refresh has finished yet", retry_after_s=5)
    (row,) = rows
    return Figures(
        tenant_key=tenant_key,
        period=_resolve_period(filters, row["last_date"] or datetime.now(UTC).date()),
        store_keys=_store_keys(filters.store, row["store_keys"] or {}) if filters.store else None,
        first_date=row["first_date"],
        last_date=row["last_date"],
        newest_date=row["newest_date"],
        as_of=row["as_of"],
        changed_at=row["changed_at"] or _EPOCH,
    )


class _Page(NamedTuple):
    sort: str = ""
    limit: int = 0
    offset: int = 0


def _by_page(parts: Sequence[Part]) -> dict[_Page, list[Part]]:
    # Parts without a page join any statement.
    parts_by_page: dict[_Page, list[Part]] = {}
    unpaged = []
    for part in parts:
        if part.limit:
            parts_by_page.setdefault(_Page(part.sort, part.limit, part.offset), []).append(part)
        else:
            unpaged.append(part)
    if unpaged:
        parts_by_page.setdefault(next(iter(parts_by_page), _Page()), []).extend(unpaged)
    return parts_by_page


def _missing(figures: Figures, parts: Callable[[Period], Sequence[Part]]) -> list[Part]:
    return [part for part in dict.fromkeys(parts(figures.period)) if part not in figures.texts]


def _resolve_period(filters: Filter, last_date: date) -> Period:
    # Up to the last date with figures, 30 days in all.
    to_date = filters.to_date
    if to_date is None:
        to_date = max(last_date, filters.from_date or last_date)
    from_date = filters.from_date or max(FIRST_DATE, to_date - timedelta(days=DEFAULT_DAYS - 1))
    if (to_date - from_date).days >= DAYS_MAX:
        raise InvalidParameterError(
            "from", f"a period has at most {DAYS_MAX:,} days; without `to` it ends on {to_date}"
        )
    return Period(from_date, to_date)


def _store_keys(store_ids: tuple[str, ...], keys: dict[str, int]) -> list[int]:
    for store_id in store_ids:
        if store_id not in keys:
            raise StoreNotFoundError(f"no store {store_id!r}")
    return sorted(keys.values())
