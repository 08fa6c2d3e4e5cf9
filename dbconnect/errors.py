"""The root of the project's errors. A message says what was wrong, with which value, and what to do."""


class SalespulseError(Exception):
    """Something that a user can understand and mend; shown without a stack trace."""


class SettingsError(SalespulseError):
    """A setting is missing or can't be used."""


class UnavailableError(SalespulseError):
    """A server that was needed did not answer, or refused; trying again later may help."""


class NoFreshServerError(UnavailableError):
    """No server can answer as freshly as was asked: an HTTP face answers 503 with `Retry-After`.

    Attributes:
        retry_after_s: seconds after which asking again may help.
    """

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TokenError(SalespulseError):
    """A read-your-writes token is not one that this project gave."""


class ConnectionBudgetError(SalespulseError):
    """The pools together could open more connections than a server takes."""


class DatabaseError(SalespulseError):
    """A database refused a statement; the message says why and what to do. Its transaction is rolled back."""


class LockTimeoutError(DatabaseError):
    """Another refresh, verification or repair holds the lock and did not release it in time."""
