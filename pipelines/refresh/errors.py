"""Errors of a refresh. Whatever is raised, the warehouse is unchanged: a refresh is one transaction."""

from dbconnect.errors import SalespulseError, UnavailableError


class RefreshError(SalespulseError):
    """The refresh can't go on; the last good tables stay."""


class ReplicaBehindError(RefreshError, UnavailableError):
    """The replica shows less than the facts already reflect; reading it would take the facts back in time."""


class NoReplicaError(RefreshError, UnavailableError):
    """There is no replica to read, and reading the primary instead was not allowed."""


class ForeignSourceError(RefreshError):
    """The server is not the one that the facts were built from."""


class RollupError(RefreshError):
    """A rollup's file is malformed, or there is none of that name."""
