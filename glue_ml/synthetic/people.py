"""People, their households and their repeated records, drawn as numbers first and written out as text at the end.

A person is one position in a set of integer arrays (which first name, which street, how many days after 1970 born).
So a million of them take seconds, and a later record of a person who moved differs in a few numbers only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from glue_ml.errors import InputError
from glue_ml.synthetic.faults import Columns, FaultRows, corrupt_text, draw_faults
from glue_ml.synthetic.vocabulary import MAIL_DOMAINS, MAIL_WORDS, fold, read_locales

Ints = npt.NDArray[np.int64]
Codes = dict[str, Ints]

KEY = "customer_id"
ENTITY_ID = "entity_id"
MAX_DUPLICATE_SHARE = 0.5
MAX_ROWS = 10**8  #: As many customer ids as there are.
WRITTEN_AT_ONCE = 1_000_000  #: Rows.

_BORN = (-14_600, 13_800)  #: Days after 1970: from 1930 to 2007.
_ADDRESS = ("street", "house", "city", "local")
_EXTRA_RECORDS = (0.62, 0.23, 0.10, 0.05)  #: Shares of people with 1, 2, 3 or 4 records besides the first.
_PHONE_STYLES = (
    (True, " 999 9999999"), (False, "999/9999999"), (False, "999 999 99 99"), (True, "9999999999"),
    (False, "999-999-9999"), (True, " (0)999 999 9999"),
)  # fmt: skip
_MAIL_NONE, _MAIL_FULL, _MAIL_SHORT, _MAIL_TURNED, _MAIL_FANCY = range(5)
_MAIL_SHARES = (0.12, 0.40, 0.15, 0.13, 0.20)


@dataclass(frozen=True)
class _Words:
    """One kind of word in all languages: the language `i` has those from `bounds[i]` to `bounds[i + 1]`."""

    values: pa.StringArray
    folded: pa.StringArray
    bounds: Ints

    def draw(self, locale: Ints, rng: np.random.Generator) -> Ints:
        """Draw a word for each language number; the k-th word is about 1/k as common as the first (Zipf)."""
        chosen = np.zeros_like(locale)
        level = rng.random(len(locale))
        for number, (start, stop) in enumerate(zip(self.bounds[:-1], self.bounds[1:], strict=True)):
            shares = np.cumsum(1.0 / (np.arange(stop - start) + 4.0))
            mine = locale == number
            chosen[mine] = start + np.searchsorted(shares / shares[-1], level[mine], side="right")
        return chosen


def make_people(rows: int, *, seed: int, duplicate_share: float = 0.3) -> pa.Table:
    """Return `rows` customer records in random order; that share of them are further records of a person.

    A person has 1 to 5 records; each after the first has 1 to 4 faults. All columns are strings but `entity_id` (long),
    which says who is who. The same arguments give the same table. Cost: about 10 s for a million rows.
    Raises InputError.
    """
    if not 0 <= rows <= MAX_ROWS:
        raise InputError(f"the number of rows must be 0 to {MAX_ROWS}, not {rows}")
    if not 0.0 <= duplicate_share <= MAX_DUPLICATE_SHARE:
        raise InputError(f"the share of duplicates must be 0 to {MAX_DUPLICATE_SHARE}, not {duplicate_share}")
    rng = np.random.default_rng(seed)
    copies = round(rows * duplicate_share)
    people = rows - copies
    entity = np.concatenate([np.arange(people), _draw_repeated(people, copies, rng)])
    codes = {name: values[entity] for name, values in _draw_people(people, rng).items()}
    faults = draw_faults(np.arange(people, rows), rng)
    _age_records(codes, faults, rng)
    columns = _write_out(codes)
    corrupt_text(columns, faults, originals=entity, rng=rng)
    return _shuffle(columns, entity, rng)


def split_truth(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the table as the engine may see it, and the truth: the key and the `entity_id` of every row."""
    return table.drop_columns([ENTITY_ID]), table.select([KEY, ENTITY_ID])


def _draw_repeated(people: int, copies: int, rng: np.random.Generator) -> Ints:
    """Return the person of each further record, 1 to 4 for each person who has any."""
    extra = rng.choice(len(_EXTRA_RECORDS), size=copies, p=_EXTRA_RECORDS) + 1
    repeated = rng.permutation(people)[:copies]
    return np.repeat(repeated, extra[: len(repeated)])[:copies]


def _draw_people(count: int, rng: np.random.Generator) -> Codes:
    locales = read_locales()
    shares = np.cumsum([locale.share for locale in locales])
    locale = np.searchsorted(shares / shares[-1], rng.random(count), side="right")
    joins = rng.random(count) < 0.3
    joins[:1] = False
    leader = np.maximum.accumulate(np.where(joins, 0, np.arange(count)))
    codes: Codes = {"locale": locale[leader]}
    codes["first"] = _words("first_names").draw(codes["locale"], rng)
    codes["last"] = _words("last_names").draw(codes["locale"], rng)
    codes["born"] = rng.integers(*_BORN, size=count)
    codes["known"] = rng.integers(0, 1000, size=count)
    codes |= _draw_contacts(codes["locale"], rng)
    _form_households(codes, joins, leader, rng)
    return codes


def _draw_contacts(locale: Ints, rng: np.random.Generator) -> Codes:
    count = len(locale)
    return {
        "street": _words("streets").draw(locale, rng),
        "house": np.minimum(rng.geometric(0.025, size=count), 400) * 8 + rng.integers(0, 8, size=count),
        "city": _words("cities").draw(locale, rng),
        "local": rng.integers(0, 10_000, size=count),
        "phone": rng.integers(0, 10**7, size=count),
        "style": rng.integers(0, len(_PHONE_STYLES), size=count),
        "mail": rng.choice(len(_MAIL_SHARES), size=count, p=_MAIL_SHARES),
        "domain": np.minimum(rng.geometric(0.3, size=count), len(MAIL_DOMAINS)) - 1,
        "tail": rng.integers(0, 10_000, size=count),
    }


def _form_households(codes: Codes, joins: npt.NDArray[np.bool_], leader: Ints, rng: np.random.Generator) -> None:
    """Let those who join live with their leader: spouses, twins, and children named after a parent."""
    chance = rng.random(len(leader))
    twin, namesake, related = joins & (chance < 0.06), joins & (chance > 0.94), joins & (chance < 0.85)
    for name in _ADDRESS:
        codes[name] = codes[name][leader]
    codes["last"] = np.where(related | namesake, codes["last"][leader], codes["last"])
    codes["born"] = np.where(twin, codes["born"][leader], codes["born"])
    years = 365 * rng.integers(20, 36, size=len(leader))
    generation = codes["born"][leader] + np.where(codes["born"][leader] + years < _BORN[1], years, -years)
    codes["born"] = np.where(namesake, generation, codes["born"])
    codes["phone"] = np.where(rng.random(len(leader)) < 0.3, codes["phone"][leader], codes["phone"])
    bounds = _words("first_names").bounds
    same = twin & (codes["first"] == codes["first"][leader])
    step = np.where(codes["first"] + 1 < bounds[codes["locale"] + 1], 1, -1)
    codes["first"] = np.where(namesake, codes["first"][leader], codes["first"] + same * step)


def _age_records(codes: Codes, faults: FaultRows, rng: np.random.Generator) -> None:
    """Change what is another number in a later record: people move, marry, get a new phone; digits are misread."""
    newer = _draw_contacts(codes["locale"], rng)
    moved, renamed, rewritten = faults["move"], faults["last_name"], faults["phone_format"]
    for name in _ADDRESS:
        codes[name][moved] = newer[name][moved]
    codes["phone"][moved] = np.where(rng.random(len(moved)) < 0.6, newer["phone"][moved], codes["phone"][moved])
    codes["last"][renamed] = _words("last_names").draw(codes["locale"][renamed], rng)
    for name in ("mail", "domain", "tail"):
        codes[name][faults["new_email"]] = newer[name][faults["new_email"]]
    codes["style"][rewritten] += rng.integers(1, len(_PHONE_STYLES), size=len(rewritten))
    codes["style"] %= len(_PHONE_STYLES)
    _slip_digit(codes["phone"], faults["phone_digit"], digits=7, rng=rng)
    _slip_digit(codes["local"], faults["postcode_digit"], digits=4, rng=rng)
    slips = np.array([-366, -365, -31, -30, -10, -1, 1, 10, 30, 31, 365, 366, 3653])
    codes["born"][faults["date_digit"]] += rng.choice(slips, size=len(faults["date_digit"]))


def _slip_digit(values: Ints, rows: Ints, *, digits: int, rng: np.random.Generator) -> None:
    unit = 10 ** rng.integers(0, digits, size=len(rows))
    digit = values[rows] // unit % 10
    values[rows] += ((digit + rng.integers(1, 10, size=len(rows))) % 10 - digit) * unit


@cache
def _words(kind: str) -> _Words:
    lists: list[tuple[str, ...]] = [getattr(locale, kind) for locale in read_locales()]
    words = [word for words in lists for word in words]
    bounds = np.cumsum([0, *map(len, lists)])
    return _Words(pa.array(words, pa.string()), pa.array([fold(word) for word in words], pa.string()), bounds)


def _write_out(codes: Mapping[str, Ints]) -> Columns:
    """Return the records as text, some at a time: what is written on the way is many times what it comes to."""
    starts = range(0, max(len(codes["locale"]), 1), WRITTEN_AT_ONCE)
    parts = [_write({name: values[at : at + WRITTEN_AT_ONCE] for name, values in codes.items()}) for at in starts]
    return {name: pa.concat_arrays([part[name] for part in parts]) for name in parts[0]}


def _write(codes: Mapping[str, Ints]) -> Columns:
    """Return the records as text, null where something was never known."""
    locale, known, house = codes["locale"], codes["known"], codes["house"]
    letters = pa.array(["a", "b", "c", "", "", "", "", ""])
    number, letter = house // 8, np.where(house % 40 < 3, house % 8, 7)
    return {
        "first_name": _words("first_names").values.take(codes["first"]),
        "last_name": _words("last_names").values.take(codes["last"]),
        "street": _words("streets").values.take(codes["street"]),
        "house_number": pc.binary_join_element_wise(pa.array(number).cast(pa.string()), letters.take(letter), ""),
        "city": _words("cities").values.take(codes["city"]),
        "postcode": _write_postcodes(codes),
        "state": _blank(_write_states(locale, codes["city"]), known % 10 == 0),
        "phone": _blank(_write_phones(codes), known % 12 == 1),
        "email": _write_emails(codes),
        "date_of_birth": _blank(pa.array(codes["born"].astype("datetime64[D]")).cast(pa.string()), known % 20 == 2),
    }


def _write_states(locale: Ints, city: Ints) -> pa.Array:
    lists = [one.states for one in read_locales()]
    starts = np.cumsum([0, *map(len, lists)])
    width = np.diff(starts)
    return pa.array([state for states in lists for state in states]).take(starts[locale] + city % width[locale])


def _write_postcodes(codes: Mapping[str, Ints]) -> pa.Array:
    templates = [locale.postcode for locale in read_locales()]
    digits = _split_digits(codes["city"] * 7919 % 1000 * 10_000 + codes["local"], 7)
    return _by_case(codes["locale"], lambda case, rows: _fill(templates[case], digits[rows]), len(templates))


def _write_phones(codes: Mapping[str, Ints]) -> pa.Array:
    """A landline's area goes by the city."""
    digits = _split_digits((codes["city"] * 37 % 900 + 100) * 10**7 + codes["phone"], 10)
    calling = pa.array([f"+{locale.calling_code}" for locale in read_locales()])

    def write(style: int, rows: Ints) -> pa.Array:
        international, template = _PHONE_STYLES[style]
        prefix = calling.take(codes["locale"][rows]) if international else pa.repeat("0", len(rows))
        return pc.binary_join_element_wise(prefix, _fill(template, digits[rows]), "")

    return _by_case(codes["style"], write, len(_PHONE_STYLES))


def _write_emails(codes: Mapping[str, Ints]) -> pa.Array:
    first, last = (_words(kind).folded for kind in ("first_names", "last_names"))
    fancy, domains = pa.array(MAIL_WORDS), pa.array(MAIL_DOMAINS)

    def write(kind: int, rows: Ints) -> pa.Array:
        if kind == _MAIL_NONE:
            return pa.nulls(len(rows), pa.string())
        name, family = first.take(codes["first"][rows]), last.take(codes["last"][rows])
        tail = codes["tail"][rows]
        number = pa.array(tail % 100).cast(pa.string())
        at = pc.binary_join_element_wise(pa.repeat("@", len(rows)), domains.take(codes["domain"][rows]), "")
        if kind == _MAIL_FULL:
            parts = [name, pa.repeat(".", len(rows)), family]
        elif kind == _MAIL_SHORT:
            parts = [pc.utf8_slice_codeunits(name, 0, 1), family, number]
        elif kind == _MAIL_TURNED:
            parts = [family, pa.repeat("_", len(rows)), name]
        else:
            parts = [fancy.take(tail // 100 % len(fancy)), fancy.take(tail % len(fancy)), number]
        return pc.binary_join_element_wise(*parts, at, "")

    return _by_case(codes["mail"], write, len(_MAIL_SHARES))


def _by_case(cases: Ints, write: Callable[[int, Ints], pa.Array], count: int) -> pa.Array:
    """Write the rows of each case together and put the results back in order."""
    order = np.argsort(cases, kind="stable")
    written = [write(case, np.flatnonzero(cases == case)) for case in range(count)]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return pa.concat_arrays(written).take(place)


def _split_digits(values: Ints, digits: int) -> Ints:
    return values[:, None] // 10 ** np.arange(digits - 1, -1, -1) % 10


def _fill(template: str, digits: Ints) -> pa.Array:
    """Return the template with a digit in the place of each 9 and a letter in the place of each A, for every row."""
    letters = np.empty((len(digits), len(template)), dtype=np.uint32)
    used = 0
    for place, sign in enumerate(template):
        if sign == "9":
            letters[:, place] = ord("0") + digits[:, used]
        else:
            letters[:, place] = ord("A") + 2 * digits[:, used] if sign == "A" else ord(sign)
        used += sign in "9A"
    return pa.array(letters.view(f"U{len(template)}").reshape(-1), pa.string())


def _blank(values: pa.Array, mask: npt.NDArray[np.bool_]) -> pa.Array:
    return pc.if_else(pa.array(mask), pa.scalar(None, pa.string()), values)


def _shuffle(columns: Columns, entity: Ints, rng: np.random.Generator) -> pa.Table:
    """Put the rows in random order under ids that follow neither their old order nor the new one."""
    rows = len(entity)
    numbers = np.arange(rows) * 73_687_877 % MAX_ROWS
    keys = pc.binary_join_element_wise(
        pa.repeat("C", rows), pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 8, "0"), ""
    )
    order = rng.permutation(rows)
    shuffled = {name: values.take(order) for name, values in columns.items()}
    return pa.table({KEY: keys, **shuffled, ENTITY_ID: pa.array(entity[order], pa.int64())})
