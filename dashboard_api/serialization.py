"""Figures as text: JSON and CSV documents, exact decimals, timestamps. Money never passes through binary floating point."""

import csv
import io
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import orjson

ZERO = Decimal(0)
_CENT = Decimal("0.01")
_RATIO = Decimal("0.0001")
# What a spreadsheet would run as a formula (OWASP, "CSV Injection").
_FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")


def decimal_text(value: Decimal | int | None) -> str:
    """Return a decimal in plain digits, unrounded; None is zero."""
    return format(value, "f") if value else "0"


def average(total: Decimal, count: int) -> str | None:
    """Return total / count to the cent, half to even; None for a count of zero."""
    return _rounded_text((total / count).quantize(_CENT, ROUND_HALF_EVEN)) if count else None


def ratio(part: Decimal | int, whole: Decimal | int) -> str | None:
    """Return part / whole to four places (0.0421 is 4.21 %); None for a whole of zero."""
    return _rounded_text((Decimal(part) / Decimal(whole)).quantize(_RATIO, ROUND_HALF_EVEN)) if whole else None


def change(current: Decimal | int, previous: Decimal | int) -> str | None:
    """Return (current - previous) / |previous| to four places (0.25 is a quarter more); None from zero."""
    return ratio(Decimal(current) - Decimal(previous), abs(Decimal(previous)))


def utc_timestamp(moment: datetime) -> str:
    """Return a timestamp as responses write it: UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def render_json(document: dict[str, Any]) -> bytes:
    """Return a document as JSON; decimals become strings, unrounded."""
    return orjson.dumps(document, default=_json_value, option=orjson.OPT_PASSTHROUGH_DATETIME)


def render_csv(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> bytes:
    """Return rows as CSV (RFC 4180), with a header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_csv_value(row[column]) for column in columns] for row in rows)
    return text.getvalue().encode()


def _rounded_text(value: Decimal) -> str:
    # Without a sign before zero.
    return format(value or abs(value), "f")


def _json_value(value: object) -> str:
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, datetime):
        return utc_timestamp(value)
    if isinstance(value, date):
        return value.isoformat()
    message = f"no JSON form for {type(value).__name__}"
    raise TypeError(message)


def _csv_value(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA_PREFIXES) and not _is_number(value) else value
    return decimal_text(value) if isinstance(value, Decimal) else str(value)


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()
