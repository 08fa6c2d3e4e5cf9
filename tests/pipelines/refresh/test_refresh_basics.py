"""The simplest cases: first refresh, nothing pending, a change of each kind."""

from collections.abc import Callable

from pipelines.refresh import RefreshResult
from sample_app.synthetic import generate
from tests.warehouse import Installation


def test_first_refresh_is_exact_and_the_second_finds_nothing(
    installation: Installation, refreshed: Callable[..., RefreshResult]
) -> None:
    generate(installation.admin(), tenants=3, sales=300, days=40)
    first = refreshed()
    assert first.is_drained
    assert first.applied.documents >= 300
    assert installation.rollup_errors() == {}
    second = refreshed()
    assert second.applied.documents == 0
    assert not second.changed
    assert second.reconciled == ()
