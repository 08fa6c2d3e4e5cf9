"""`salespulse webhook`: its output suffices to verify signatures; secrets are shown once."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from standardwebhooks import Webhook

from background_jobs.webhooks import Sender, WebhookUsageError, enqueue_deliveries, new_secret, send_due
from dbconnect.routes import Connection
from salespulse.cli.root import COMMANDS
from salespulse.cli.webhook import webhook
from tests.background_jobs.webhooks.job_documents import TENANT
from tests.background_jobs.webhooks.receiver import Receiver, answer
from tests.warehouse import Installation

Run = Callable[..., str]


@pytest.fixture
def run(
    installation: Installation,
    warehouse: Connection,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    monkeypatch.setenv("SALESPULSE_DATA_DIR", str(tmp_path_factory.mktemp("data")))
    monkeypatch.setenv("SALESPULSE_WAREHOUSE_URL", installation.url("salespulse_pipeline"))
    monkeypatch.setenv("SALESPULSE_WEBHOOK_PRIVATE_NETWORKS", '["127.0.0.0/8"]')
    monkeypatch.setenv("COLUMNS", "250")

    def invoke(*arguments: str, stdin: str | None = None) -> str:
        result: Result = CliRunner().invoke(webhook, arguments, input=stdin, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return invoke


def printed(text: str) -> Any:
    return json.loads(text)


def test_it_is_a_command() -> None:
    assert COMMANDS["webhook"][:2] == ("webhook", "webhook")


def test_the_life_of_an_endpoint(run: Run, warehouse: Connection, receiver: Receiver, sender: Sender) -> None:
    created = printed(
        run("create", "--tenant", f"{TENANT}'s", "--url", receiver.url("/hook"), "--event", "job.failed", "--json")
    )
    endpoint = str(created["endpoint_id"])
    receiver.steps["/hook"] = [answer(410), answer(200)]
    document = {"id": str(uuid4()), "tenant": TENANT, "state": "failed", "ended_at": "2999-01-01T00:00:00Z"}
    with warehouse.transaction(), warehouse.cursor() as cursor:
        enqueue_deliveries(cursor, document)
    send_due(warehouse, sender)
    Webhook(created["secret"]).verify(receiver.received[0].body, receiver.received[0].headers)
    assert "disabled: it answered 410 Gone" in " ".join(run("list", "--tenant", TENANT).split())
    [listed] = printed(run("list", "--json"))
    assert listed["event_types"] == ["job.failed"]

    run("enable", endpoint)
    [row] = printed(run("deliveries", "--endpoint", endpoint, "--job", document["id"], "--state", "failed", "--json"))
    assert row["last_status"] == 410
    assert "410" in run("deliveries")
    run("redeliver", row["delivery_id"])
    rotated = printed(run("rotate", endpoint, "--json"))
    send_due(warehouse, sender)
    for secret in (created["secret"], rotated["secret"]):
        Webhook(secret).verify(receiver.received[1].body, receiver.received[1].headers)
    assert "delivered" in run("deliveries")

    run("disable", endpoint, "--reason", "moved")
    assert printed(run("list", "--json"))[0]["disabled_reason"] == "moved"
    output = "".join(run(*command) for command in (("list",), ("list", "--json"), ("deliveries", "--json")))
    assert "whsec_" not in output
    assert "whsec_" in run("rotate", endpoint)
    run("remove", endpoint)
    assert printed(run("list", "--json")) == []


def test_the_life_of_a_hook(run: Run) -> None:
    created = printed(
        run(
            "hook",
            "create",
            "--tenant",
            TENANT,
            "--name",
            "the till",
            "--kind",
            "hello_world",
            "--params",
            '{"steps": 1}',
            "--json",
        )
    )
    assert created["url"].startswith("http://127.0.0.1:8400/api/hooks/sph_")
    assert created["secret"].startswith("whsec_")
    theirs = new_secret()
    created_b = printed(
        run("hook", "create", "--tenant", TENANT, "--name", "b", "--secret-file", "-", "--json", stdin=theirs + "\n")
    )
    assert created_b["secret"] == theirs
    output = run("hook", "list") + run("hook", "list", "--tenant", TENANT, "--json")
    assert created["url"].rpartition("/")[2] not in output
    assert "whsec_" not in output
    assert [row["params"] for row in printed(run("hook", "list", "--json"))] == [{"steps": 1}, {}]
    assert printed(run("hook", "rotate", str(created["hook_id"]), "--json"))["secret"] != created["secret"]
    run("hook", "revoke", str(created["hook_id"]))
    assert [row["revoked_at"] is None for row in printed(run("hook", "list", "--json"))] == [False, True]


@pytest.mark.parametrize("params", ["{", "[]", "3"])
def test_parameters_must_be_an_object(run: Run, params: str) -> None:
    with pytest.raises(WebhookUsageError, match="--params"):
        run("hook", "create", "--tenant", TENANT, "--name", "x", "--params", params)


def test_a_private_address_is_refused_unless_the_settings_allow_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SALESPULSE_WEBHOOK_PRIVATE_NETWORKS")
    with pytest.raises(WebhookUsageError, match="may not reach"):
        run("create", "--tenant", TENANT, "--url", "https://127.0.0.1/hook")
