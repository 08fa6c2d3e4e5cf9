"""The sender that the settings ask for."""

from connect import Settings, SettingsError
from ratelimit_service.webhooks import Sender, TargetError, TargetPolicy


def target_policy(settings: Settings) -> TargetPolicy:
    """Where webhooks may go.

    Raises:
        SettingsError: a network in the settings is none.
    """
    try:
        return TargetPolicy.allowing(settings.webhook_private_networks)
    except TargetError as error:
        raise SettingsError(f"SALESPULSE_WEBHOOK_PRIVATE_NETWORKS: {error}") from None


def sender_of(settings: Settings) -> Sender:
    """Make the sender.

    Raises:
        SettingsError: a network in the settings is none.
    """
    return Sender(target_policy(settings), timeout_s=settings.webhook_timeout_seconds)
