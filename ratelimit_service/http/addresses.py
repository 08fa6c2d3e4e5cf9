"""Find the client's address behind trusted proxies; `X-Forwarded-For` is believed only from them.

Anyone can send that header, but what a trusted proxy appends is true. So the list is read from its right end: the first
address that is not a trusted proxy's is the client's; everything further left is the client's own claim.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

from ratelimit_service.errors import UsageError

UNKNOWN = "unknown"
"""Address of a peer without one, such as a Unix socket's: all of these share one count."""
UNIX = "unix"
"""In the list of trusted proxies: a proxy that connects over a Unix socket."""
_HOPS_MAX = 32
_LENGTH_MAX = 4096
_CACHE = 16_384
# `1.2.3.4`, `1.2.3.4:5`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:5`, each perhaps in double quotes.
_V4 = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3})(?::\d{1,5})?")
_V6 = re.compile(r"\[([0-9A-Fa-f:.]+)(?:%[^\]]*)?\](?::\d{1,5})?|([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)(?:%.*)?")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(text: str) -> Address | None:
    """Return the address of a peer or a hop of `X-Forwarded-For`, without port, brackets and zone; None if it has none.

    An IPv4 address mapped into IPv6 becomes the IPv4 address.
    """
    text = text.strip().strip('"')
    match = _V4.fullmatch(text)
    plain = match[1] if match else None
    if plain is None and (match := _V6.fullmatch(text)):
        plain = match[1] or match[2]
    if plain is None:
        return None
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class ClientAddress:
    """Find a request's client address.

    Args:
        trusted: addresses and networks (`10.0.0.0/8`, `2001:db8::/32`, `192.0.2.1`) of the proxies in front; `"unix"` for
            one that connects over a Unix socket. Empty: the peer is the client, and the header is ignored.
        header: the field that these proxies append to.
        ipv6_prefix: bits that identify an IPv6 client; one customer usually has a whole /64. 128 counts each address.

    Raises:
        UsageError: a proxy or the prefix is invalid.
    """

    def __init__(self, trusted: Iterable[str] = (), *, header: str = "x-forwarded-for", ipv6_prefix: int = 64) -> None:
        if isinstance(trusted, str):
            raise UsageError(f"trusted must be a list of addresses and networks, not the string {trusted!r}")
        if not 1 <= ipv6_prefix <= 128:
            raise UsageError(f"ipv6_prefix must be 1 to 128 bits, not {ipv6_prefix}")
        trusted = tuple(trusted)
        self.header = header.lower()
        self._trusts_unix = UNIX in trusted
        self._networks = tuple(_network(text) for text in trusted if text != UNIX)
        self._is_direct = not trusted
        self._ipv6_prefix = ipv6_prefix
        self._hop = lru_cache(_CACHE)(self._read_hop)

    def _read_hop(self, text: str) -> tuple[str | None, bool]:
        address = parse_address(text)
        if address is None:
            return None, False
        is_trusted = any(address in network for network in self._networks)
        if address.version == 6 and self._ipv6_prefix < 128:
            return str(ipaddress.ip_network((address, self._ipv6_prefix), strict=False)), is_trusted
        return str(address), is_trusted

    @property
    def reads_header(self) -> bool:
        """Whether the header can matter."""
        return not self._is_direct

    def find(self, peer: str | None, forwarded: Iterable[str] = ()) -> str:
        """Return the client's address in its shortest form, an IPv6 one as its network.

        Args:
            peer: the connection's other end, from the server; None or empty for a Unix socket.
            forwarded: the header's values, in order, one for each time it was sent.

        Returns:
            An address or network. A peer that is neither (`testclient`) is returned as it is, no peer as `unknown`. If
            a trusted proxy forwards an invalid address, the proxy itself is the client.
        """
        if peer:
            address, is_trusted = self._hop(peer)
            client = address or peer
        else:
            client, is_trusted = UNKNOWN, self._trusts_unix
        if self._is_direct or not is_trusted:
            return client
        line = ",".join(forwarded)[-_LENGTH_MAX:]
        for hop in reversed(line.rsplit(",", _HOPS_MAX)[-_HOPS_MAX:]):
            address, is_trusted = self._hop(hop)
            if address is None:
                return client
            client = address
            if not is_trusted:
                break
        return client


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise UsageError(
            f"invalid trusted proxy {text!r}: use an address, a network such as '10.0.0.0/8', or 'unix' ({error})"
        ) from error
