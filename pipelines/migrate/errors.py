"""What can go wrong in a migration."""

from dbconnect.errors import SalespulseError


class MigrationError(SalespulseError):
    """A migration can't be applied; nothing of it was."""
