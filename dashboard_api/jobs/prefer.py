"""`Prefer: wait=n` (RFC 7240, 4.3): how long a caller would rather wait for the ending than ask again."""

import re

WAIT_MAX_S = 30
_WAIT = re.compile(r'\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;.*)?', re.IGNORECASE | re.ASCII)


def wanted_wait_s(prefer: str | None) -> int | None:
    """Give the seconds to wait, at most `WAIT_MAX_S`; None where nothing of the kind is preferred.

    A preference that can't be read is no error: the RFC has it ignored.
    """
    for preference in (prefer or "").split(","):
        found = _WAIT.fullmatch(preference)
        if found is not None:
            return min(int(found[1]), WAIT_MAX_S)
    return None
