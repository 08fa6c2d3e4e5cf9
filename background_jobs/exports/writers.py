"""One writer per format. Each takes frames of equal columns one after the other, and holds one at a time in memory.

Amounts stay decimal numbers all the way: text in CSV, decimal128 in Parquet, and in XLSX a number whose digits are written out.
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell

from background_jobs.exports.errors import ExportError

# A sheet's rows, its head among them.
XLSX_ROWS_AT_MOST = 1_048_576

# What a spreadsheet would take for a formula when it opens a CSV file.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

# Parquet fixes the scale of a column; this one holds any amount or quantity that a shop has.
_DECIMALS = 9
_TYPES = {
    "date": pa.date32(),
    "numeric": pa.decimal128(38, _DECIMALS),
    "int8": pa.int64(),
    "int2": pa.int16(),
    "text": pa.string(),
}


class Writer(Protocol):
    """Writes one file."""

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish the file."""


class CsvWriter:
    """UTF-8 with a head, RFC 4180; text that a spreadsheet would run as a formula gets an apostrophe before it."""

    def __init__(self, path: Path, columns: Sequence[tuple[str, str]]) -> None:
        self._text = [name for name, of_type in columns if of_type == "text"]
        self._file = path.open("w", encoding="utf-8", newline="")
        pd.DataFrame(columns=[name for name, _ in columns]).to_csv(self._file, index=False, lineterminator="\r\n")

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows."""
        for name in self._text:
            frame[name] = frame[name].map(_defused)
        for name in frame.columns.difference(self._text):
            frame[name] = frame[name].map(_plain)
        frame.to_csv(self._file, index=False, header=False, lineterminator="\r\n")

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class ParquetWriter:
    """Parquet, zstd; amounts as decimal128(38, 9).

    Raises:
        ExportError: a number has more decimals than that.
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
                f"a number does not fit into Parquet's {_DECIMALS} decimals: take csv ({error})"
            ) from error
        self._writer.write_table(table)

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


class XlsxWriter:
    """One sheet with a head that stays in view; text is never a formula.

    Raises:
        ExportError: there are more rows than a sheet holds.
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
        if self._rows > XLSX_ROWS_AT_MOST:
            raise ExportError(
                f"a sheet holds {XLSX_ROWS_AT_MOST:,} rows, and there are more: take csv or parquet, or a shorter range"
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


def _defused(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def _plain(value: object) -> object:
    """Never as 1E+3."""
    return f"{value:f}" if isinstance(value, Decimal) else value


WRITERS: dict[str, type[CsvWriter | ParquetWriter | XlsxWriter]] = {
    "csv": CsvWriter,
    "parquet": ParquetWriter,
    "xlsx": XlsxWriter,
}
