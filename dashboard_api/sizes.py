"""How what the settings give is shared out: memory between answers and readings, connections between readers and others."""

from dbconnect import Settings, Share

_OTHER_READERS = 2
# Of the memory for answers: what they are made of takes less, and is needed for a shorter time.
_READINGS_SHARE = 0.25


def answers_bytes(settings: Settings) -> int:
    """Memory for answers."""
    return int(settings.dashboard_cache_mb * 1024 * 1024 * (1 - _READINGS_SHARE))


def readings_bytes(settings: Settings) -> int:
    """Memory for what was read lately."""
    return int(settings.dashboard_cache_mb * 1024 * 1024 * _READINGS_SHARE)


def readers(settings: Settings, share: Share) -> int:
    """Reports that are read at a time.

    Where the watch and the credentials read over the same connections, which wait for a short time only, they leave some to those.
    """
    connections = share.of(settings.dashboard_pool_size) * (1 + len(settings.dashboard_replicas))
    return connections if share is Share.GREATER else connections - min(_OTHER_READERS, connections // 3)
