"""The made-up people: the same for the same seed, of the size that was asked for, dirty in the ways that were meant."""

from __future__ import annotations

import collections
import datetime
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import DamerauLevenshtein

from glue_ml.errors import InputError
from glue_ml.synthetic import make_people, split_truth
from glue_ml.synthetic.faults import FAULTS, draw_faults, mistype
from glue_ml.synthetic.vocabulary import NICKNAMES, fold, read_locales

COLUMNS = [
    "customer_id", "first_name", "last_name", "street", "house_number", "city", "postcode", "state", "phone", "email",
    "date_of_birth", "entity_id",
]  # fmt: skip


@pytest.fixture(scope="module")
def people() -> pa.Table:
    return make_people(20_000, seed=3)


@pytest.fixture(scope="module")
def groups(people: pa.Table) -> list[list[dict[str, str | None]]]:
    """The records of every person who has more than one."""
    by_person: dict[int, list[dict[str, str | None]]] = collections.defaultdict(list)
    for row in people.to_pylist():
        by_person[row["entity_id"]].append(row)
    return [rows for rows in by_person.values() if len(rows) > 1]


def test_columns_are_strings_and_the_truth_a_long(people: pa.Table) -> None:
    assert people.column_names == COLUMNS
    assert [field.type for field in people.schema] == [pa.string()] * 11 + [pa.int64()]


def test_same_seed_gives_the_same_bytes() -> None:
    first, again = make_people(3_000, seed=11), make_people(3_000, seed=11)
    assert _serialize(first) == _serialize(again)


def test_other_seeds_give_other_people() -> None:
    one, other = (make_people(500, seed=seed).column("last_name").to_pylist() for seed in (1, 2))
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 50


@given(rows=st.integers(0, 400), share=st.floats(0, 0.5), seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_any_size_and_share_come_out_exactly(rows: int, share: float, seed: int) -> None:
    table = make_people(rows, seed=seed, duplicate_share=share)
    sizes = collections.Counter(table.column("entity_id").to_pylist())
    assert table.num_rows == rows
    assert rows - len(sizes) == round(rows * share)
    assert max(sizes.values(), default=1) <= 5
    assert len(set(table.column("customer_id").to_pylist())) == rows


@pytest.mark.parametrize(("rows", "share"), [(-1, 0.3), (10**9, 0.3), (10, -0.1), (10, 0.51), (10, float("nan"))])
def test_impossible_sizes_and_shares_are_refused(rows: int, share: float) -> None:
    with pytest.raises(InputError, match="must be 0 to"):
        make_people(rows, seed=0, duplicate_share=share)


def test_groups_have_two_to_five_records(groups: list[list[dict[str, str | None]]]) -> None:
    sizes = collections.Counter(map(len, groups))
    assert set(sizes) == {2, 3, 4, 5}
    assert sizes[2] > sizes[3] > sizes[4] > sizes[5]


def test_neither_order_nor_ids_tell_who_is_who(people: pa.Table) -> None:
    entity = people.column("entity_id").to_numpy()
    neighbours = np.count_nonzero(entity[1:] == entity[:-1])
    assert neighbours < 10
    by_id = entity[pc.sort_indices(people.column("customer_id")).to_numpy()]
    assert np.count_nonzero(by_id[1:] == by_id[:-1]) < 10
    assert abs(np.corrcoef(np.arange(len(entity)), entity)[0, 1]) < 0.05
    assert abs(np.corrcoef(np.arange(len(entity)), by_id)[0, 1]) < 0.05


def test_split_truth_keeps_the_truth_apart(people: pa.Table) -> None:
    customers, truth = split_truth(people)
    assert customers.column_names == COLUMNS[:-1]
    assert truth.column_names == ["customer_id", "entity_id"]
    assert truth.column("customer_id") == people.column("customer_id")


def test_no_two_records_of_a_pair_are_equal(groups: list[list[dict[str, str | None]]]) -> None:
    pairs = [rows for rows in groups if len(rows) == 2]
    assert len(pairs) > 1_000
    for one, other in pairs:
        assert any(one[name] != other[name] for name in COLUMNS[1:-1])


def test_records_of_a_person_have_much_in_common(groups: list[list[dict[str, str | None]]]) -> None:
    equal = [sum(one[name] == other[name] for name in COLUMNS[1:-1]) for one, other, *_ in groups]
    assert np.mean(equal) > 6


@pytest.mark.parametrize("column", ["first_name", "street", "city", "phone", "email", "date_of_birth"])
def test_values_go_missing_in_later_records(groups: list[list[dict[str, str | None]]], column: str) -> None:
    lost = sum(1 for rows in groups if len({row[column] is None for row in rows}) == 2)
    assert lost > 20


def test_every_kind_of_fault_is_there(groups: list[list[dict[str, str | None]]]) -> None:
    seen: collections.Counter[str] = collections.Counter()
    for one, other, *_ in groups:
        first, last = (one["first_name"], other["first_name"]), (one["last_name"], other["last_name"])
        if None in first or None in last:
            continue
        seen["swapped"] += first[0] == last[1] and last[0] == first[1] and first[0] != first[1]
        seen["nickname"] += any(NICKNAMES.get(str(a)) == b for a, b in (first, first[::-1]))
        seen["initial"] += any(re.fullmatch(r"\w\.", str(name)) is not None for name in first)
        seen["upper case"] += str(last[0]).upper() == last[1] or str(last[1]).upper() == last[0]
        distance = DamerauLevenshtein.distance(str(last[0]), str(last[1]))
        seen["typed"] += distance == 1
        seen["renamed"] += distance > 4 and fold(str(first[0])) == fold(str(first[1]))
        seen["moved"] += (
            len({(row["street"], row["city"], row["postcode"]) for row in (one, other)}) == 2
            and (one["postcode"] or "?")[:2] != (other["postcode"] or "?")[:2]
        )
        seen["phone rewritten"] += _digits(one["phone"])[-10:] == _digits(other["phone"])[-10:] and (
            one["phone"] != other["phone"]
        )
        born = (one["date_of_birth"], other["date_of_birth"])
        seen["day and month"] += None not in born and _swap(str(born[0])) == born[1] != born[0]
        seen["abbreviated"] += any("St." in str(row["street"]) or "str." in str(row["street"]) for row in (one, other))
    expected = {"swapped", "nickname", "initial", "upper case", "typed", "renamed", "moved", "phone rewritten",
                "day and month", "abbreviated"}  # fmt: skip
    assert {name for name, count in seen.items() if count >= 10} == expected


def test_there_are_hard_negatives(people: pa.Table) -> None:
    homes: dict[tuple[str | None, ...], set[tuple[int, str | None]]] = collections.defaultdict(set)
    twins: dict[tuple[str | None, ...], set[int]] = collections.defaultdict(set)
    for row in people.to_pylist():
        home = (row["last_name"], row["street"], row["house_number"], row["postcode"])
        homes[home].add((row["entity_id"], row["first_name"]))
        twins[(*home, row["date_of_birth"])].add(row["entity_id"])
    several = [{entity for entity, _ in members} for members in homes.values()]
    assert sum(len(entities) > 1 for entities in several) > 1_000
    assert sum(len(entities) > 1 for key, entities in twins.items() if key[-1] is not None) > 50


def test_dates_are_dates(people: pa.Table) -> None:
    born = [datetime.date.fromisoformat(text) for text in people.column("date_of_birth").drop_null().to_pylist()]
    assert min(born).year >= 1925
    assert max(born).year <= 2018


def test_formats_follow_the_language(people: pa.Table) -> None:
    postcodes = [re.sub(r"\d", "9", re.sub(r"[A-Z]", "A", text)) for text in people["postcode"].drop_null().to_pylist()]
    assert set(postcodes) == {locale.postcode for locale in read_locales()}
    phones = people.column("phone").drop_null().to_pylist()
    assert all(10 <= len(_digits(text)) <= 13 for text in phones)
    emails = people.column("email").drop_null().to_pylist()
    assert np.mean([re.fullmatch(r"[a-z0-9._]+@[a-z]+\.example", text) is not None for text in emails]) > 0.95


def test_names_are_many_and_some_are_common(people: pa.Table) -> None:
    last = collections.Counter(people.column("last_name").to_pylist())
    assert len(last) > 1_000
    assert last.most_common(1)[0][1] > 100
    assert any(not name.isascii() for name in last)


def test_faults_are_one_to_four_and_different() -> None:
    rows = np.arange(1_000, 5_000)
    faults = draw_faults(rows, np.random.default_rng(0))
    counts = np.zeros(5_000, dtype=np.int64)
    for name in FAULTS:
        assert (np.diff(faults[name]) > 0).all()
        counts[faults[name]] += 1
    assert set(counts[rows]) == {1, 2, 3, 4}
    assert not counts[:1_000].any()
    assert len(faults["missing"]) > 3 * len(faults["last_name"])


@given(st.lists(st.text("abcdefghijklmnopqrstuvwxyzäöüßłşĞéÉ ABZ-", min_size=1, max_size=30), min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_mistyping_is_one_slip(words: list[str]) -> None:
    typed = mistype(pa.array(words, pa.string()), np.random.default_rng(1)).to_pylist()
    for word, slip in zip(words, typed, strict=True):
        # a misheard sound changes up to three letters into up to two
        assert DamerauLevenshtein.distance(word, slip) <= 3
        assert slip


def test_locales_hold_the_words_that_are_promised() -> None:
    locales = read_locales()
    assert sum(locale.share for locale in locales) == pytest.approx(1.0)
    for locale in locales:
        for words in (locale.first_names, locale.last_names, locale.streets, locale.cities):
            assert len(words) == len(set(words)) >= 40
            assert not any("_" in word or "~" in word or word != word.strip() for word in words)


def _digits(text: str | None) -> str:
    return re.sub(r"\D", "", text or "")


def _swap(date: str) -> str:
    year, month, day = date.split("-")
    return f"{year}-{day}-{month}"


def _serialize(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())
