"""Which addresses a webhook may be sent to. A tenant names the host: it must not reach what only this server can reach."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# IANA's special-purpose registries, written out: Python's own idea of "global" differs between its versions.
# https://www.iana.org/assignments/iana-ipv4-special-registry and …/iana-ipv6-special-registry
_REFUSED_V4 = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; a cloud's metadata service, too
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's wire server: a public address that only its guests reach
        "169.254.0.0/16",  # link-local, hence most metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Of IPv6 only the global unicast range is public; these parts of it are not.
_GLOBAL_V6 = ip_network("2000::/3")
_REFUSED_V6 = tuple(
    ip_network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarking
        "2001:db8::/32",
        "2002::/16",  # 6to4: leads to the IPv4 address within
        "3fff::/20",
        "5f00::/16",
    )
)
_NAT64 = ip_network("64:ff9b::/96")


def why_refused(text: str, private_networks: Iterable[Network] = ()) -> str | None:
    """Say why nothing is sent to an address; None where it is public, or within a network that is allowed.

    Args:
        text: the address as a resolver gives it.
        private_networks: allowed although they are not public.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return f"{text!r} is not an address"
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return f"{text} is within one link only"
        address = _embedded(address) or address
    if is_within(address, private_networks) or _is_public(address):
        return None
    return f"{text} is not a public address"


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether an address lies in any of the networks."""
    return any(address in network for network in networks)


def plain_address(text: str) -> Address:
    """Give an address, an IPv4 one where IPv6 only wraps it.

    Raises:
        ValueError: it is none.
    """
    address = ip_address(text)
    return (_embedded(address) or address) if isinstance(address, IPv6Address) else address


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to this one end at: mapped, or translated by NAT64."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not is_within(address, _REFUSED_V4)
    return address in _GLOBAL_V6 and not is_within(address, _REFUSED_V6)
