"""What can go wrong with webhooks. No message holds a secret, or a URL, which may carry one."""

from dbconnect import SalespulseError


class WebhookError(Exception):
    """The root of this package's errors."""


class SecretError(WebhookError, ValueError):
    """A signing secret is not `whsec_` and base64 of 24 to 64 bytes."""


class VerificationError(WebhookError):
    """A received webhook is not shown to come, now, from a holder of the secret."""


class TargetError(WebhookError, ValueError):
    """Nothing is sent there: the URL can't be used, or leads where webhooks may not go."""


class WebhookUsageError(SalespulseError):
    """No such endpoint, delivery or hook, or one that can't be made; the message says why."""
