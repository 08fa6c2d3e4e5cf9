"""A file that can't be used is refused with its column and row; nothing is guessed."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sample_app import InvoiceFileError
from sample_app.invoice_file import BATCH_ROWS, InvoiceFile, Summary

_LINE = {
    "invoice_no": "1",
    "stock_code": "A",
    "description": "MUG",
    "quantity": 2,
    "invoice_date": datetime(2011, 1, 4, 10, 0),  # noqa: DTZ001, the file's times name no zone
    "unit_price": Decimal("1.255"),
    "customer_id": 7,
    "country": "France",
}


def _write(path: Path, lines: list[dict[str, Any]]) -> InvoiceFile:
    pq.write_table(pa.Table.from_pylist(lines), path)
    return InvoiceFile(path)


def _summary(file: InvoiceFile) -> Summary:
    return list(file.summarize())[-1]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("invoice_no", None, r"row 3, column invoice_no: is missing"),
        ("country", "  ", r"row 3, column country: is empty"),
        ("quantity", None, r"row 3, column quantity: is missing"),
        ("customer_id", 8, r"row 3, column customer_id: invoice 1 has lines for 7 and 8"),
        ("country", "Spain", r"row 3, column country: invoice 1 has lines for France and Spain"),
    ],
)
def test_a_bad_value_is_named_with_its_row(tmp_path: Path, column: str, value: object, message: str) -> None:
    with pytest.raises(InvoiceFileError, match=message):
        _summary(_write(tmp_path / "bad.parquet", [_LINE, _LINE, {**_LINE, column: value}, _LINE]))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("quantity", ["2", "many"], r"row 2, column quantity: is string, and does not fit int64"),
        ("unit_price", [1.5, float("nan")], r"row 2, column unit_price: is double, and does not fit decimal128"),
        ("unit_price", [Decimal("1.5000"), Decimal("1.2345")], r"row 2, column unit_price"),
        ("quantity", [1.0, 1.5], r"row 2, column quantity"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_row(
    tmp_path: Path, column: str, values: list[Any], message: str
) -> None:
    with pytest.raises(InvoiceFileError, match=message):
        _summary(_write(tmp_path / "bad.parquet", [{**_LINE, column: value} for value in values]))


def test_a_cancellation_must_bring_goods_back(tmp_path: Path) -> None:
    with pytest.raises(InvoiceFileError, match=r"row 1, column quantity: cancellation C1 has quantity 2"):
        _summary(_write(tmp_path / "bad.parquet", [{**_LINE, "invoice_no": "C1"}]))


def test_a_row_far_down_is_counted_from_the_start(tmp_path: Path) -> None:
    lines = [_LINE] * (BATCH_ROWS + 10) + [{**_LINE, "stock_code": ""}]
    with pytest.raises(InvoiceFileError, match=rf"row {BATCH_ROWS + 11}, column stock_code"):
        _summary(_write(tmp_path / "bad.parquet", lines))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvoiceFileError, match=r"has no column quantity, country; it has invoice_no"):
        _write(tmp_path / "bad.parquet", [{k: v for k, v in _LINE.items() if k not in {"quantity", "country"}}])


@pytest.mark.parametrize("content", [None, b"", b"invoice_no,stock_code\n1,2\n"])
def test_a_file_that_is_no_parquet_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvoiceFileError, match=r"bad\.parquet can't be read as a Parquet file"):
        InvoiceFile(path)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    pq.write_table(pa.Table.from_pylist([{**_LINE, "description": f"MUG {n}"} for n in range(5000)]), path)
    whole = path.read_bytes()
    # The footer still promises pages that are noise now.
    path.write_bytes(whole[:4] + b"\0" * 2000 + whole[2004:])
    with pytest.raises(InvoiceFileError, match=r"ends unexpectedly after row 0"):
        _summary(InvoiceFile(path))


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.parquet"
    pq.write_table(pa.Table.from_pylist([_LINE]).slice(0, 0), path)
    with pytest.raises(InvoiceFileError, match="holds no rows"):
        InvoiceFile(path)


def test_an_invoice_is_gathered_over_its_lines(tmp_path: Path) -> None:
    earlier = datetime(2011, 1, 4, 9, 59)  # noqa: DTZ001, as above
    lines = [
        _LINE,
        {**_LINE, "invoice_no": "2", "description": " MUG, RED ", "customer_id": None},
        {**_LINE, "quantity": -3, "invoice_date": earlier, "description": "nan"},
        {**_LINE, "stock_code": "B", "description": "nan"},
    ]
    summary = _summary(_write(tmp_path / "good.parquet", lines))
    first = summary.invoices["1"]
    assert (first.lines, first.total_milli, first.local_time) == (3, 1255, earlier)
    assert summary.customers == {7}
    # "MUG" and "MUG, RED" stand once each: the first by alphabet. B was never described.
    assert [summary.product_name(code) for code in ("A", "B")] == ["MUG", "B"]
