"""The report of a verification: what was compared, and what differed."""

from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

from pipelines.refresh.changes import Document

# A report names this many of each; the counts are complete.
NAME_LIMIT = 200


@dataclass(frozen=True)
class DriftedRow:
    """One rollup row that is not what the source says.

    Attributes:
        rollup: the table.
        grain: column to value; surrogate keys, with `tenant_id` and `store_id` beside them.
        expected: measures by the rollup's SQL over the source; None where there should be no row.
        actual: measures in the table; None where there is no row.
    """

    rollup: str
    grain: dict[str, Any]
    expected: dict[str, Any] | None
    actual: dict[str, Any] | None

    def __str__(self) -> str:
        """Name the bucket and the measures that differ."""
        where = ", ".join(f"{name}={value}" for name, value in self.grain.items())
        if self.expected is None or self.actual is None:
            return f"{self.rollup} [{where}]: {'missing' if self.actual is None else 'should not exist'}"
        differing = ", ".join(
            f"{name} {self.actual[name]} instead of {value}"
            for name, value in self.expected.items()
            if self.actual[name] != value
        )
        return f"{self.rollup} [{where}]: {differing}"


@dataclass
class VerificationReport:
    """What was compared, and what differed.

    Attributes:
        from_date: first business date compared; None where there is no sale at all.
        to_date: last one, inclusive.
        as_of: the moment of the snapshot.
        documents: sales and returns compared.
        lines: lines compared.
        drifted_document_count: documents whose facts were not what the source says.
        drifted_documents: the first of them, (kind, natural key).
        drifted_row_count: rollup rows that differed.
        drifted_rows: the first of them.
        repaired: whether what differed was repaired.
        seconds: of wall time.
    """

    from_date: date | None = None
    to_date: date | None = None
    as_of: datetime | None = None
    documents: int = 0
    lines: int = 0
    drifted_document_count: int = 0
    drifted_documents: list[Document] = field(default_factory=list)
    drifted_row_count: int = 0
    drifted_rows: list[DriftedRow] = field(default_factory=list)
    repaired: bool = False
    seconds: float = 0.0

    @property
    def is_exact(self) -> bool:
        """Whether nothing differed."""
        return self.drifted_document_count == 0 and self.drifted_row_count == 0

    def as_document(self) -> dict[str, Any]:
        """Return everything as plain values."""
        moments = {"from_date": self.from_date, "to_date": self.to_date, "as_of": self.as_of}
        return {
            "is_exact": self.is_exact,
            **asdict(self),
            **{name: moment.isoformat() if moment else None for name, moment in moments.items()},
            "drifted_documents": [f"{kind} {key}" for kind, key in self.drifted_documents],
            "drifted_rows": [str(row) for row in self.drifted_rows],
            "seconds": round(self.seconds, 3),
        }
