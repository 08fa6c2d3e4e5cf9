"""What a user of webhooks can do wrong."""

from connect import SalespulseError


class WebhookUsageError(SalespulseError):
    """No such endpoint, delivery or hook, or one that can't be made; the message says why."""
