"""The outbox, from an archived final state to the receiver; the clock is a parameter."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from standardwebhooks import Webhook

from background_jobs.webhooks import (
    RetrySchedule,
    Sender,
    WebhookUsageError,
    create_endpoint,
    disable_endpoint,
    enable_endpoint,
    enqueue_deliveries,
    list_deliveries,
    list_endpoints,
    prune_deliveries,
    redeliver,
    remove_endpoint,
    rotate_secret,
    send_due,
)
from dbconnect.routes import Connection, Row
from local_stack.waiting import wait_until
from tests.background_jobs.webhooks.conftest import LOOPBACK
from tests.background_jobs.webhooks.job_documents import OTHER_TENANT, TENANT, enqueue_document, job, later
from tests.background_jobs.webhooks.receiver import Receiver, answer
from tests.warehouse import Installation


def test_a_final_state_arrives_signed(
    warehouse: Connection, sender: Sender, receiver: Receiver, endpoint: tuple[int, str]
) -> None:
    document = job()
    assert enqueue_document(warehouse, document) == 1
    assert send_due(warehouse, sender) == Counter(delivered=1)
    [request] = receiver.received
    payload = Webhook(endpoint[1]).verify(request.body, request.headers)
    assert payload == {"type": "job.succeeded", "timestamp": document["ended_at"], "data": document}
    assert request.headers["content-type"] == "application/json"
    [row] = list_deliveries(warehouse, job_id=document["id"])
    assert (row["state"], row["attempts"], row["last_status"], row["last_response"]) == ("delivered", 1, 200, "ok")
    assert request.headers["webhook-id"] == f"msg_{row['delivery_id'].hex}"
    assert send_due(warehouse, sender) == Counter()


def test_nothing_is_sent_for_a_transaction_that_rolled_back(
    warehouse: Connection, sender: Sender, receiver: Receiver, endpoint: tuple[int, str]
) -> None:
    with warehouse.transaction() as transaction, warehouse.cursor() as cursor:
        assert enqueue_deliveries(cursor, job()) == 1
        raise psycopg.Rollback(transaction)
    assert send_due(warehouse, sender) == Counter()
    assert receiver.received == []


def test_archiving_a_final_state_again_sends_nothing_more(
    warehouse: Connection, sender: Sender, receiver: Receiver, endpoint: tuple[int, str]
) -> None:
    document = job()
    assert [enqueue_document(warehouse, document) for _ in range(3)] == [1, 0, 0]
    send_due(warehouse, sender)
    assert enqueue_document(warehouse, document) == 0
    send_due(warehouse, sender)
    assert len(receiver.received) == 1


def test_which_endpoints_are_notified_of_which_jobs(warehouse: Connection, receiver: Receiver) -> None:
    every, _ = create_endpoint(warehouse, TENANT, receiver.url("/every"), policy=LOOPBACK)
    failures, _ = create_endpoint(warehouse, TENANT, receiver.url("/f"), policy=LOOPBACK, event_types=["job.failed"])
    disabled, _ = create_endpoint(warehouse, TENANT, receiver.url("/off"), policy=LOOPBACK)
    disable_endpoint(warehouse, disabled, reason="a test")
    other, _ = create_endpoint(warehouse, OTHER_TENANT, receiver.url("/other"), policy=LOOPBACK)
    documents = [job("succeeded"), job("failed"), job("canceled"), job("failed", OTHER_TENANT)]
    assert [enqueue_document(warehouse, document) for document in documents] == [1, 2, 1, 1]
    # A system's own job belongs to no tenant; one that ended before an endpoint was made is not news to it.
    assert enqueue_document(warehouse, job(tenant="")) == 0
    assert enqueue_document(warehouse, job(tenant="unknown")) == 0
    assert enqueue_document(warehouse, job(ended_at="2020-01-01T00:00:00.000Z")) == 0
    deliveries = Counter((row["endpoint_id"], row["event_type"]) for row in list_deliveries(warehouse))
    assert deliveries == {
        (every, "job.succeeded"): 1,
        (every, "job.failed"): 1,
        (every, "job.canceled"): 1,
        (failures, "job.failed"): 1,
        (other, "job.failed"): 1,
    }


def test_500_then_ok(warehouse: Connection, sender: Sender, receiver: Receiver, delivery: Callable[[], Row]) -> None:
    receiver.steps["/hook"] = [answer(500, b"broken"), answer(200)]
    now = later(warehouse)
    assert send_due(warehouse, sender, now=now) == Counter(retried=1)
    row = delivery()
    assert (row["state"], row["last_status"], row["last_response"]) == ("pending", 500, "broken")
    assert timedelta(seconds=4) <= row["next_attempt_at"] - now <= timedelta(seconds=6)
    assert send_due(warehouse, sender, now=now + timedelta(seconds=3)) == Counter()
    assert send_due(warehouse, sender, now=now + timedelta(seconds=7)) == Counter(delivered=1)
    first, second = receiver.received
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    # Each attempt has a signature of its own time.
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 7
    assert delivery()["attempts"] == 2


def test_a_delivery_fails_after_ten_attempts_over_half_a_day(
    warehouse: Connection, sender: Sender, receiver: Receiver, delivery: Callable[[], Row]
) -> None:
    receiver.steps["/hook"] = [answer(500)]
    start = now = later(warehouse)
    outcomes: list[Counter[Any]] = []
    while delivery()["state"] == "pending":
        outcomes.append(send_due(warehouse, sender, now=now))
        ended, now = now, delivery()["next_attempt_at"]
    assert outcomes == [Counter(retried=1)] * 9 + [Counter(failed=1)]
    assert len(receiver.received) == 10
    assert timedelta(hours=9) < ended - start < timedelta(hours=16)
    assert (delivery()["state"], delivery()["attempts"]) == ("failed", 10)
    assert delivery()["ended_at"] == ended


def test_retry_after_is_respected(
    warehouse: Connection, sender: Sender, receiver: Receiver, delivery: Callable[[], Row]
) -> None:
    receiver.steps["/hook"] = [answer(503, Retry_After="3600")]
    now = later(warehouse)
    send_due(warehouse, sender, now=now)
    assert delivery()["next_attempt_at"] - now == timedelta(hours=1)


def test_a_redirection_to_loopback_is_a_failure_and_goes_nowhere(
    warehouse: Connection, sender: Sender, receiver: Receiver, delivery: Callable[[], Row]
) -> None:
    receiver.steps["/hook"] = [answer(307, Location=receiver.url("/admin"))]
    assert send_due(warehouse, sender) == Counter(retried=1)
    assert receiver.at("/admin") == []
    assert delivery()["last_status"] == 307


def test_410_disables_the_endpoint(
    warehouse: Connection, sender: Sender, receiver: Receiver, endpoint: tuple[int, str], delivery: Callable[[], Row]
) -> None:
    receiver.steps["/hook"] = [answer(410), answer(200)]
    assert send_due(warehouse, sender) == Counter(gone=1)
    assert delivery()["state"] == "failed"
    [listed] = list_endpoints(warehouse, TENANT)
    assert (listed["is_enabled"], listed["disabled_reason"], listed["failed"]) == (False, "it answered 410 Gone", 1)
    assert enqueue_document(warehouse, job()) == 0
    enable_endpoint(warehouse, endpoint[0])
    assert enqueue_document(warehouse, job()) == 1
    assert send_due(warehouse, sender) == Counter(delivered=1)


def test_pending_deliveries_are_sent_once_the_endpoint_is_enabled(
    warehouse: Connection, sender: Sender, endpoint: tuple[int, str], delivery: Callable[[], Row]
) -> None:
    disable_endpoint(warehouse, endpoint[0], reason="a test")
    assert send_due(warehouse, sender) == Counter()
    assert delivery()["state"] == "pending"
    enable_endpoint(warehouse, endpoint[0])
    assert send_due(warehouse, sender) == Counter(delivered=1)


def test_both_secrets_sign_while_one_is_rotated(
    warehouse: Connection, sender: Sender, receiver: Receiver, endpoint: tuple[int, str]
) -> None:
    endpoint_id, old = endpoint
    # The independent package compares with the real clock.
    new, until = rotate_secret(warehouse, endpoint_id, overlap_s=3600)
    enqueue_document(warehouse, job())
    send_due(warehouse, sender)
    for secret in (old, new):
        Webhook(secret).verify(receiver.received[-1].body, receiver.received[-1].headers)
    enqueue_document(warehouse, job())
    send_due(warehouse, sender, now=until + timedelta(seconds=1))
    assert len(receiver.received[-1].headers["webhook-signature"].split(" ")) == 1


def test_a_manual_redelivery_has_the_same_id(
    warehouse: Connection, sender: Sender, receiver: Receiver, delivery: Callable[[], Row]
) -> None:
    send_due(warehouse, sender)
    redeliver(warehouse, delivery()["delivery_id"])
    assert (delivery()["state"], delivery()["attempts"]) == ("pending", 0)
    send_due(warehouse, sender)
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1
    assert len(receiver.received) == 2
    with pytest.raises(WebhookUsageError, match="no delivery"):
        redeliver(warehouse, uuid4())


def test_a_refused_address_is_in_the_log(
    warehouse: Connection, receiver: Receiver, delivery: Callable[[], Row]
) -> None:
    """The settings may have been different when the endpoint was made."""
    assert send_due(warehouse, Sender()) == Counter(retried=1)
    assert receiver.received == []
    assert delivery()["last_error"].startswith("not sent: ")


def test_old_deliveries_are_pruned_and_waiting_ones_are_not(
    warehouse: Connection, sender: Sender, receiver: Receiver, endpoint: tuple[int, str]
) -> None:
    enqueue_document(warehouse, job())
    send_due(warehouse, sender)
    waiting = job()
    enqueue_document(warehouse, waiting)
    assert prune_deliveries(warehouse, keep_days=30, now=later(warehouse, days=29)) == 0
    assert prune_deliveries(warehouse, keep_days=30, now=later(warehouse, days=31)) == 1
    assert [row["job_id"] for row in list_deliveries(warehouse)] == [waiting["id"]]


def test_an_endpoint_goes_with_its_log(warehouse: Connection, endpoint: tuple[int, str]) -> None:
    enqueue_document(warehouse, job())
    remove_endpoint(warehouse, endpoint[0])
    assert list_deliveries(warehouse) == list_endpoints(warehouse) == []


def test_invalid_arguments_are_refused(warehouse: Connection) -> None:
    with pytest.raises(WebhookUsageError, match="no tenant has the id 'nobody'"):
        create_endpoint(warehouse, "nobody", "https://example.com/", policy=LOOPBACK)
    with pytest.raises(WebhookUsageError, match=r"no event type 'job\.born'"):
        create_endpoint(warehouse, TENANT, "https://example.com/", policy=LOOPBACK, event_types=["job.born"])
    with pytest.raises(WebhookUsageError, match="https"):
        create_endpoint(warehouse, TENANT, "ftp://example.com/", policy=LOOPBACK)
    for change in (
        lambda: enable_endpoint(warehouse, 999),
        lambda: disable_endpoint(warehouse, 999, reason="a test"),
        lambda: remove_endpoint(warehouse, 999),
        lambda: rotate_secret(warehouse, 999, overlap_s=1),
    ):
        with pytest.raises(WebhookUsageError, match="no endpoint 999"):
            change()


def test_secrets_and_urls_are_in_no_log_and_no_list(
    warehouse: Connection,
    sender: Sender,
    receiver: Receiver,
    endpoint: tuple[int, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    receiver.steps["/hook"] = [answer(500)]
    enqueue_document(warehouse, job())
    send_due(warehouse, sender, retries=RetrySchedule())
    wait_until(lambda: "attempt 1" in caplog.text, timeout_s=30, what="the failure in the log")
    key = endpoint[1].removeprefix("whsec_")
    assert key not in caplog.text
    assert key not in json.dumps([list_endpoints(warehouse), list_deliveries(warehouse)], default=str)


@pytest.mark.parametrize("table", ["webhook_endpoint", "webhook_delivery", "inbound_hook"])
def test_other_roles_read_none_of_it(installation: Installation, table: str) -> None:
    for role in ("salespulse_dashboard", "salespulse_reader"):
        with (
            psycopg.connect(installation.url(role), autocommit=True) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(f"SELECT * FROM salespulse.{table}")
