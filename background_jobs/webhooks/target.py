"""Where a webhook may go: parse its URL, and check its host's addresses.

A tenant names the host, so a webhook must not reach what only this server can reach.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self, TypeAlias
from urllib.parse import urlsplit

from background_jobs.errors import TargetError

_Address: TypeAlias = IPv4Address | IPv6Address
_Network: TypeAlias = IPv4Network | IPv6Network

# IANA's special-purpose registries, as a list: `is_global` differs between Python's versions.
# https://www.iana.org/assignments/iana-ipv4-special-registry and …/iana-ipv6-special-registry
_FORBIDDEN_V4 = tuple(ip_network(text) for text in (
    "0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "100.64.0.0/10",  # carrier-grade NAT; also a cloud's metadata service
    "168.63.129.16/32",  # a cloud's wire server: a public address that only its guests reach
    "169.254.0.0/16",  # link-local, hence most metadata services
))  # fmt: skip
# Of IPv6 only the global unicast range is public; these parts of it are not.
_GLOBAL_V6 = ip_network("2000::/3")
_FORBIDDEN_V6 = tuple(ip_network(text) for text in (
    "2001:db8::/32", "3fff::/20", "5f00::/16",
    "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarking
    "2002::/16",  # 6to4: leads to the IPv4 address within
))  # fmt: skip
_NAT64 = ip_network("64:ff9b::/96")

_URL_CHARACTERS_MAX = 2048
_DEFAULT_PORTS = {"https": 443, "http": 80}
# Printable ASCII without the characters that URL parsers disagree about.
_PLAIN = re.compile(r"[!-\[\]^_`a-z~]+", re.IGNORECASE)


@dataclass(frozen=True)
class TargetPolicy:
    """Where webhooks may go: over https to public addresses on a few ports.

    Attributes:
        private_networks: the operator's own networks, where http and any port are allowed as well.
        ports: the ports that are allowed elsewhere.
    """

    private_networks: tuple[_Network, ...] = ()
    ports: frozenset[int] = field(default_factory=lambda: frozenset({443, 8443}))

    @classmethod
    def allowing(cls, private_networks: Iterable[str]) -> Self:
        """Return a policy that allows private networks, such as `127.0.0.0/8`.

        Raises:
            TargetError: one is not a valid network.
        """
        try:
            return cls(tuple(ip_network(text) for text in private_networks))
        except ValueError as error:
            raise TargetError(f"invalid network: {error}") from None


@dataclass(frozen=True)
class Target:
    """The parts of a webhook's URL.

    Attributes:
        scheme: `https` or `http`.
        host: name or address, in ASCII.
        port: the port, explicit or the scheme's.
        path: path and query.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str, policy: TargetPolicy) -> Self:
        """Parse a URL, and check what can be checked before its host is resolved.

        Raises:
            TargetError: the URL is invalid, or forbidden whatever its host's addresses are.
        """
        if len(url) > _URL_CHARACTERS_MAX:
            raise TargetError(f"the URL is longer than {_URL_CHARACTERS_MAX} characters")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
        except ValueError:
            raise TargetError("this is not a URL: it must look like https://host/path") from None
        if parts.scheme not in _DEFAULT_PORTS:
            raise TargetError("the URL must begin with https://")
        if parts.username is not None or parts.password is not None:
            raise TargetError("the URL must not contain a user: webhooks are authenticated by their signature")
        if parts.fragment:
            raise TargetError("the URL must not contain a #fragment: it would not be sent")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not _PLAIN.fullmatch(host) or not _PLAIN.fullmatch(path):
            raise TargetError("the URL must have a host, and no blanks, backslashes or non-ASCII characters")
        target = cls(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], path)
        if not policy.private_networks:
            target._require_public_form(policy)
        target._refuse_literal(policy)
        return target

    @property
    def authority(self) -> str:
        """The value of `Host`: with the port only where it is not the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def check(self, addresses: Sequence[str], policy: TargetPolicy) -> None:
        """Check all addresses of the host.

        Raises:
            TargetError: there is none, one is not public, or http or the port is allowed in private networks only.
        """
        if not addresses:
            raise TargetError("the host has no address")
        for address in addresses:
            if reason := _forbidden_reason(address, policy.private_networks):
                raise TargetError(f"the host has an address that webhooks may not reach: {reason}")
            if not _is_within(_plain_address(address), policy.private_networks):
                self._require_public_form(policy)

    def _require_public_form(self, policy: TargetPolicy) -> None:
        if self.scheme != "https":
            raise TargetError("the URL must begin with https://")
        if self.port not in policy.ports:
            ports = ", ".join(str(port) for port in sorted(policy.ports))
            raise TargetError(f"port {self.port} is not allowed: use one of {ports}")

    def _refuse_literal(self, policy: TargetPolicy) -> None:
        try:
            _plain_address(self.host)
        except ValueError:
            return
        self.check([self.host], policy)


def _forbidden_reason(text: str, private_networks: Iterable[_Network]) -> str | None:
    """Return why an address is forbidden; None if it is public, or in one of the private networks."""
    try:
        address = ip_address(text)
    except ValueError:
        return f"{text!r} is not an address"
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return f"{text} is link-local"
        address = _embedded(address) or address
    if _is_within(address, private_networks) or _is_public(address):
        return None
    return f"{text} is not a public address"


def _is_within(address: _Address, networks: Iterable[_Network]) -> bool:
    return any(address in network for network in networks)


def _plain_address(text: str) -> _Address:
    """Parse an address; return the IPv4 address where IPv6 only wraps it.

    Raises:
        ValueError: the text is no address.
    """
    address = ip_address(text)
    return (_embedded(address) or address) if isinstance(address, IPv6Address) else address


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that packets to this one reach: mapped, or translated by NAT64."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


def _is_public(address: _Address) -> bool:
    if isinstance(address, IPv4Address):
        return not _is_within(address, _FORBIDDEN_V4)
    return address in _GLOBAL_V6 and not _is_within(address, _FORBIDDEN_V6)
