"""Rows of a CSV file whose every refusal names file, line, column and rule."""

import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from domain.errors import InvalidValue
from domain.model.values import instant_of

# float() and datetime.fromisoformat() take more than a data file should hold, such as
# "1_000", "nan" or a week number; what these patterns let through both read alike.
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?"
)
# Beyond these a year is a typing error, and arithmetic on its days may overflow.
_FIRST_YEAR, _LAST_YEAR = 1970, 2199


class Row(NamedTuple):
    """One row of a file, with what it takes to say where a value stands."""

    path: Path
    line: int
    values: dict[str, str]

    def refusal(self, column: str, rule: str) -> InvalidValue:
        """Return the error that the value of a column breaks a rule."""
        return InvalidValue(
            f"{self.path}, line {self.line}, column {column!r}: "
            f"{self.values[column]!r} {rule}"
        )

    def text(self, column: str, max_length: int = 128) -> str:
        """Return a value that is not blank and has printable characters only."""
        text = self.values[column]
        if not text.strip() or not text.isprintable() or len(text) > max_length:
            raise self.refusal(column, f"is not 1 to {max_length} printable characters")
        return text

    def number(self, column: str) -> float:
        """Return a finite decimal number."""
        text = self.values[column]
        if not _NUMBER.fullmatch(text):
            raise self.refusal(column, "is not a finite decimal number")
        number = float(text)
        if not math.isfinite(number):
            raise self.refusal(column, "is not a finite decimal number")
        return number

    def flag(self, column: str) -> bool:
        """Return True or False, written so in any case."""
        text = self.values[column].lower()
        if text not in ("true", "false"):
            raise self.refusal(column, "is not True or False")
        return text == "true"

    def moment(self, column: str, tz: ZoneInfo | None = None) -> datetime:
        """Return an aware datetime; ``tz`` holds where the text has no UTC offset."""
        text = self.values[column]
        if not _MOMENT.fullmatch(text):
            raise self.refusal(
                column, "is not YYYY-MM-DD HH:MM:SS with or without a UTC offset"
            )
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise self.refusal(column, f"is no date and time: {error}") from error
        if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
            raise self.refusal(column, f"is not of {_FIRST_YEAR}..{_LAST_YEAR}")
        if moment.tzinfo is not None:
            return moment
        if tz is None:
            raise self.refusal(
                column, "has no UTC offset and no time zone was given (--tz)"
            )
        return self._placed(column, moment, tz)

    def _placed(self, column: str, moment: datetime, tz: ZoneInfo) -> datetime:
        first = moment.replace(tzinfo=tz)
        second = first.replace(fold=1)
        if first.utcoffset() == second.utcoffset():
            return first
        # Where clocks are set forward, reading by the later offset comes out earlier.
        skipped = instant_of(second) < instant_of(first)
        what = "never comes" if skipped else "comes twice"
        raise self.refusal(
            column, f"{what} in {tz.key}, where clocks are set then; give its offset"
        )


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a CSV file (.csv or .csv.gz) that has the given columns.

    Columns may stand in any order and further ones are left out. The file is read as a
    whole first: what is truncated or not UTF-8 is refused before any row is given.
    """
    reader = csv.reader(io.StringIO(_text_of(path), newline=""), strict=True)
    header = _next(path, 1, reader)
    if header is None:
        raise InvalidValue(
            f"{path}, line 1: the file is empty; it begins with a header"
        )
    for column in columns:
        if header.count(column) != 1:
            what = "missing" if column not in header else "there more than once"
            raise InvalidValue(f"{path}, line 1, column {column!r}: is {what}")
    line = reader.line_num + 1
    while (values := _next(path, line, reader)) is not None:
        if len(values) != len(header):
            raise InvalidValue(
                f"{path}, line {line}, column {min(len(values), len(header)) + 1}: "
                f"the row has {len(values)} columns, the header {len(header)}"
            )
        yield Row(path, line, dict(zip(header, values, strict=True)))
        line = reader.line_num + 1


def _next(path: Path, line: int, reader: Iterator[list[str]]) -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        raise InvalidValue(f"{path}, line {line}: is not CSV: {error}") from error


def _text_of(path: Path) -> str:
    data = _bytes_of(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = before.rpartition(b"\n")[2].count(b",") + 1
        raise InvalidValue(
            f"{path}, line {line}, column {column}: byte 0x{data[error.start]:02x} is "
            "not UTF-8"
        ) from error


def _bytes_of(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except EOFError as error:
        raise InvalidValue(f"{path}: the gzip file is truncated") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InvalidValue(f"{path}: is not a sound gzip file: {error}") from error
    except OSError as error:
        raise InvalidValue(f"{path}: cannot be read: {error.strerror}") from error
