"""Read a file of invoice lines in the shape of the UCI Online Retail data set, in bounded memory, checked row by row.

Daqing Chen (2015), Online Retail, UCI Machine Learning Repository, doi 10.24432/C5BW33, CC BY 4.0.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sample_app.errors import InvoiceFileError

# Small enough that a batch never takes more memory than the summary of invoices.
BATCH_ROWS = 8_192
# The data set's conversion from a spreadsheet wrote this for an empty description.
NO_DESCRIPTION = "nan"

_COLUMNS = {
    "invoice_no": pa.string(),
    "stock_code": pa.string(),
    "description": pa.string(),
    "quantity": pa.int64(),
    "invoice_date": pa.timestamp("us"),
    "unit_price": pa.decimal128(12, 3),
    "customer_id": pa.int64(),
    "country": pa.string(),
}
_MAY_BE_NULL = frozenset({"customer_id", "description"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLI = pa.scalar(Decimal(1000))


@dataclass(slots=True, frozen=True)
class Lines:
    """Some consecutive rows of the file, by column. Prices are whole thousandths: exact, and quick to add."""

    first_row: int
    invoice_no: list[str]
    stock_code: list[str]
    description: list[str]
    quantity: list[int]
    invoice_date_us: list[int]
    price_milli: list[int]
    price_text: list[str]
    customer_id: list[int | None]
    country: list[str]


@dataclass(slots=True)
class Invoice:
    """One invoice, gathered over its lines. `total_milli` is the sum of quantity times price, in thousandths."""

    number: str
    country: str
    customer_id: int | None
    first_us: int
    lines: int = 0
    total_milli: int = 0

    @property
    def is_return(self) -> bool:
        """Whether this is a cancellation: goods that came back."""
        return self.number.startswith("C")

    @property
    def local_time(self) -> datetime:
        """When its earliest line was written, by the shop's clock; naive, since the file names no zone."""
        return (_EPOCH + timedelta(microseconds=self.first_us)).replace(tzinfo=None)


@dataclass(slots=True)
class Summary:
    """The summary of the whole file; its size grows with invoices and products, not with lines."""

    lines: int = 0
    invoices: dict[str, Invoice] = field(default_factory=dict)
    descriptions: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def customers(self) -> set[int]:
        """Every customer number that occurs."""
        return {invoice.customer_id for invoice in self.invoices.values() if invoice.customer_id is not None}

    @property
    def countries(self) -> list[str]:
        """Every country that occurs, sorted."""
        return sorted({invoice.country for invoice in self.invoices.values()})

    def product_name(self, stock_code: str) -> str:
        """Return the most common description of a product (of equals, the first by alphabet), else its stock code."""
        counts = self.descriptions[stock_code]
        return min(counts, key=lambda text: (-counts[text], text)) if counts else stock_code


class InvoiceFile:
    """A Parquet file of invoice lines. Rows are numbered from 1 in messages."""

    def __init__(self, path: Path) -> None:
        """Open the file and check its columns.

        Raises:
            InvoiceFileError: it can't be opened, is no Parquet file, lacks a column, or holds no rows.
        """
        self._path = path
        try:
            self._file = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise InvoiceFileError(f"{path} can't be read as a Parquet file: {error}") from error
        missing = [name for name in _COLUMNS if name not in self._file.schema_arrow.names]
        if missing:
            raise InvoiceFileError(
                f"{path} has no column {', '.join(missing)}; it has {', '.join(self._file.schema_arrow.names)}. "
                "The columns of the Online Retail data set are needed (docs/online-retail.md)."
            )
        if self.rows == 0:
            raise InvoiceFileError(f"{path} holds no rows")

    @property
    def rows(self) -> int:
        """How many lines the file holds, from its footer."""
        return int(self._file.metadata.num_rows)

    def batches(self) -> Iterator[Lines]:
        """Yield all lines in file order, at most `BATCH_ROWS` at a time.

        Raises:
            InvoiceFileError: a value is missing, of another type, or not what the data set allows.
        """
        row = 1
        try:
            for batch in self._file.iter_batches(BATCH_ROWS, columns=list(_COLUMNS)):
                yield self._lines(batch, row)
                row += batch.num_rows
        except (OSError, pa.ArrowException) as error:
            raise InvoiceFileError(f"{self._path} ends unexpectedly after row {row - 1}: {error}") from error

    def summarize(self) -> Iterator[Summary]:
        """Read the whole file once; yield the same growing summary after every batch, so that a caller can report progress.

        Raises:
            InvoiceFileError: see `batches`; also an invoice with lines for two customers or two countries.
        """
        summary = Summary()
        for lines in self.batches():
            self._gather(lines, summary)
            for (code, text), count in Counter(zip(lines.stock_code, lines.description, strict=True)).items():
                counts = summary.descriptions.setdefault(code, Counter())
                if text and text != NO_DESCRIPTION:
                    counts[text] += count
            summary.lines += len(lines.invoice_no)
            yield summary

    def _gather(self, lines: Lines, summary: Summary) -> None:
        invoices = summary.invoices
        columns = zip(
            lines.invoice_no,
            lines.country,
            lines.customer_id,
            lines.invoice_date_us,
            lines.quantity,
            lines.price_milli,
            strict=True,
        )
        for row, (number, country, customer, at_us, quantity, price) in enumerate(columns, lines.first_row):
            invoice = invoices.get(number)
            if invoice is None:
                invoice = invoices[number] = Invoice(number, country, customer, at_us)
            elif invoice.customer_id != customer:
                raise self._bad(
                    "customer_id", row, f"invoice {number} has lines for {invoice.customer_id} and {customer}"
                )
            elif invoice.country != country:
                raise self._bad("country", row, f"invoice {number} has lines for {invoice.country} and {country}")
            if number.startswith("C") and (quantity >= 0 or price < 0):
                raise self._bad("quantity", row, f"cancellation {number} has quantity {quantity}, price {price / 1000}")
            invoice.first_us = min(invoice.first_us, at_us)
            invoice.lines += 1
            invoice.total_milli += quantity * price

    def _lines(self, batch: pa.RecordBatch, first_row: int) -> Lines:
        columns = {name: self._column(batch, name, first_row) for name in _COLUMNS}
        for name in ("invoice_no", "stock_code", "country"):
            blank = pc.index(pc.utf8_trim_whitespace(columns[name]), "").as_py()
            if blank >= 0:
                raise self._bad(name, first_row + blank, "is empty")
        price = columns["unit_price"]
        return Lines(
            first_row=first_row,
            invoice_no=columns["invoice_no"].to_pylist(),
            stock_code=columns["stock_code"].to_pylist(),
            description=pc.utf8_trim_whitespace(pc.fill_null(columns["description"], "")).to_pylist(),
            quantity=columns["quantity"].to_pylist(),
            invoice_date_us=columns["invoice_date"].cast(pa.int64()).to_pylist(),
            price_milli=pc.multiply(price, _MILLI).cast(pa.int64()).to_pylist(),
            price_text=price.cast(pa.string()).to_pylist(),
            customer_id=columns["customer_id"].to_pylist(),
            country=columns["country"].to_pylist(),
        )

    def _column(self, batch: pa.RecordBatch, name: str, first_row: int) -> pa.Array:
        column = batch.column(name)
        if name not in _MAY_BE_NULL and column.null_count:
            row = first_row + pc.index(column.is_null(), pa.scalar(value=True)).as_py()
            raise self._bad(name, row, "is missing")
        expected_type = _COLUMNS[name]
        if column.type == expected_type:
            return column
        try:
            return column.cast(expected_type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            row = first_row + _first_misfit(column, expected_type)
            raise self._bad(name, row, f"is {column.type}, and does not fit {expected_type}: {error}") from error

    def _bad(self, column: str, row: int, problem: str) -> InvoiceFileError:
        return InvoiceFileError(f"{self._path}, row {row}, column {column}: {problem}")


def _first_misfit(column: pa.Array, expected_type: pa.DataType) -> int:
    for index in range(len(column)):
        try:
            column.slice(index, 1).cast(expected_type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return index
    return 0
