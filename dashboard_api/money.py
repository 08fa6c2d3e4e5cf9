"""Exact numbers as text: money never passes through binary floating point."""

from decimal import ROUND_HALF_EVEN, Decimal

ZERO = Decimal(0)
_CENT = Decimal("0.01")
_RATIO = Decimal("0.0001")


def plain(value: Decimal | int | None) -> str:
    """A decimal in plain digits, as exact as it came; None is zero."""
    return format(value, "f") if value else "0"


def average(total: Decimal, count: int) -> str | None:
    """Total per count to the cent, half to even; None where there is nothing to divide by."""
    return plain_fixed((total / count).quantize(_CENT, ROUND_HALF_EVEN)) if count else None


def ratio(part: Decimal | int, whole: Decimal | int) -> str | None:
    """Part of whole to four places (0.0421 is 4.21 %); None where the whole is zero."""
    return plain_fixed((Decimal(part) / Decimal(whole)).quantize(_RATIO, ROUND_HALF_EVEN)) if whole else None


def change(current: Decimal | int, previous: Decimal | int) -> str | None:
    """How much greater than before, as a ratio of the size before (0.25 is a quarter more); None from zero."""
    return ratio(Decimal(current) - Decimal(previous), abs(Decimal(previous)))


def plain_fixed(value: Decimal) -> str:
    """A rounded decimal with its places, without a sign before zero."""
    return format(value or abs(value), "f")
