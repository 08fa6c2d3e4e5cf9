"""What can be wrong with a mapping."""

from dbconnect.errors import SalespulseError


class SourceError(SalespulseError):
    """The mapping, or the application's schema that it maps, is not as it must be."""
