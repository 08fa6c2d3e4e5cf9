"""One writer per file format. Each appends frames with the same columns, and keeps one frame in memory.

Amounts stay decimal: text in CSV, decimal128 in Parquet, and numbers with all their digits in XLSX.
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell

from background_jobs.errors import ExportError

# A sheet's rows, the header included.
XLSX_ROWS_MAX = 1_048_576

# A spreadsheet that opens a CSV file takes such text for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

# Parquet fixes the scale of a column; this one fits any amount or quantity of a shop.
_DECIMALS = 9
_TYPES = {
    "date": pa.date32(),
    "numeric": pa.decimal128(38, _DECIMALS),
    "int8": pa.int64(),
    "int2": pa.int16(),
    "text": pa.string(),
}


class CsvWriter:
    """Write CSV: UTF-8 with a header, RFC 4180; an apostrophe goes before text that a spreadsheet would run as a formula."""

    def __init__(self, path: Path, columns: Sequence[tuple[str, str]]) -> None:
        self._text = [name for name, of_type in columns if of_type == "text"]
        self._file = path.open("w", encoding="utf-8", newline="")
        pd.DataFrame(columns=[name for name, _ in columns]).to_csv(self._file, index=False, lineterminator="\r\n")

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows."""
        for name in self._text:
            frame[name] = frame[name].map(_escape_formula)
        for name in frame.columns.difference(self._text):
            frame[name] = frame[name].map(_plain_decimal)
        frame.to_csv(self._file, index=False, header=False, lineterminator="\r\n")

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class ParquetWriter:
    """Write Parquet with zstd; amounts as decimal128(38, 9).

    Raises:
        ExportError: a number has more than nine decimals.
    """

    def __init__(self, path: Path, columns: Sequence[tuple[str, str]]) -> None:
        self._schema = pa.schema([(name, _TYPES[of_type]) for name, of_type in columns])
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows."""
        try:
            table = pa.Table.from_pandas(frame, schema=self._schema, preserve_index=False)
        except pa.ArrowInvalid as error:
            raise ExportError(
                f"a number has more than the {_DECIMALS} decimals of Parquet: choose csv ({error})"
            ) from error
        self._writer.write_table(table)

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


class XlsxWriter:
    """Write XLSX: one sheet whose header stays in view; text is never a formula.

    Raises:
        ExportError: there are more rows than a sheet can hold.
    """

    def __init__(self, path: Path, columns: Sequence[tuple[str, str]]) -> None:
        self._path = path
        self._book = Workbook(write_only=True)
        self._sheet = self._book.create_sheet("report")
        self._sheet.freeze_panes = "A2"
        self._sheet.append([name for name, _ in columns])
        self._rows = 1

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows."""
        self._rows += len(frame)
        if self._rows > XLSX_ROWS_MAX:
            raise ExportError(
                f"there are more rows than the {XLSX_ROWS_MAX:,} of a sheet: choose csv or parquet, or a shorter range"
            )
        for row in frame.itertuples(index=False):
            self._sheet.append([self._cell(value) for value in row])

    def close(self) -> None:
        """Finish the file."""
        self._book.save(self._path)

    def _cell(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        cell = WriteOnlyCell(self._sheet, value)
        cell.data_type = "s"
        return cell


def _escape_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def _plain_decimal(value: object) -> object:
    """Write a decimal without an exponent, never as 1E+3."""
    return f"{value:f}" if isinstance(value, Decimal) else value


WRITERS: dict[str, type[CsvWriter | ParquetWriter | XlsxWriter]] = {
    "csv": CsvWriter,
    "parquet": ParquetWriter,
    "xlsx": XlsxWriter,
}
