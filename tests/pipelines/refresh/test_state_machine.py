"""Random operations of several sessions between refreshes, verifications and crashes: see `tests.pipelines.refresh.state_machine`.

The examples are the same on every run. `SALESPULSE_MACHINE_EXAMPLES=500 SALESPULSE_MACHINE_STEPS=60 pytest
tests/pipelines/refresh/test_state_machine.py` looks for new ones, at random; a failure prints the steps that lead to it.
"""

import os
from contextlib import nullcontext

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.pipelines.refresh.state_machine import SalesMachine, WrongRowsError
from tests.servers.postgres import PostgresPair
from tests.warehouse import Installation, Template, discard

_EXAMPLES = os.environ.get("SALESPULSE_MACHINE_EXAMPLES")
SETTINGS = settings(
    max_examples=int(_EXAMPLES or 12),
    stateful_step_count=int(os.environ.get("SALESPULSE_MACHINE_STEPS", "30")),
    derandomize=_EXAMPLES is None,
    deadline=None,
    database=None,
    phases=[Phase.generate] if _EXAMPLES is None else [Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def _floor_too_high(installation: Installation) -> None:
    """Forget that older transactions may still be open."""
    installation.admin().execute(
        "UPDATE salespulse.refresh_state SET horizon = pg_snapshot_xmax(pg_current_snapshot())::text::xid8"
    )


@pytest.mark.timeout(3600 if _EXAMPLES else 600)
def test_rollups_are_exact_whatever_the_application_does(postgres_pair: PostgresPair, any_template: Template) -> None:
    machine = type("AnyMachine", (SalesMachine,), {"pair": postgres_pair, "template": any_template})
    examples = SETTINGS.max_examples if any_template.mapping.name == "retail" else SETTINGS.max_examples // 2
    run_state_machine_as_test(machine, settings=settings(SETTINGS, max_examples=examples))


@pytest.mark.parametrize("spoiled", [False, True])
def test_a_floor_set_too_high_is_reported(
    postgres_pair: PostgresPair, retail_template: Template, monkeypatch: pytest.MonkeyPatch, spoiled: bool
) -> None:
    """The negative control: the machine sees what it is there to see, and only that."""
    # The refresh itself would notice that the horizon lies below its watermark, and reconcile.
    monkeypatch.setattr("pipelines.refresh.snapshot._breaks", lambda *_: ())
    after_refresh = staticmethod(_floor_too_high) if spoiled else None
    machine = type(
        "WrongMachine",
        (SalesMachine,),
        {"pair": postgres_pair, "template": retail_template, "after_refresh": after_refresh},
    )()
    sales = [("sell", number, 1, number + 1) for number in range(4)]
    machine.write(0, [("seed", 0, 0, 0), *sales])
    machine.sessions[1].begin()
    machine.write(1, sales)
    machine.write(0, sales)
    machine.refresh(1000)
    machine.sessions[1].commit()
    with pytest.raises(WrongRowsError) if spoiled else nullcontext():
        machine.refresh(1000)
    discard(machine.installation)
