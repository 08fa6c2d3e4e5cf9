"""Makes answers in this process."""

import time
from collections.abc import Sequence

from dashboard_api.answers import Answer, render_csv, render_json
from dashboard_api.filters import Format
from dashboard_api.making.maker import Made, MakerState, Wanted
from dashboard_api.readings import Readings
from dashboard_api.reports import REPORTS, Figures, Part
from dashboard_api.reports.reading import read_figures
from dashboard_api.turns import Turns
from dbconnect import ReadRouter, Settings


class LocalMaker:
    """Reads through a router, which others may use as well.

    Args:
        router: open when the first answer is asked for.
        settings: how long a question waits for its turn.
        readers: questions that are read at a time.
        readings_bytes: memory for what was read.
    """

    def __init__(self, router: ReadRouter, settings: Settings, *, readers: int, readings_bytes: int) -> None:
        self.readings = Readings(readings_bytes)
        self._router = router
        self._turns = Turns(readers, settings.dashboard_queue_seconds)

    async def open(self) -> None:
        """Nothing has to be prepared."""

    async def close(self) -> None:
        """Nothing was begun."""

    async def make(self, wanted: Wanted) -> Made:
        """As `Maker.make`."""
        began = time.perf_counter()
        report, is_read = REPORTS[wanted.report], False

        async def read(kept: Figures | None, also: Sequence[Part]) -> Figures:
            nonlocal is_read
            is_read = True
            async with self._turns.turn(wanted.tenant_key):
                return await read_figures(
                    lambda statements: self._router.ask(statements, tenant_key=wanted.tenant_key),
                    wanted.tenant_key,
                    wanted.asked,
                    lambda period: (*report.parts(period, wanted.asked), *also),
                    kept,
                )

        figures = await self.readings.get(wanted.tenant_key, wanted.version, report, wanted.asked, read)
        document = report.build(figures, wanted.asked)
        is_csv = wanted.answer_format is Format.CSV
        content = render_csv(report.columns, document[report.rows]) if is_csv else render_json(document)
        answer = Answer(report.name, content, wanted.answer_format, as_of=figures.as_of, changed_at=figures.changed_at)
        return Made(answer, is_read, time.perf_counter() - began)

    def state(self) -> MakerState:
        """As `Maker.state`."""
        return MakerState(self._turns.waiting, None)
