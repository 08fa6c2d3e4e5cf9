"""The root of the project's errors. A message says what failed, with which value, and what to do."""


class SalespulseError(Exception):
    """An error that a user can understand and fix; shown without a stack trace."""


class SettingsError(SalespulseError):
    """A setting is missing or invalid."""


class UnavailableError(SalespulseError):
    """A required server did not answer, or refused; retrying later may help."""


class NoFreshServerError(UnavailableError):
    """No server has data as fresh as requested; over HTTP this is 503 with `Retry-After`.

    Attributes:
        retry_after_s: seconds after which a retry may help.
    """

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TokenError(SalespulseError):
    """A read-your-writes token is malformed."""


class ConnectionBudgetError(SalespulseError):
    """The pools together could open more connections than a server accepts."""


class DatabaseError(SalespulseError):
    """A database refused a statement; the message says why and what to do. Its transaction is rolled back."""


class LockTimeoutError(DatabaseError):
    """Another refresh, verification or repair holds the lock and did not release it in time."""
