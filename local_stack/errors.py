"""Errors of the local stack."""

from connect.errors import SalespulseError


class StackError(SalespulseError):
    """A local server could not be prepared, started or stopped."""
