"""The partitions of history for backfills: calendar months of business dates, local to the store."""

from datetime import date, timedelta

import dagster as dg

from dbconnect import load_settings


def months() -> dg.MonthlyPartitionsDefinition:
    """Return every month from `SALESPULSE_BACKFILL_FROM` to the present one, which is not over yet."""
    return dg.MonthlyPartitionsDefinition(start_date=load_settings().backfill_from.strftime("%Y-%m-01"), end_offset=1)


MONTHS = months()


def month_in_turn(day: date, first: date) -> tuple[date, date]:
    """Return the first and last day of the month whose turn it is: one a day, in rotation through history.

    Args:
        day: today.
        first: a day within the first month of history.
    """
    total = (day.year - first.year) * 12 + day.month - first.month + 1
    ordinal = first.year * 12 + first.month - 1 + day.toordinal() % max(1, total)
    return first_of(ordinal), first_of(ordinal + 1) - timedelta(days=1)


def first_of(ordinal: int) -> date:
    """Return the first day of a month that is counted from year 0 (twelve a year)."""
    return date(ordinal // 12, ordinal % 12 + 1, 1)
