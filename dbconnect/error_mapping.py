"""Map the database's errors to the project's own, which say what failed, why, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from dbconnect.errors import DatabaseError, LockTimeoutError, UnavailableError

_ADVICE: tuple[tuple[type[psycopg.Error], str], ...] = (
    (psycopg.errors.InsufficientPrivilege, "grant it, or run `salespulse migrate` and `salespulse source install`"),
    (psycopg.errors.UndefinedTable, "run `salespulse migrate`, then `salespulse source check` to see what is missing"),
    (psycopg.errors.UndefinedColumn, "run `salespulse migrate`, then `salespulse source check` to see what is missing"),
    (psycopg.errors.DiskFull, "free space on that server; the refresh goes on by itself afterwards"),
    (psycopg.errors.QueryCanceled, "raise SALESPULSE_STATEMENT_TIMEOUT_SECONDS, or lower the batch size"),
    (psycopg.errors.ReadOnlySqlTransaction, "SALESPULSE_WAREHOUSE_URL must lead to a primary, not to a standby"),
)


@contextmanager
def mapped_errors(what: str) -> Iterator[None]:
    """Raise database errors as this project's own, naming what was being done.

    Args:
        what: what was going on, as in "refreshing".
    """
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        raise LockTimeoutError(
            f"{what}: another refresh, verification or repair holds the lock. Try again, or raise "
            "SALESPULSE_LOCK_WAIT_SECONDS"
        ) from error
    except psycopg.Error as error:
        text = (error.diag.message_primary or str(error)).strip()
        for kind, advice in _ADVICE:
            if isinstance(error, kind):
                raise DatabaseError(f"{what}: {text}. What to do: {advice}") from error
        if isinstance(error, psycopg.OperationalError):
            raise UnavailableError(f"{what}: a server went away: {text}. Nothing was half-done") from error
        raise DatabaseError(f"{what}: {text}") from error
