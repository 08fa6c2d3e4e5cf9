"""Concurrent workers, slow receivers, killed and stopped workers: each delivery is sent once, and none is lost."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg

from background_jobs.webhooks import Sender, create_endpoint, send_due
from dbconnect.routes import Connection, Row
from tests.background_jobs.webhooks.conftest import LOOPBACK
from tests.background_jobs.webhooks.job_documents import OTHER_TENANT, enqueue_document, job, later
from tests.background_jobs.webhooks.receiver import Receiver, answer, silent
from tests.warehouse import Installation


def test_a_slow_endpoint_delays_no_other(
    installation: Installation, warehouse: Connection, sender: Sender, receiver: Receiver, endpoint: tuple[int, str]
) -> None:
    create_endpoint(warehouse, OTHER_TENANT, receiver.url("/quick"), policy=LOOPBACK)
    receiver.steps["/hook"] = [silent]
    for _ in range(20):
        enqueue_document(warehouse, job())
    sending = installation.route("salespulse_pipeline")
    outcomes: list[Counter[Any]] = []
    thread = threading.Thread(
        target=lambda: outcomes.append(send_due(sending, sender, concurrency=6, endpoint_concurrency=4))
    )
    thread.start()
    receiver.wait_for("/hook", 4)
    # They came later, and are delivered while the four are still silent.
    for _ in range(20):
        enqueue_document(warehouse, job(tenant=OTHER_TENANT))
    receiver.wait_for("/quick", 20)
    assert len(receiver.at("/hook")) == 4
    receiver.release()
    thread.join(60)
    assert outcomes == [Counter(delivered=40)]


def test_concurrent_workers_send_each_delivery_once(
    installation: Installation, warehouse: Connection, receiver: Receiver, endpoint: tuple[int, str]
) -> None:
    for _ in range(60):
        enqueue_document(warehouse, job())
    start, outcomes = threading.Barrier(3), []

    def run() -> None:
        connection = installation.route("salespulse_pipeline")
        start.wait(60)
        outcomes.append(send_due(connection, Sender(LOOPBACK, timeout_s=60), endpoint_concurrency=60))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sum(outcomes, Counter()) == Counter(delivered=60)
    sent = Counter(request.headers["webhook-id"] for request in receiver.received)
    assert len(sent) == 60
    assert set(sent.values()) == {1}


def test_a_killed_workers_delivery_is_sent_again_when_its_claim_expires(
    installation: Installation, warehouse: Connection, receiver: Receiver, delivery: Callable[[], Row]
) -> None:
    receiver.steps["/hook"] = [silent, answer(200)]
    now = later(warehouse)
    sending = installation.route("salespulse_pipeline")
    pid = sending.info.backend_pid
    errors: list[Exception] = []

    def run() -> None:
        try:
            send_due(sending, Sender(LOOPBACK, timeout_s=60), now=now, claim_ttl_s=120)
        except psycopg.OperationalError as error:
            errors.append(error)

    dying = threading.Thread(target=run)
    dying.start()
    receiver.wait_for("/hook")
    # Its connection is cut in the middle of the request: it can record nothing.
    installation.admin().execute("SELECT pg_terminate_backend(%s)", [pid])
    dying.join(60)
    assert len(errors) == 1
    sender = Sender(LOOPBACK, timeout_s=60)
    assert send_due(warehouse, sender, now=now + timedelta(seconds=119)) == Counter()
    assert send_due(warehouse, sender, now=now + timedelta(seconds=121)) == Counter(delivered=1)
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1
    assert (delivery()["state"], delivery()["attempts"]) == ("delivered", 2)


def test_a_worker_whose_claim_expired_records_nothing(
    installation: Installation, warehouse: Connection, receiver: Receiver, delivery: Callable[[], Row]
) -> None:
    receiver.steps["/hook"] = [silent, answer(500)]
    now = later(warehouse)
    sending = installation.route("salespulse_pipeline")
    outcomes: list[Counter[Any]] = []
    slow = threading.Thread(
        target=lambda: outcomes.append(send_due(sending, Sender(LOOPBACK, timeout_s=60), now=now, claim_ttl_s=10))
    )
    slow.start()
    receiver.wait_for("/hook")
    assert send_due(warehouse, Sender(LOOPBACK, timeout_s=60), now=now + timedelta(seconds=11)) == Counter(retried=1)
    receiver.release()
    slow.join(60)
    assert outcomes == [Counter()]
    assert (delivery()["state"], delivery()["last_status"]) == ("pending", 500)


def test_a_stopped_worker_releases_its_deliveries(
    installation: Installation, warehouse: Connection, receiver: Receiver, delivery: Callable[[], Row]
) -> None:
    receiver.steps["/hook"] = [silent, answer(200)]
    sending = installation.route("salespulse_pipeline")
    stop, outcomes = threading.Event(), []
    thread = threading.Thread(
        target=lambda: outcomes.append(send_due(sending, Sender(LOOPBACK, timeout_s=600), should_stop=stop.is_set))
    )
    thread.start()
    receiver.wait_for("/hook")
    stop.set()
    thread.join(60)
    assert outcomes == [Counter()]
    assert (delivery()["state"], delivery()["attempts"]) == ("pending", 0)
    assert send_due(warehouse, Sender(LOOPBACK, timeout_s=60)) == Counter(delivered=1)
