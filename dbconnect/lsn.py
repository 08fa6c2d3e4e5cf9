"""WAL positions (log sequence numbers) as integers: bytes since the beginning of the log."""

from dbconnect.errors import UnavailableError


def parse_lsn(text: str) -> int:
    """Parse `16/B374D848` into a byte position.

    The form is PostgreSQL's `pg_lsn`: two hexadecimal numbers of at most 32 bits each
    (https://www.postgresql.org/docs/current/datatype-pg-lsn.html).

    Raises:
        UnavailableError: the text is no WAL position.
    """
    high, slash, low = text.partition("/")
    try:
        high_bits, low_bits = int(high, 16), int(low, 16)
    except ValueError:
        slash = ""
    if not slash or max(high_bits, low_bits) > 0xFFFFFFFF or min(high_bits, low_bits) < 0:
        raise UnavailableError(f"{text!r} is not a WAL position")
    return high_bits << 32 | low_bits


def format_lsn(position: int) -> str:
    """Format a byte position as `16/B374D848`."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
