"""Where a webhook may go: addresses in every notation, and URLs."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from background_jobs.webhooks import Target, TargetError, TargetPolicy

PUBLIC = TargetPolicy()
LOOPBACK = TargetPolicy.allowing(["127.0.0.0/8"])

PRIVATE_ADDRESSES = [
    "0.0.0.0",  # noqa: S104
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
PUBLIC_ADDRESSES = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::1111"]


@pytest.mark.parametrize("address", PRIVATE_ADDRESSES)
def test_a_private_address_is_refused_alone_and_among_others(address):
    target = Target.parse("https://example.com/", PUBLIC)
    for addresses in ([address], ["8.8.8.8", address], [address, "8.8.8.8"]):
        with pytest.raises(TargetError, match="may not reach"):
            target.check(addresses, PUBLIC)
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(TargetError):
        Target.parse(f"https://{literal}/", PUBLIC)


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_a_public_address_is_allowed(address):
    Target.parse("https://example.com/", PUBLIC).check([address], PUBLIC)


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address))
def test_nothing_passes_that_python_calls_private(address):
    target = Target.parse("https://example.com/", PUBLIC)
    if not address.is_global or address.is_multicast:
        for disguise in (
            str(address),
            f"::ffff:{address}",
            str(ipaddress.IPv6Address((0x64FF9B << 96) | int(address))),
        ):
            with pytest.raises(TargetError):
                target.check([disguise], PUBLIC)


@given(st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address))
def test_of_ipv6_only_global_unicast_passes(address):
    target = Target.parse("https://example.com/", PUBLIC)
    if not (address.is_global and address in ipaddress.ip_network("2000::/3")) and address.ipv4_mapped is None:
        with pytest.raises(TargetError):
            target.check([str(address)], PUBLIC)


@pytest.mark.parametrize("garbage", ["", "example.com", "1.2.3", "::g"])
def test_an_invalid_address_is_refused(garbage):
    with pytest.raises(TargetError):
        Target.parse("https://example.com/", PUBLIC).check([garbage], PUBLIC)


def test_a_host_without_an_address_is_refused():
    with pytest.raises(TargetError, match="no address"):
        Target.parse("https://example.com/", PUBLIC).check([], PUBLIC)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com/", "https"),
        ("ftp://example.com/", "https"),
        ("file:///etc/passwd", "https"),
        ("example.com", "https"),
        ("//example.com/", "https"),
        ("https://", "host"),
        ("https:///path", "host"),
        ("https://user:secret-word@example.com/", "user"),
        ("https://example.com@evil.example/", "user"),
        ("https://example.com/#top", "fragment"),
        ("https://example.com:22/", "port 22"),
        ("https://example.com:99999/", "not a URL"),
        ("https://exam ple.com/", "blanks"),
        ("https://example.com/a b", "blanks"),
        ("https://example.com\\@127.0.0.1/", "user"),
        ("https://example.com/\\evil", "backslashes"),
        ("https://example.com/ü", "ASCII"),
        ("https://a..b/", "not a URL"),
        ("https://[::1/", "not a URL"),
        ("https://example.com/" + "a" * 2048, "2048"),
    ],
)
def test_an_invalid_url_is_refused_with_the_reason(url, reason):
    with pytest.raises(TargetError, match=reason) as error:
        Target.parse(url, PUBLIC)
    assert "secret-word" not in str(error.value)


def test_a_url_is_parsed():
    target = Target.parse("https://Bücher.example:8443/hook?a=1&b=%20", PUBLIC)
    assert (target.scheme, target.host, target.port) == ("https", "xn--bcher-kva.example", 8443)
    assert target.path == "/hook?a=1&b=%20"
    assert target.authority == "xn--bcher-kva.example:8443"
    assert Target.parse("https://example.com", PUBLIC).authority == "example.com"
    assert Target.parse("https://example.com?q", PUBLIC).path == "/?q"
    assert Target.parse("https://[2606:4700::1111]:8443/", PUBLIC).authority == "[2606:4700::1111]:8443"


def test_http_and_any_port_are_allowed_in_a_private_network_alone():
    plain = Target.parse("http://receiver.local:8080/", LOOPBACK)
    plain.check(["127.0.0.1"], LOOPBACK)
    plain.check(["::ffff:127.0.0.1"], LOOPBACK)
    for elsewhere, reason in (("8.8.8.8", "https"), ("10.0.0.1", "may not reach"), ("::1", "may not reach")):
        with pytest.raises(TargetError, match=reason):
            plain.check(["127.0.0.1", elsewhere], LOOPBACK)
    with pytest.raises(TargetError, match="port 8080"):
        Target.parse("https://example.com:8080/", LOOPBACK).check(["8.8.8.8"], LOOPBACK)


def test_an_invalid_network_is_refused():
    with pytest.raises(TargetError, match=r"127\.0\.0\.1/8"):
        TargetPolicy.allowing(["127.0.0.1/8"])
