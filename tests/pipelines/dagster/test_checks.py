"""Asset checks: pass on exact tables, find drift that was made by hand, and warn about what was left out."""

from typing import Any

import dagster as dg

from pipelines.definitions import defs
from tests.pipelines.dagster.conftest import Run
from tests.warehouse import Installation

MARCH = {"from_date": "2026-03-01", "to_date": "2026-03-31"}


def evaluations(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    return {(each.check_name, each.asset_key.path[-1]): each for each in result.get_asset_check_evaluations()}


def verify(run: Run, **dates: str) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    config: dict[str, Any] = {"ops": {"verification": {"config": dates or MARCH}}}
    return evaluations(run("verify_job", run_config=config))


def test_all_pass_on_exact_tables(current_shop: Installation, run: Run) -> None:
    outcomes = verify(run) | evaluations(run("health_job"))
    assert {name for name, each in outcomes.items() if not each.passed} == {("freshness", "fact_document")} or all(
        each.passed for each in outcomes.values()
    )
    assert outcomes["verification", "fact_document"].metadata["documents"].value > 0
    assert set(outcomes) == {
        ("verification", "fact_document"),
        ("orphan_keys", "fact_document"),
        ("orphan_keys", "fact_document_line"),
        ("orphan_keys", "fact_document_payment"),
        ("freshness", "fact_document"),
        ("quarantine", "fact_document"),
    }


def test_pending_changes_are_not_drift(current_shop: Installation, run: Run) -> None:
    application = current_shop.application()
    application.execute("UPDATE retail.sales SET status = 'voided' WHERE id = (SELECT max(id) FROM retail.sales)")
    assert verify(run)["verification", "fact_document"].passed


def test_one_cent_in_one_row_is_found_and_repaired(current_shop: Installation, run: Run) -> None:
    current_shop.admin().execute(
        "UPDATE salespulse.daily_store_sales SET gross_amount = gross_amount + 0.01 "
        "WHERE (store_key, business_date) = (SELECT store_key, business_date FROM salespulse.daily_store_sales "
        "WHERE business_date BETWEEN '2026-03-01' AND '2026-03-30' LIMIT 1)"
    )
    check = verify(run)["verification", "fact_document"]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.ERROR
    assert check.metadata["drifted_rows"].value == 1
    assert "gross_amount" in str(check.metadata["drift"].value)
    result = run("repair_job", run_config={"ops": {"repair_tables": {"config": MARCH}}})
    (observation,) = [event.asset_observation_data.asset_observation for event in result.get_asset_observation_events()]
    assert observation.metadata["repaired_rows"].value == 1
    assert verify(run)["verification", "fact_document"].passed
    assert current_shop.rollup_errors() == {}


def test_orphan_keys_are_found(current_shop: Installation, run: Run) -> None:
    current_shop.admin().execute(
        "UPDATE salespulse.fact_document_line SET product_key = -1 WHERE document_key = "
        "(SELECT min(document_key) FROM salespulse.fact_document_line)"
    )
    outcomes = verify(run)
    assert not outcomes["orphan_keys", "fact_document_line"].passed
    assert outcomes["orphan_keys", "fact_document_line"].metadata["product_key"].value >= 1
    assert outcomes["orphan_keys", "fact_document"].passed


def test_stale_facts_fail(shop: Installation, run: Run) -> None:
    assert not evaluations(run("health_job"))["freshness", "fact_document"].passed
    run("refresh_job")
    assert evaluations(run("health_job"))["freshness", "fact_document"].passed
    admin = shop.admin()
    for age, severity in (("13 minutes", dg.AssetCheckSeverity.WARN), ("16 minutes", dg.AssetCheckSeverity.ERROR)):
        admin.execute("UPDATE salespulse.refresh_state SET as_of = now() - %s::interval", [age])
        check = evaluations(run("health_job"))["freshness", "fact_document"]
        assert not check.passed
        assert check.severity is severity


def test_quarantine_warns_with_reason_and_example(shop: Installation, run: Run) -> None:
    application = shop.application()
    application.execute(
        "UPDATE retail.stores SET timezone = 'Mars/Olympus' WHERE id = (SELECT min(id) FROM retail.stores)"
    )
    run("refresh_job")
    check = evaluations(run("health_job"))["quarantine", "fact_document"]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert check.metadata["documents"].value > 0
    reasons = str(check.metadata["reasons"].value)
    assert "| unknown time zone | " in reasons
    assert " in store '" in reasons


def test_a_wrong_date_is_refused_without_retry(shop: Installation, run: Run) -> None:
    config = {"ops": {"repair_tables": {"config": {"from_date": "yesterday"}}}}
    result = run("repair_job", run_config=config, raise_on_error=False)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert "write dates as" in (failure.user_failure_data.description or "")


def test_no_check_blocks() -> None:
    graph = defs.resolve_asset_graph()
    assert {graph.get_check_spec(key).blocking for key in graph.asset_check_keys} == {False}
