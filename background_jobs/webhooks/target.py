"""Where a webhook goes: one URL, taken apart and judged."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Self
from urllib.parse import urlsplit

from background_jobs.webhooks.addresses import Network, is_within, plain_address, why_refused
from background_jobs.webhooks.errors import TargetError

_LONGEST_URL = 2048
_PORTS = {"https": 443, "http": 80}
# Printable ASCII without what parsers of URLs disagree about.
_PLAIN = re.compile(r"[!-\[\]^_`a-z~]+", re.IGNORECASE)


@dataclass(frozen=True)
class TargetPolicy:
    """Where webhooks may go: over https to public addresses on a few ports.

    Attributes:
        private_networks: networks of the operator's own that may be sent to as well, there over http and on any port, too.
        ports: the ports that may be spoken to elsewhere.
    """

    private_networks: tuple[Network, ...] = ()
    ports: frozenset[int] = field(default_factory=lambda: frozenset({443, 8443}))

    @classmethod
    def allowing(cls, private_networks: Iterable[str]) -> Self:
        """Allow private networks by their text, such as `127.0.0.0/8`.

        Raises:
            TargetError: one is not a network.
        """
        try:
            return cls(tuple(ip_network(text) for text in private_networks))
        except ValueError as error:
            raise TargetError(f"not a network: {error}") from None


@dataclass(frozen=True)
class Target:
    """A URL's parts.

    Attributes:
        scheme: `https` or `http`.
        host: name or address, in ASCII.
        port: the port.
        path: path and query.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str, policy: TargetPolicy) -> Self:
        """Take a URL apart, and refuse what can be told before its host is looked up.

        Raises:
            TargetError: it can't be used, or can't be allowed whatever its host's addresses are.
        """
        if len(url) > _LONGEST_URL:
            raise TargetError(f"a webhook's URL has {_LONGEST_URL} characters at most")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
        except ValueError:
            raise TargetError("this is not a URL") from None
        if parts.scheme not in _PORTS:
            raise TargetError("a webhook's URL begins with https://")
        if parts.username is not None or parts.password is not None:
            raise TargetError("a webhook's URL names no user; the receiver knows the sender by its signature")
        if parts.fragment:
            raise TargetError("a webhook's URL has no #fragment: it would not be sent")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not _PLAIN.fullmatch(host) or not _PLAIN.fullmatch(path):
            raise TargetError(
                "a webhook's URL has a host, and no characters beyond ASCII, blanks or backslashes in its path"
            )
        target = cls(parts.scheme, host, port or _PORTS[parts.scheme], path)
        if not policy.private_networks:
            target._require_public_form(policy)
        target._refuse_literal(policy)
        return target

    @property
    def authority(self) -> str:
        """What stands in `Host`: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def check(self, addresses: Sequence[str], policy: TargetPolicy) -> None:
        """Refuse the host's addresses if a webhook may not go to any one of them.

        Raises:
            TargetError: there is none, one is not public, or the port or http is allowed in private networks only.
        """
        if not addresses:
            raise TargetError("the host has no address")
        for address in addresses:
            if reason := why_refused(address, policy.private_networks):
                raise TargetError(f"the host leads where webhooks may not go: {reason}")
            if not is_within(plain_address(address), policy.private_networks):
                self._require_public_form(policy)

    def _require_public_form(self, policy: TargetPolicy) -> None:
        if self.scheme != "https":
            raise TargetError("a webhook's URL begins with https://")
        if self.port not in policy.ports:
            ports = ", ".join(str(port) for port in sorted(policy.ports))
            raise TargetError(f"webhooks are not sent to port {self.port}; these are allowed: {ports}")

    def _refuse_literal(self, policy: TargetPolicy) -> None:
        try:
            plain_address(self.host)
        except ValueError:
            return
        self.check([self.host], policy)
