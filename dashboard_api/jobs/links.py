"""Links to files that open without a credential, until they expire: signed, so that nobody can make or prolong one."""

import hashlib
import hmac
from urllib.parse import urlencode

from dashboard_api.jobs.errors import LinkRefusedError, ResultGoneError

LINK_S = 900


class LinkSigner:
    """Signs by HMAC-SHA256 over the path and the second of expiry."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, path: str, expires_s: int) -> str:
        """Give the path with what proves that it may be fetched until `expires_s` (seconds since the epoch)."""
        return f"{path}?{urlencode({'expires': expires_s, 'signature': self._signature(path, expires_s)})}"

    def check(self, path: str, expires: str, signature: str, *, now_s: float) -> None:
        """Let a signed path through.

        Args:
            path: what was asked for.
            expires: as the link says.
            signature: as the link says.
            now_s: seconds since the epoch.

        Raises:
            LinkRefusedError: the signature is not this path's.
            ResultGoneError: the link has expired.
        """
        is_number = expires.isascii() and expires.isdecimal() and len(expires) <= 12
        expires_s = int(expires) if is_number else 0
        # Whatever was sent is compared, and only then said to be too late: nobody learns more by trying.
        if not hmac.compare_digest(signature.encode(), self._signature(path, expires_s).encode()):
            raise LinkRefusedError("the signature does not hold; ask the result for a link")
        if now_s >= expires_s:
            raise ResultGoneError("the link has expired; ask the result for another one")

    def _signature(self, path: str, expires_s: int) -> str:
        return hmac.new(self._key, f"{path}\n{expires_s}".encode(), hashlib.sha256).hexdigest()
