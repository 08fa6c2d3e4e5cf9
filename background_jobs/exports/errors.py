"""Why a report can't be written."""

from dbconnect.errors import SalespulseError


class ExportError(SalespulseError):
    """The report can't be written as it was asked for; the message says what to change."""
