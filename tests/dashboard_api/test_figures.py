"""Figures are read in one message that supposes what is meant; what was supposed wrongly is read again, and states never mix."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_api.errors import InvalidParameterError, NotReadyError, StoreNotFoundError
from dashboard_api.filters import Filter
from dashboard_api.reports import Figures, Part
from dashboard_api.reports.figures import read_figures, without_parts
from dbconnect import Statement

T0 = datetime(2026, 1, 1, tzinfo=UTC)
PARTS = (Part("sums"), Part("cells"), Part("stores", limit=100), Part("top_products", "units", 10, 20), Part("names"))


@dataclass
class Database:
    """One tenant, whose state may be another one at each message. Each text tells the state and the question that it answers."""

    states: list[tuple[int, date]]
    messages: list[list[str]] = field(default_factory=list)

    async def ask(self, statements: Sequence[Statement]) -> list[list[dict[str, Any]]]:
        version, last_date = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        results: list[list[dict[str, Any]]] = []
        part_names = []
        for number, statement in enumerate(statements):
            parameters_ = dict(statement.parameters or {})
            if number == 0:
                results.append([self._scope_row(version, last_date, parameters_)])
                continue
            filters = [parameters_[name] for name in ("from_date", "to_date", "sort", "row_limit", "row_offset")]
            text = json.dumps([version, *map(str, filters)])
            results.append([{"part": name, "figures": text} for name in parameters_["parts"]])
            part_names += parameters_["parts"]
        self.messages.append(part_names)
        return results

    @staticmethod
    def _scope_row(version: int, last_date: date, parameters: dict[str, Any]) -> dict[str, Any]:
        keys = {"one": 1, "two": 2}
        return {
            "as_of": T0,
            "changed_at": T0 + timedelta(seconds=version),
            "first_date": date(2020, 1, 1),
            "last_date": last_date,
            "newest_date": last_date,
            "store_keys": {name: keys[name] for name in parameters["store_ids"] if name in keys},
        }

    async def read(self, filters: Filter, parts: Sequence[Part] = PARTS, previous: Figures | None = None) -> Figures:
        return await read_figures(self.ask, 7, filters, lambda _: parts, previous)


def check(figures: Figures, parts: Sequence[Part]) -> None:
    """Every part is of the state and the dates that the figures say."""
    version = round((figures.changed_at - T0).total_seconds())
    for part in parts:
        text = figures.texts[part]
        assert text is not None
        figures_ = json.loads(text)
        assert figures_[:3] == [version, str(figures.period.first), str(figures.period.last)], part
        if part.limit:
            assert figures_[3:] == [part.sort, str(part.limit), str(part.offset)]


DAY = date(2025, 6, 30)
DEFAULT = Filter()


async def test_the_first_reading_takes_two_messages_and_the_next_one() -> None:
    database = Database([(1, DAY)])
    first = await database.read(DEFAULT)
    check(first, PARTS)
    assert [len(message) for message in database.messages] == [0, len(PARTS)]
    database.states = [(2, DAY)]
    check(await database.read(DEFAULT, previous=without_parts(first)), PARTS)
    assert len(database.messages) == 3


async def test_another_day_is_found_out() -> None:
    """Midnight: what the default dates mean has changed since."""
    database = Database([(1, DAY)])
    first = await database.read(DEFAULT)
    database.states = [(2, DAY + timedelta(days=1))]
    second = await database.read(DEFAULT, previous=without_parts(first))
    assert second.period.last == DAY + timedelta(days=1)
    check(second, PARTS)


async def test_what_is_kept_of_the_same_state_is_not_read_again() -> None:
    database = Database([(1, DAY)])
    first = await database.read(DEFAULT, PARTS[:2])
    second = await database.read(DEFAULT, PARTS[:3], previous=first)
    check(second, PARTS[:3])
    assert database.messages[-1] == ["stores"]


async def test_what_is_kept_of_another_state_is_read_again() -> None:
    database = Database([(1, DAY)])
    first = await database.read(DEFAULT, PARTS[:2])
    database.states = [(2, DAY)]
    second = await database.read(DEFAULT, PARTS[:3], previous=first)
    check(second, PARTS[:3])
    assert second.changed_at == T0 + timedelta(seconds=2)


async def test_figures_that_never_hold_still_are_refused() -> None:
    database = Database([(number, DAY + timedelta(days=number)) for number in range(50)])
    with pytest.raises(NotReadyError, match="change faster"):
        await database.read(DEFAULT)


async def test_refusals_come_from_the_opening() -> None:
    database = Database([(1, DAY)])
    with pytest.raises(StoreNotFoundError, match="three"):
        await database.read(Filter(store=("one", "three")))
    with pytest.raises(InvalidParameterError, match="period"):
        await database.read(Filter(from_date=date(1950, 1, 1)))


@given(
    states=st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from([DAY, DAY + timedelta(days=1)])), min_size=1, max_size=4
    ),
    before=st.none() | st.lists(st.sampled_from(PARTS), unique=True),
    requested_parts=st.lists(st.sampled_from(PARTS), min_size=1, unique=True),
    store=st.sampled_from([(), ("one",), ("two", "one")]),
    is_over=st.booleans(),
)
async def test_whatever_happens_between_two_messages_parts_are_of_one_state(
    states: list[tuple[int, date]],
    before: list[Part] | None,
    requested_parts: list[Part],
    store: tuple[str, ...],
    is_over: bool,
) -> None:
    filters = Filter(store=store)
    previous = None
    if before is not None:
        previous = await Database([states[0]]).read(filters, before)
        previous = without_parts(previous) if is_over else previous
    figures_ = await Database(list(states)).read(filters, requested_parts, previous)
    check(figures_, requested_parts)
