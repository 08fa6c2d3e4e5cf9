"""docs/webhooks.md: its code runs, and its numbers are the defaults."""

import re
import time
from typing import Any

from background_jobs.webhooks import RetrySchedule, TargetPolicy, new_secret, sign
from dbconnect import Settings
from tests.docs.pages import read_page

PAGE = read_page("docs/webhooks.md")
[RECEIVING, SENDING] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_receiver_accepts_a_signed_message_once_and_rejects_others() -> None:
    processed: list[bytes] = []
    scope: dict[str, Any] = {"SECRET": new_secret(), "processed_ids": set(), "process": processed.append}
    exec(RECEIVING, scope)  # noqa: S102
    headers = sign([scope["SECRET"]], "msg_1", int(time.time()), b"{}")
    assert [scope["receive"](headers, b"{}", time.time()) for _ in range(2)] == [204, 204]
    assert processed == [b"{}"]
    assert scope["receive"](headers, b"{ }", time.time()) == 400


def test_the_sender_refuses_loopback() -> None:
    scope: dict[str, Any] = {"SECRET": new_secret()}
    exec(SENDING.replace("https://shop.example/", "https://127.0.0.1/"), scope)  # noqa: S102
    assert scope["result"].error.startswith("not sent")


def test_the_numbers_are_the_defaults() -> None:
    text = " ".join(PAGE.split())
    assert RetrySchedule().delays_s == (5, 30, 120, 600, 1800, 3600, 7200, 10800, 21600)
    assert "after 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 3 h and 6 h" in text
    assert TargetPolicy().ports == {443, 8443}
    assert Settings(_env_file=None).webhook_timeout_seconds == 10
