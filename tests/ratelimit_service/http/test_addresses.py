"""Whose address a request comes from, with every kind of nonsense in the header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service import UsageError
from ratelimit_service.http.addresses import ClientAddress, parse_address

PROXIES = ("10.0.0.0/8", "2001:db8:ffff::/48", "unix")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.7", ["203.0.113.9"], "192.0.2.7"),  # an untrusted peer's header is its own claim
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),  # the left end is what the client claimed
        ("10.0.0.1", ["1.1.1.1", "203.0.113.9, 10.2.2.2"], "203.0.113.9"),  # sent twice: one list
        ("10.0.0.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),  # all are ours: the outermost
        ("10.0.0.1", ["203.0.113.9:5123"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8:1:2::5]:443"], "2001:db8:1:2::/64"),
        ("10.0.0.1", ["2001:db8:1:2::5"], "2001:db8:1:2::/64"),
        ("10.0.0.1", ['"[2001:db8:1:2::5]"'], "2001:db8:1:2::/64"),
        ("10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9, ::ffff:10.2.2.2"], "203.0.113.9"),  # a mapped proxy is that proxy
        ("2001:db8:ffff::1", ["203.0.113.9"], "203.0.113.9"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("10.0.0.1", ["203.0.113.9, garbage"], "10.0.0.1"),  # nobody vouches for what is left of it
        ("10.0.0.1", ["203.0.113.9, garbage, 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9,"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.999"], "10.0.0.1"),
        ("10.0.0.1", ["010.1.1.1"], "10.0.0.1"),  # octal to some, decimal to others: nothing here
        ("10.0.0.1", ["1.2.3.4.5"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9\r\nX: 1"], "10.0.0.1"),
        (None, ["203.0.113.9"], "203.0.113.9"),  # a proxy on a Unix socket
        ("", [], "unknown"),
        ("testclient", ["203.0.113.9"], "testclient"),
    ],
)
def test_the_first_address_from_the_right_that_is_no_proxy(peer, forwarded, client):
    assert ClientAddress(PROXIES).find(peer, forwarded) == client


def test_without_proxies_the_header_is_never_read():
    for peer, client in [("192.0.2.7", "192.0.2.7"), (None, "unknown")]:
        assert ClientAddress().find(peer, ["203.0.113.9"]) == client


def test_ipv6_grouping_is_an_option():
    assert ClientAddress(ipv6_prefix=128).find("2001:db8:1:2:3::5") == "2001:db8:1:2:3::5"
    assert ClientAddress(ipv6_prefix=48).find("2001:db8:1:2:3::5") == "2001:db8:1::/48"
    # The proxies' own network is compared with the whole address, whatever the grouping.
    narrow = ClientAddress(["2001:db8::1"], ipv6_prefix=64)
    assert narrow.find("2001:db8::1", ["203.0.113.9"]) == "203.0.113.9"
    assert narrow.find("2001:db8::2", ["203.0.113.9"]) == "2001:db8::/64"


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=3))
def test_an_untrusted_peer_is_itself_whatever_it_sends(peer, forwarded):
    address = ClientAddress(["10.0.0.0/8"])
    if not str(parse_address(peer)).startswith("10."):
        assert address.find(peer, forwarded) == address.find(peer, [])


@given(st.lists(st.text(max_size=40), max_size=4), st.integers(0, 2**32 - 1))
def test_a_client_can_not_choose_its_address(claims, number):
    honest = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
    if not honest.startswith("10."):
        assert ClientAddress(["10.0.0.0/8"]).find("10.0.0.1", [*claims, honest]) == honest


def test_a_header_of_many_hops_costs_no_more_than_a_few():
    line = ", ".join(["10.9.9.9"] * 100_000)
    assert ClientAddress(PROXIES).find("10.0.0.1", [line]) == "10.9.9.9"


@pytest.mark.parametrize("trusted", [["10.0.0.0/99"], ["localhost"], ["10.0.0.1/8"], "10.0.0.0/8"])
def test_a_list_that_can_not_be_meant_is_refused(trusted):
    with pytest.raises(UsageError, match=r"10|localhost"):
        ClientAddress(trusted)


def test_a_prefix_that_can_not_be_meant_is_refused():
    with pytest.raises(UsageError, match="129"):
        ClientAddress(ipv6_prefix=129)
