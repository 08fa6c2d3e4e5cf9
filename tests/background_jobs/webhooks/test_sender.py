"""One attempt, against receivers that behave well and badly; the tests resolve names."""

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from background_jobs.webhooks import AttemptResult, Sender, TargetPolicy
from tests.background_jobs.webhooks.conftest import LOOPBACK
from tests.background_jobs.webhooks.receiver import (
    Receiver,
    answer,
    dripping_body,
    dripping_headers,
    gibberish,
    hanging_up,
    huge,
    receiving,
    silent,
)

HEADERS = {"Content-Type": "application/json", "webhook-id": "msg_1"}


def send(sender: Sender, url: str, body: bytes = b'{"a":1}') -> AttemptResult:
    return asyncio.run(sender.send(url, HEADERS, body))


class FakeResolver:
    """A resolver with prepared answers, one per lookup; counts the lookups."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.lookups = list(answers), 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.lookups += 1
        return self.answers[min(self.lookups, len(self.answers)) - 1]


def test_a_delivery_is_a_post_of_exactly_the_body(sender: Sender, receiver: Receiver) -> None:
    reply = send(sender, receiver.url("/hook?x=1"))
    assert (reply.is_success, reply.status, reply.error, reply.excerpt) == (True, 200, None, "ok")
    [request] = receiver.received
    assert (request.path, request.body) == ("/hook?x=1", b'{"a":1}')
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert {"content-type", "webhook-id", "content-length"} <= request.headers.keys()
    assert request.headers["content-length"] == "7"


@pytest.mark.parametrize(
    ("status", "is_success"),
    [
        (200, True),
        (202, True),
        (204, True),
        (299, True),
        (300, False),
        (304, False),
        (400, False),
        (410, False),
        (500, False),
    ],
)
def test_2xx_only_is_success(sender: Sender, receiver: Receiver, status: int, is_success: bool) -> None:
    body = b"" if status in {204, 304} else b"text"
    receiver.steps["/"] = [answer(status, body)]
    reply = send(sender, receiver.url())
    assert (reply.status, reply.is_success, reply.is_gone) == (status, is_success, status == 410)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_not_followed(sender: Sender, receiver: Receiver, status: int) -> None:
    receiver.steps["/"] = [answer(status, Location=receiver.url("/elsewhere"))]
    assert not send(sender, receiver.url()).is_success
    assert receiver.at("/elsewhere") == []


@pytest.mark.parametrize("step", [silent, dripping_headers])
def test_a_receiver_that_never_answers_times_out(receiver: Receiver, step: Callable) -> None:
    receiver.steps["/"] = [step]
    reply = send(Sender(LOOPBACK, timeout_s=0.3), receiver.url())
    assert (reply.status, reply.error) == (None, "timed out after 0.3 s")
    assert len(receiver.received) == 1


def test_an_answer_counts_though_its_body_never_ends(receiver: Receiver) -> None:
    receiver.steps["/"] = [dripping_body]
    reply = send(Sender(LOOPBACK, timeout_s=0.5), receiver.url())
    assert reply.is_success
    assert reply.error is None


def test_little_of_a_huge_answer_is_read(sender: Sender, receiver: Receiver) -> None:
    receiver.steps["/"] = [huge]
    reply = send(sender, receiver.url())
    assert reply.is_success
    assert reply.excerpt == "x" * 500
    # What the kernel's buffers took; not the gigabyte.
    assert receiver.bytes_taken < 64 << 20


def test_the_excerpt_is_text_that_can_be_stored(sender: Sender, receiver: Receiver) -> None:
    receiver.steps["/"] = [answer(500, b"\x00\x1b[31m\xff no\n")]
    assert send(sender, receiver.url()).excerpt == "  [31m\ufffd no\n"


@pytest.mark.parametrize(("step", "error"), [(hanging_up, "RemoteProtocolError"), (gibberish, "RemoteProtocolError")])
def test_an_answer_that_is_not_http_is_an_error(sender: Sender, receiver: Receiver, step: Callable, error: str) -> None:
    receiver.steps["/"] = [step]
    reply = send(sender, receiver.url())
    assert reply.status is None
    assert reply.error is not None
    assert reply.error.startswith(error)


def test_a_receiver_that_is_down_is_an_error(sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    reply = send(sender, f"http://127.0.0.1:{port}/")
    assert reply.status is None
    assert "ConnectError" in str(reply.error)


def test_retry_after_is_read_as_seconds_or_date(sender: Sender, receiver: Receiver) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
    receiver.steps["/"] = [
        answer(503, Retry_After="120"),
        answer(503, Retry_After=later.strftime("%a, %d %b %Y %H:%M:%S GMT")),
        answer(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
        answer(503, Retry_After="soon"),
        answer(503),
    ]
    delays = [send(sender, receiver.url()).retry_after_s for _ in range(5)]
    assert delays[0] == 120
    assert delays[1] == pytest.approx(7200, abs=60)
    assert delays[2:] == [0.0, None, None]


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:127.0.0.1"], ["fd00:ec2::254"]])
def test_nothing_is_sent_to_a_name_with_a_private_address(receiver: Receiver, addresses: list[str]) -> None:
    resolver = FakeResolver(addresses)
    policy = TargetPolicy(ports=frozenset({receiver.port}))
    reply = send(Sender(policy, resolver=resolver), f"https://innocent.example:{receiver.port}/")
    assert str(reply.error).startswith("not sent: the host has an address that webhooks may not reach")
    assert (resolver.lookups, receiver.received) == (1, [])


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "localhost", "localhost."])
def test_loopback_by_another_spelling_is_found_by_the_systems_resolver(receiver: Receiver, host: str) -> None:
    policy = TargetPolicy(ports=frozenset({receiver.port}))
    reply = send(Sender(policy), f"https://{host}:{receiver.port}/")
    assert reply.status is None
    assert reply.error is not None
    assert receiver.received == []


def test_a_name_is_resolved_once_and_the_checked_address_is_used(receiver: Receiver) -> None:
    """DNS rebinding has no effect: there is no second lookup."""
    resolver = FakeResolver(["127.0.0.1"], ["127.0.0.2"])
    reply = send(Sender(LOOPBACK, timeout_s=60, resolver=resolver), receiver.url(host="rebinding.example"))
    assert reply.is_success
    assert resolver.lookups == 1
    [request] = receiver.received
    assert request.headers["host"] == f"rebinding.example:{receiver.port}"


def test_the_next_address_is_tried_where_one_does_not_answer(receiver: Receiver) -> None:
    resolver = FakeResolver(["127.0.0.77", "127.0.0.1"])
    assert send(Sender(LOOPBACK, timeout_s=60, resolver=resolver), receiver.url(host="two.example")).is_success


def test_a_resolver_that_hangs_or_fails_is_an_error(receiver: Receiver) -> None:
    async def hanging(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async def failing(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    assert "timed out" in str(
        send(Sender(LOOPBACK, timeout_s=0.1, resolver=hanging), receiver.url(host="a.example")).error
    )
    assert "not known" in str(send(Sender(LOOPBACK, resolver=failing), receiver.url(host="a.example")).error)


def test_proxies_of_the_environment_are_not_used(
    sender: Sender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    assert send(sender, receiver.url()).is_success


@pytest.fixture(scope="module")
def certificate_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for `receiver.example`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver.example")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("receiver.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "receiver.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return path


def test_the_name_is_proven_by_tls_at_the_checked_address(certificate_path: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate_path)
    lookups: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: lookups.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate_path))
    with receiving(ssl_context=server) as receiver:
        for context, host, is_success in (
            (trusting, "receiver.example", True),
            (trusting, "another.example", False),
            (None, "receiver.example", False),
        ):
            policy = TargetPolicy((ipaddress.ip_network("127.0.0.0/8"),))
            sender = Sender(policy, timeout_s=60, resolver=FakeResolver(["127.0.0.1"]), ssl_context=context)
            reply = send(sender, receiver.url(host=host))
            assert reply.is_success is is_success, (host, reply)
        assert lookups == ["receiver.example", "another.example", "receiver.example"]
        assert len(receiver.received) == 1
