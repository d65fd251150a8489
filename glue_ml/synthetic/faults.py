"""What goes wrong when a person is written down again: typing, hearing, reading, abbreviating, leaving out.

Every fault is applied to all rows that have it at once; text is edited as a matrix of code points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from glue_ml.synthetic.vocabulary import ABBREVIATIONS, NICKNAMES, SOUNDS

Ints = npt.NDArray[np.int64]
Columns = dict[str, pa.Array]
FaultRows = Mapping[str, Ints]  #: The sorted rows that have each fault.

#: How likely each fault is, relative to the others. Those of `people` change numbers, the rest text.
FAULTS: Mapping[str, float] = {
    "type_first_name": 3.0, "type_last_name": 3.0, "type_street": 2.5, "type_city": 2.0, "type_email": 1.5,
    "missing": 5.0, "abbreviate": 3.0, "nickname": 2.0, "initial": 0.8, "accents": 1.0, "upper_case": 0.8,
    "swap_names": 1.0, "swap_day_month": 1.2,
    "phone_format": 3.0, "phone_digit": 1.2, "postcode_digit": 1.0, "date_digit": 1.5, "move": 1.5, "last_name": 0.6,
    "new_email": 1.2,
}  # fmt: skip
FAULT_COUNTS = (0.35, 0.30, 0.20, 0.15)  #: Shares of the records with 1, 2, 3 and 4 faults.
MISSABLE = ("first_name", "street", "house_number", "city", "postcode", "state", "phone", "email", "date_of_birth")

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890")
_LOOKALIKES = (
    "oO0",
    "lI1",
    "S5",
    "B8",
    "Z2",
    "g9",
    "ceo",
    "uv",
    "mn",
    "rn",
    "hb",
    "ft",
    "ij",
    "ÉE",
    "éeê",
    "áaà",
    "öo",
    "üu",
)
_SUBSTITUTE, _LOOKALIKE, _DELETE, _DOUBLE, _TRANSPOSE, _SOUND = range(6)
_SLIP_SHARES = (0.30, 0.10, 0.20, 0.12, 0.15, 0.13)
_ALPHABET = 0x250  #: Latin letters with all their accents.


def draw_faults(rows: Ints, rng: np.random.Generator) -> FaultRows:
    """Give each of the sorted `rows` 1 to 4 different faults."""
    weights = np.log(list(FAULTS.values()))
    # the k largest of log-weight plus Gumbel noise are a weighted draw of k without replacement
    order = np.argsort(-(weights + rng.gumbel(size=(len(rows), len(weights)))), axis=1)
    rank = np.argsort(order, axis=1)
    counts = rng.choice(len(FAULT_COUNTS), size=len(rows), p=FAULT_COUNTS) + 1
    return {name: rows[rank[:, i] < counts] for i, name in enumerate(FAULTS)}


def corrupt_text(columns: Columns, faults: FaultRows, *, originals: Ints, rng: np.random.Generator) -> None:
    """Apply the faults of text in place. A record that is still equal to its original gets its last name mistyped."""
    _shorten(columns, faults)
    for name in ("first_name", "last_name", "street", "city", "email"):
        _edit(columns, name, faults[f"type_{name}"], lambda values: mistype(values, rng))
    for name in ("first_name", "last_name", "street", "city"):
        _edit(columns, name, faults["accents"], _strip_accents)
    for name in ("first_name", "last_name", "city"):
        _edit(columns, name, faults["upper_case"], pc.utf8_upper)
    _edit(columns, "date_of_birth", faults["swap_day_month"], _swap_day_month)
    _swap_names(columns, faults["swap_names"])
    gone = rng.integers(0, len(MISSABLE), size=len(faults["missing"]))
    for number, name in enumerate(MISSABLE):
        _edit(columns, name, faults["missing"][gone == number], lambda values: pa.nulls(len(values), pa.string()))
    _edit(columns, "last_name", _find_unchanged(columns, originals), lambda values: mistype(values, rng))


def mistype(values: pa.Array, rng: np.random.Generator) -> pa.Array:
    """Return each text (none null) with one slip of the fingers, the eye or the ear, where there is room for one."""
    slip = rng.choice(len(_SLIP_SHARES), size=len(values), p=_SLIP_SHARES)
    lengths = pc.utf8_length(values).to_numpy()
    misheard = _mishear(values, rng)
    heard = (slip == _SOUND) & pc.not_equal(misheard, values).to_numpy(zero_copy_only=False)
    slip = np.where(slip == _SOUND, _SUBSTITUTE, slip)
    slip = np.where((lengths < 3) & (slip != _LOOKALIKE), _DOUBLE, slip)
    place = (rng.random(len(values)) * np.maximum(lengths - (slip == _TRANSPOSE), 1)).astype(np.int64)
    typed = _slip(_to_letters(values), slip, place, rng)
    return pc.if_else(pa.array(heard), misheard, typed)


def _slip(letters: npt.NDArray[np.uint32], slip: Ints, place: Ints, rng: np.random.Generator) -> pa.Array:
    count, width = letters.shape
    column, at, kind = np.arange(width)[None, :], place[:, None], slip[:, None]
    source = column + ((kind == _DELETE) & (column >= at)) - ((kind == _DOUBLE) & (column > at))
    source = source + ((kind == _TRANSPOSE) & (column == at)) - ((kind == _TRANSPOSE) & (column == at + 1))
    edited = np.take_along_axis(letters, np.clip(source, 0, width - 1), axis=1)
    rows = np.flatnonzero((slip == _SUBSTITUTE) | (slip == _LOOKALIKE))
    hit = np.minimum(letters[rows, place[rows]], _ALPHABET - 1)
    choice = rng.integers(0, 4, size=len(rows))
    near, alike = _neighbours()[hit, choice], _lookalikes()[hit]
    edited[rows, place[rows]] = np.where((slip[rows] == _LOOKALIKE) & (alike != hit), alike, near)
    return pa.array(edited.view(f"U{width}").reshape(count), pa.string())


def _to_letters(values: pa.Array) -> npt.NDArray[np.uint32]:
    """Return the texts as rows of code points, filled up with zeros, with room for two more at the end."""
    width = (pc.max(pc.utf8_length(values)).as_py() or 0) + 2
    texts = np.array(values.to_pylist(), dtype=f"U{width}")
    return texts.view(np.uint32).reshape(len(values), width)


def _mishear(values: pa.Array, rng: np.random.Generator) -> pa.Array:
    heard = values
    for sound, written in SOUNDS:
        untouched = pc.equal(heard, values)
        coin = pa.array(rng.random(len(values)) < 0.5)
        other = pc.replace_substring(values, sound, written, max_replacements=1)
        heard = pc.if_else(pc.and_(untouched, coin), other, heard)
    return heard


@cache
def _neighbours() -> npt.NDArray[np.uint32]:
    """Return for each code point four that a finger hits instead; the keys next to it, or common letters."""
    table = np.tile(np.array([ord(letter) for letter in "eanr"], dtype=np.uint32), (_ALPHABET, 1))
    for row, below in zip(_KEYS, (*_KEYS[1:3], "", ""), strict=True):
        for i, key in enumerate(row):
            near = [*row[max(i - 1, 0) : i], *row[i + 1 : i + 2], *below[max(i - 1, 0) : i + 1]]
            keys = (near * 4)[:4]
            table[ord(key)] = [ord(letter) for letter in keys]
            table[ord(key.upper())] = [ord(letter.upper()) for letter in keys]
    return table


@cache
def _lookalikes() -> npt.NDArray[np.uint32]:
    """Return for each code point the one that it is misread as; itself if there is none."""
    table = np.arange(_ALPHABET, dtype=np.uint32)
    for group in _LOOKALIKES:
        for letter, other in zip(group, group[1:] + group[:1], strict=True):
            table[ord(letter)] = ord(other)
    return table


def _shorten(columns: Columns, faults: FaultRows) -> None:
    names = pa.array(NICKNAMES.keys(), pa.string())
    short = pa.array(NICKNAMES.values(), pa.string())
    _edit(
        columns, "first_name", faults["nickname"],
        lambda values: pc.coalesce(short.take(pc.index_in(values, names)), values),
    )  # fmt: skip
    _edit(columns, "first_name", faults["initial"], _to_initial)
    _edit(columns, "street", faults["abbreviate"], _abbreviate)


def _to_initial(values: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(pc.utf8_slice_codeunits(values, 0, 1), pa.repeat(".", len(values)), "")


def _abbreviate(values: pa.Array) -> pa.Array:
    for word, short in ABBREVIATIONS:
        values = pc.replace_substring(values, word, short)
    return values


def _strip_accents(values: pa.Array) -> pa.Array:
    bare = pc.replace_substring_regex(pc.utf8_normalize(values, "NFKD"), r"\p{Mn}", "")
    for letter, plain in (("ß", "ss"), ("ł", "l"), ("Ł", "L"), ("\u0131", "i")):
        bare = pc.replace_substring(bare, letter, plain)
    return bare


def _swap_day_month(values: pa.Array) -> pa.Array:
    """Return ISO dates with day and month swapped where the result is a date."""
    year, month, day = (pc.utf8_slice_codeunits(values, *ends) for ends in ((0, 5), (5, 7), (8, 10)))
    swapped = pc.binary_join_element_wise(year, day, pa.repeat("-", len(values)), month, "")
    return pc.if_else(pc.less_equal(day, "12"), swapped, values)


def _swap_names(columns: Columns, rows: Ints) -> None:
    first, last = columns["first_name"], columns["last_name"]
    columns["first_name"] = _put(first, rows, last.take(rows))
    columns["last_name"] = _put(last, rows, first.take(rows))


def _edit(columns: Columns, name: str, rows: Ints, change: Callable[[pa.Array], pa.Array]) -> None:
    """Replace what a column holds in `rows`, where it holds anything."""
    values = columns[name]
    filled = rows[values.take(rows).is_valid().to_numpy(zero_copy_only=False)]
    if len(filled):
        columns[name] = _put(values, filled, change(values.take(filled)))


def _put(values: pa.Array, rows: Ints, replacements: pa.Array) -> pa.Array:
    mask = np.zeros(len(values), dtype=np.bool_)
    mask[rows] = True
    return pc.replace_with_mask(values, pa.array(mask), replacements)


def _find_unchanged(columns: Columns, originals: Ints) -> Ints:
    same = np.arange(len(originals)) != originals
    for values in columns.values():
        original = values.take(originals)
        equal = pc.or_(pc.fill_null(pc.equal(values, original), False), pc.and_(values.is_null(), original.is_null()))
        same &= equal.to_numpy(zero_copy_only=False)
    return np.flatnonzero(same)
