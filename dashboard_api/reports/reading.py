"""How figures are read: mostly in one message to the database, which asks before it knows what to ask."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from dashboard_api.errors import NotReadyError
from dashboard_api.filters import Filter
from dashboard_api.period import Period
from dashboard_api.reports.figures import Figures, Part, Row, opened, opening
from dbconnect import Statement

# Runs statements in one transaction that shows the tenant's rows alone, and gives the rows of each.
Ask: TypeAlias = Callable[[Sequence[Statement]], Awaitable[Sequence[Sequence[Row]]]]
# One to learn the dates, one with these; the others are for changes in between.
_TRIES = 6


async def read_figures(
    ask: Ask,
    tenant_key: int,
    asked: Filter,
    parts: Callable[[Period], Sequence[Part]],
    supposed: Figures | None,
) -> Figures:
    """Read figures with all parts, of one state.

    Which dates and stores are meant by default only the database knows. What was read before tells it mostly right: so the parts are asked
    for along with it, and once more where it turns out that something else was meant.

    Args:
        ask: runs statements.
        tenant_key: whose.
        asked: over which dates and stores.
        parts: which ones, by the period that was meant.
        supposed: what was read before. Its parts are not read again where the state is still the same; those of a state that is known to be
            over are a waste, see `without_parts`.

    Raises:
        NotReadyError: nothing has been refreshed yet, or the figures change too fast.
        StoreNotFoundError: the tenant has no store of that id.
        ParameterError: the one date that was given makes too long a period.
    """
    for _ in range(_TRIES):
        missing = [] if supposed is None else _missing(supposed, parts)
        first, *rows = await ask(
            [opening(tenant_key, asked), *([] if supposed is None else supposed.statements(missing))]
        )
        found = opened(tenant_key, asked, first)
        if supposed is not None and supposed.question == found.question:
            if supposed.identity == found.identity:
                found.texts.update(supposed.texts)
            found.take(missing, rows)
            if not _missing(found, parts):
                return found
        supposed = found
    raise NotReadyError("the figures change faster than they can be read", retry_after_s=1)


def without_parts(figures: Figures) -> Figures:
    """Give what is still worth supposing of a state that is over."""
    return replace(figures, texts={})


def _missing(figures: Figures, parts: Callable[[Period], Sequence[Part]]) -> list[Part]:
    return [part for part in dict.fromkeys(parts(figures.period)) if part not in figures.texts]
