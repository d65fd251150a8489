"""The label file: a CSV of judged records, read with a line number for every fault, and written to be read again.

Its first two columns are `labeling_set_id` and `label`; the columns of the table follow in any order, among them the
primary key. The first two are bound by position, so a table may have a column `label` of its own.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from glue_ml.errors import LabelError

LEADING_COLUMNS = ("labeling_set_id", "label")
MAX_SET_ROWS = 50
BYTES_PER_MB = 1024 * 1024

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# The csv module has one field size limit for the whole process and hides where a quote was left open, so cells are
# matched here. Possessive quantifiers keep a cell of any size linear.
_QUOTED = r'"([^"]*+(?:""[^"]*+)*+)"'
_CELL = re.compile(rf'(?:{_QUOTED}|(?!")([^,\r\n]*+))(,|\r\n|\r|\n|\Z)')
_CLOSED_QUOTE = re.compile(_QUOTED)
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_BYTE_LINE_BREAK = re.compile(rb"\r\n|\r|\n")
_NEEDS_QUOTES = re.compile(r'[",\r\n]')
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class LabeledRow:
    """One record of a labelling set; `key` is its primary key as text, `label` None while nobody has judged it.

    `attributes` are its other columns as text; `line` is where it starts in its file, and no part of its value.
    """

    labeling_set_id: str
    label: str | None
    key: str
    attributes: Mapping[str, str | None] = field(default_factory=dict, hash=False)
    line: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class LabelFile:
    """The labelled rows of a file, its table columns in their order, and how many rows had a blank label."""

    rows: tuple[LabeledRow, ...]
    columns: tuple[str, ...]
    blank: int


def parse_labels(data: bytes, *, primary_key: str, columns: Sequence[str], limit_mb: int = 10) -> LabelFile:
    """Read a label file of a table with `columns`; raise LabelError with the line of the first fault.

    Empty cells become None. Rows with a blank label are counted and left out; blank lines are skipped.
    """
    check_file_size(len(data), limit_mb=limit_mb)
    records = _split_records(_decode(data))
    header_line, header = next(records, (None, []))
    names = _bind_header(header, line=header_line, primary_key=primary_key, columns=columns)
    rows: list[LabeledRow] = []
    blank = 0
    for line, cells in records:
        row = _bind_row(cells, names=names, primary_key=primary_key, line=line)
        if row is None:
            blank += 1
        else:
            rows.append(row)
    if not rows and not blank:
        raise LabelError("The label file has a header but no rows. Add the labelled rows below it")
    _check_sets(rows)
    return LabelFile(tuple(rows), names, blank)


def check_file_size(size: int, *, limit_mb: int) -> None:
    """Raise LabelError unless a label file of `size` bytes is neither empty nor over the limit (MB of 1,024 KB)."""
    if size == 0:
        raise LabelError("Invalid label file of size 0: the file is empty. It needs a header and labelled rows")
    if size > limit_mb * BYTES_PER_MB:
        raise LabelError(
            f"Label file has exceeded the limit of {limit_mb} MB: it has {size / BYTES_PER_MB:.1f} MB. Split it into "
            "several files, each with whole labelling sets, and import them one after the other"
        )


def check_characters(*texts: str | None) -> None:
    """Raise LabelError if a text holds NUL or half a surrogate pair: neither a file nor a table keeps those apart."""
    for text in texts:
        if text is not None and _UNWRITABLE.search(text):
            raise LabelError(
                f"{shorten(text)} holds a NUL or half a surrogate pair, which labels cannot carry. Remove the character"
            )


def is_blank(text: str | None) -> bool:
    """Say whether a cell holds nothing: missing, empty or white space only."""
    return text is None or not text.strip()


def shorten(text: str) -> str:
    """Return `text` in quotes for a message, on one line and cut where it is long."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def render_labels(rows: Iterable[LabeledRow], *, primary_key: str, columns: Sequence[str]) -> bytes:
    """Return `rows` as a label file (UTF-8, no byte order mark, `\\n`, quotes only where needed, None as empty).

    `parse_labels` reads the same rows back. NUL and half surrogate pairs, which the file cannot carry, become U+FFFD
    in an attribute (the table still has the original) and raise LabelError anywhere else.
    """
    names = list(columns) if primary_key in columns else [primary_key, *columns]
    check_characters(*names)
    lines = [_render_line([*LEADING_COLUMNS, *names])]
    for row in rows:
        check_characters(row.labeling_set_id, row.label, row.key)
        values = (row.key if name == primary_key else _make_writable(row.attributes.get(name)) for name in names)
        lines.append(_render_line([row.labeling_set_id, row.label, *values]))
    return "".join(lines).encode("utf-8")


def export_name(transform_id: str, now: datetime, unique: str) -> str:
    """Name an exported label file as AWS does; `now` is shown in UTC, `unique` is a UUID."""
    if now.tzinfo is None:
        raise ValueError("now must have a time zone")
    return f"{transform_id}_labels_{now.astimezone(UTC):%Y-%m-%d_%H_%M_%S}_{unique}.csv"


def _decode(data: bytes) -> str:
    if data.startswith(_UTF16_MARKS):
        raise LabelError("The label file is UTF-16. Save it as CSV in UTF-8 (in Excel: 'CSV UTF-8')")
    if (at := data.find(b"\0")) >= 0:
        raise LabelError(
            f"The label file holds a NUL byte (byte {at + 1}): it is not a text file in UTF-8. Save it as CSV in UTF-8",
            line=_line_at(data, at),
        )
    mark = len(_BYTE_ORDER_MARK) if data.startswith(_BYTE_ORDER_MARK) else 0
    try:
        return data[mark:].decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start + mark
    hint = " It looks like cp1252 (Windows-1252), which Excel writes." if _is_cp1252(data) else ""
    raise LabelError(
        f"The label file is not UTF-8: byte {at + 1} (0x{data[at]:02x}) is no character.{hint} Save it as CSV in UTF-8 "
        "(in Excel: 'CSV UTF-8')",
        line=_line_at(data, at),
    )


def _is_cp1252(data: bytes) -> bool:
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return True


def _line_at(data: bytes, position: int) -> int:
    return 1 + len(_BYTE_LINE_BREAK.findall(data, 0, position))


def _split_records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not blank with the line where it starts; cells may hold commas, quotes and lines."""
    position, line = 0, 1
    while position < len(text):
        start, cells, end = line, [], ","
        while end == ",":
            match = _CELL.match(text, position)
            if match is None:
                raise _quote_error(text, position, start)
            quoted, plain, end = match.groups()
            if quoted is not None:
                line += len(_LINE_BREAK.findall(quoted))
            cells.append(plain if quoted is None else quoted.replace('""', '"'))
            position = match.end()
        line += 1
        if not all(map(is_blank, cells)):
            yield start, cells


def _quote_error(text: str, position: int, line: int) -> LabelError:
    if _CLOSED_QUOTE.match(text, position):
        return LabelError('A cell goes on after its closing quote. Write a quote inside a quoted cell as ""', line=line)
    return LabelError('A quote is opened and never closed. Close it, or write a quote inside a cell as ""', line=line)


def _bind_header(
    header: Sequence[str], *, line: int | None, primary_key: str, columns: Sequence[str]
) -> tuple[str, ...]:
    """Return the names of the table columns in the file, after checking them."""
    if line is None:
        raise LabelError("The label file holds blank lines only. It needs a header and labelled rows")
    if tuple(header[:2]) != LEADING_COLUMNS:
        raise LabelError(_describe_wrong_header(header), line=line)
    names = tuple(header[2:])
    if repeated := [name for name, times in Counter(names).items() if times > 1]:
        raise LabelError(f"The header names {_join(repeated)} more than once. Each column may occur once", line=line)
    if primary_key not in names:
        raise LabelError(f"The header lacks the primary key {shorten(primary_key)}. Add that column", line=line)
    if unknown := sorted(set(names) - {primary_key, *columns}):
        raise LabelError(
            f"The header names {_join(unknown)}, which the table does not have. Remove the column or correct its name",
            line=line,
        )
    return names


def _describe_wrong_header(header: Sequence[str]) -> str:
    found = " and ".join(map(shorten, header[:2]))
    message = f"The first two columns must be labeling_set_id and label, the header begins with {found}."
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if header[0].startswith(f"labeling_set_id{separator}"):
            return f"{message} Separate the columns by commas, not by {name}"
    return f"{message} Put a header with these names first"


def _bind_row(cells: Sequence[str], *, names: Sequence[str], primary_key: str, line: int) -> LabeledRow | None:
    """Return the row of a record, None if its label is blank."""
    expected = len(LEADING_COLUMNS) + len(names)
    if len(cells) != expected:
        fault = "few" if len(cells) < expected else "many"
        raise LabelError(
            f"The row has too {fault} cells: the header has {expected}, this row {len(cells)}. Put a cell that holds "
            "commas or line breaks in quotes",
            line=line,
        )
    set_id, label, *values = cells
    if is_blank(label):
        return None
    if is_blank(set_id):
        raise LabelError("The row has a label but a blank labeling_set_id. Name its set, or remove the row", line=line)
    attributes = {name: value if value else None for name, value in zip(names, values, strict=True)}
    key = attributes.pop(primary_key)
    if key is None or is_blank(key):
        raise LabelError(f"The row has a blank primary key {shorten(primary_key)}. Fill it in", line=line)
    return LabeledRow(set_id, label, key, attributes, line)


def _check_sets(rows: Sequence[LabeledRow]) -> None:
    sets: dict[str, dict[str, LabeledRow]] = defaultdict(dict)
    for row in rows:
        members = sets[row.labeling_set_id]
        if row.key in members:
            raise LabelError(
                f"The key {shorten(row.key)} is twice in the labelling set {shorten(row.labeling_set_id)}, first on "
                f"line {members[row.key].line}. Remove one of the two rows",
                line=row.line,
            )
        members[row.key] = row
    for set_id, members in sets.items():
        if len(members) > MAX_SET_ROWS:
            raise LabelError(
                f"The labelling set {shorten(set_id)}, which starts here, has {len(members)} rows; at most "
                f"{MAX_SET_ROWS} are allowed. Split it into smaller sets",
                line=next(iter(members.values())).line,
            )


def _join(names: Sequence[str]) -> str:
    return ", ".join(map(shorten, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _make_writable(value: str | None) -> str | None:
    return None if value is None else _UNWRITABLE.sub("\ufffd", value)


def _render_line(cells: Iterable[str | None]) -> str:
    return ",".join(map(_render_cell, cells)) + "\n"


def _render_cell(cell: str | None) -> str:
    if cell is None:
        return ""
    return '"' + cell.replace('"', '""') + '"' if _NEEDS_QUOTES.search(cell) else cell
