"""The examples of docs/connections.md, run."""

import re
from pathlib import Path

import pytest

from dbconnect import Settings
from dbconnect.server_health import BEHIND, LATE, NO_ANSWER, NOT_CHECKED, NOT_IN_RECOVERY, OTHER_CLUSTER, UNREACHABLE
from tests.dbconnect.conftest import DASHBOARD, PIPELINE, Place

TEXT = (Path(__file__).parents[2] / "docs" / "connections.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("heart", "shared_routers")
def test_every_example_runs(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SALESPULSE_DASHBOARD_URL", place.url(DASHBOARD, place.pair.standby))
    monkeypatch.setenv("SALESPULSE_DASHBOARD_FALLBACK_URL", place.url(DASHBOARD, place.pair.primary))
    monkeypatch.setenv("SALESPULSE_PRIMARY_URL", place.url(PIPELINE, place.pair.primary))
    monkeypatch.setenv("SALESPULSE_PIPELINE_CONNECTIONS", "2")
    examples = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    assert len(examples) == 3
    for code in examples:
        exec(code, {})  # noqa: S102 - the documentation's own examples


def test_every_setting_and_reason_is_one() -> None:
    fields = {f"SALESPULSE_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"SALESPULSE_[A-Z_]+[A-Z]", TEXT)) <= fields
    for reason in (LATE, BEHIND, NOT_CHECKED, NO_ANSWER, UNREACHABLE, NOT_IN_RECOVERY, OTHER_CLUSTER):
        assert f"`{reason}`" in TEXT
