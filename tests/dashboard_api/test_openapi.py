"""The OpenAPI document is kept: whatever it allows is answered as it says, whatever it doesn't is refused; never a 500."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.dashboard_api.conftest import Shop
from tests.dashboard_api.server import Api, token_for

REPORTS = (
    "sales-summary",
    "trend",
    "top-products",
    "top-customers",
    "product-groups",
    "payments",
    "heatmap",
    "stores",
    "overview",
)
PATHS = (*(f"/api/dashboard/{report}" for report in REPORTS), "/api/me", "/healthz", "/readyz", "/metrics")
# A schema can't say that `from` is not after `to`, or how long a period may be: such are refused although it allows them.
EXCLUDED = [positive_data_acceptance]
BOUNDED = settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def document(api: Api) -> Any:
    return schemathesis.openapi.from_url(f"{api.url}/openapi.json")


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("path", PATHS)
def test_every_operation_does_what_it_says(document: Any, shop: Shop, path: str, mode: GenerationMode) -> None:
    """Parameters that the document allows, and such as it doesn't; schemathesis' own checks judge the answers."""
    headers = {"Authorization": f"Bearer {token_for(shop.tenant)}"}

    @BOUNDED
    @given(case=document[path]["GET"].as_strategy(generation_mode=mode))
    def answer(case: Any) -> None:
        case.call_and_validate(headers=headers, excluded_checks=EXCLUDED)

    try:
        answer()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "there is nothing to get wrong where nothing can be given"
        assert path not in {f"/api/dashboard/{report}" for report in REPORTS}


def test_the_document_is_complete(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    reports = {path for path in document["paths"] if path.startswith("/api/dashboard/")}
    assert {path.rpartition("/")[2] for path in reports} == set(REPORTS)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            if path in reports:
                assert method == "get", "figures are only read"
                assert {"200", "304", "401", "403", "404", "422", "429", "503"} <= set(operation["responses"])
                assert "text/csv" in operation["responses"]["200"]["content"]
                assert operation["security"]
                assert any(
                    parameter.get("schema", parameter) and parameter["description"]
                    for parameter in operation["parameters"]
                )
