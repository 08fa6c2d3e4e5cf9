"""Signatures, compared with the package of the scheme's authors."""

import base64
import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from background_jobs.webhooks import InvalidSignatureError, SecretError, new_secret, sign, signing_key, verify_signature

BODY = json.dumps({"type": "job.succeeded", "data": {"note": "süß"}}).encode()
NOW_S = 1_800_000_000


def test_the_reference_package_accepts_our_signature():
    secret = new_secret()
    headers = sign([secret], "msg_1", int(time.time()), BODY)
    assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


def test_we_accept_the_reference_packages_signature():
    secret = new_secret()
    signature = Webhook(secret).sign("msg_2", datetime.fromtimestamp(NOW_S, UTC), BODY.decode())
    headers = {"Webhook-Id": "msg_2", "Webhook-Timestamp": str(NOW_S), "Webhook-Signature": signature}
    assert verify_signature([secret], headers, BODY, now_s=NOW_S) == "msg_2"


def test_while_a_secret_is_rotated_either_is_accepted():
    old, new, stranger = new_secret(), new_secret(), new_secret()
    headers = sign([new, old], "msg_3", int(time.time()), BODY)
    for secret in (old, new):
        Webhook(secret).verify(BODY, headers)
        assert verify_signature([secret], headers, BODY, now_s=time.time()) == "msg_3"
    with pytest.raises(InvalidSignatureError, match="signature"):
        verify_signature([stranger], headers, BODY, now_s=time.time())
    # The other way round: a receiver that knows both takes what is signed by either.
    for secret in (old, new):
        assert verify_signature([new, old], sign([secret], "msg_4", NOW_S, BODY), BODY, now_s=NOW_S) == "msg_4"


@pytest.mark.parametrize(("off_s", "is_valid"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_the_time_must_be_near(off_s, is_valid):
    secret = new_secret()
    headers = sign([secret], "msg_5", NOW_S + off_s, BODY)
    if is_valid:
        verify_signature([secret], headers, BODY, now_s=NOW_S)
    else:
        with pytest.raises(InvalidSignatureError, match="clock"):
            verify_signature([secret], headers, BODY, now_s=NOW_S)


# Not a new one for each process: the values below name the tests.
SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"
GOOD = sign([SECRET], "msg_6", NOW_S, BODY)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", None),
        ("webhook-timestamp", None),
        ("webhook-signature", None),
        ("webhook-id", ""),
        ("webhook-id", "msg_7"),
        ("webhook-id", "m" * 257),
        ("webhook-timestamp", "soon"),
        ("webhook-timestamp", "-5"),
        ("webhook-timestamp", f"{NOW_S}.0"),
        ("webhook-timestamp", str(NOW_S + 1)),
        ("webhook-timestamp", "٣"),
        ("webhook-timestamp", "9" * 5000),
        ("webhook-signature", GOOD["webhook-signature"].removeprefix("v1,")),
        ("webhook-signature", GOOD["webhook-signature"].replace("v1,", "v1a,")),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "v1,\udcff"),
        ("webhook-signature", "v1,AAAA " * 16 + GOOD["webhook-signature"]),
    ],
)
def test_a_bad_field_is_refused(name, value):
    headers = {**GOOD, name: value}
    if value is None:
        del headers[name]
    with pytest.raises(InvalidSignatureError):
        verify_signature([SECRET], headers, BODY, now_s=NOW_S)


@given(st.binary(max_size=200), st.integers(0, 199), st.integers(1, 255))
def test_no_changed_byte_passes(body, position, change):
    headers = sign([SECRET], "msg_8", NOW_S, body)
    assert verify_signature([SECRET], headers, body, now_s=NOW_S) == "msg_8"
    changed = bytearray(body or b"\0")
    changed[position % len(changed)] ^= change
    with pytest.raises(InvalidSignatureError):
        verify_signature([SECRET], headers, bytes(changed), now_s=NOW_S)


def test_without_secrets_nothing_passes():
    with pytest.raises(InvalidSignatureError):
        verify_signature([], GOOD, BODY, now_s=NOW_S)


@pytest.mark.parametrize("secret", ["", "whsec_", "AAAA" * 8, "whsec_AAAA", "whsec_" + "A" * 88, "whsec_" + "?" * 32])
def test_a_malformed_secret_is_refused(secret):
    with pytest.raises(SecretError) as error:
        signing_key(secret)
    assert not secret or secret not in str(error.value)


def test_secrets_are_new_and_may_lack_padding():
    assert len({new_secret() for _ in range(100)}) == 100
    secret = new_secret()
    assert len(signing_key(secret)) == 32
    assert signing_key(secret.rstrip("=")) == signing_key(secret)
