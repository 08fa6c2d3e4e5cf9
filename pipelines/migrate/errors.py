"""What can go wrong in a migration."""

from connect.errors import SalespulseError


class MigrationError(SalespulseError):
    """A migration can't be applied; nothing of it was."""
