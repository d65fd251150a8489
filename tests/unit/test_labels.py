from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_ml.domain.labels import (
    LabeledPair,
    LabeledRow,
    LabelFile,
    check_both_classes,
    check_known_keys,
    check_set_sizes,
    contradictions,
    distinguish_sets,
    export_name,
    label_constraints,
    labeled_pairs,
    merge_rows,
    parse_labels,
    render_labels,
)
from glue_ml.errors import ErrorKind, LabelError

COLUMNS = ("id", "name", "city")
HEADER = "labeling_set_id,label,id,name,city\n"


def parse(
    data: str | bytes, *, columns: Sequence[str] = COLUMNS, primary_key: str = "id", limit_mb: int = 10
) -> LabelFile:
    encoded = data.encode() if isinstance(data, str) else data
    return parse_labels(encoded, primary_key=primary_key, columns=columns, limit_mb=limit_mb)


def rows_of(text: str) -> list[LabeledRow]:
    """Make rows from `set:label:key` words."""
    return [LabeledRow(set_id, label, key) for set_id, label, key in (word.split(":") for word in text.split())]


class TestParsing:
    def test_reads_rows_attributes_lines_and_blank_labels(self) -> None:
        file = parse(HEADER + "1,A,k1,Ann,\n1,a,k2,,Bern\n\n2, ,k3,Zoë,Ulm\n2,,k4,,\n2,B,k3,x,y\n")
        assert file.rows == (
            LabeledRow("1", "A", "k1", {"name": "Ann", "city": None}),
            LabeledRow("1", "a", "k2", {"name": None, "city": "Bern"}),
            LabeledRow("2", "B", "k3", {"name": "x", "city": "y"}),
        )
        assert [row.line for row in file.rows] == [2, 3, 7]
        assert (file.columns, file.blank) == (COLUMNS, 2)

    @pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    @pytest.mark.parametrize("at_end", [True, False])
    def test_takes_every_line_break_with_and_without_byte_order_mark(
        self, line_break: str, mark: bytes, at_end: bool
    ) -> None:
        text = HEADER + "1,A,ä,n,c\n1,A,b,n,"
        data = mark + (text + "\n" * at_end).replace("\n", line_break).encode()
        assert [(row.key, row.line) for row in parse(data).rows] == [("ä", 2), ("b", 3)]

    def test_binds_the_first_two_columns_by_position_and_the_rest_by_name(self) -> None:
        columns = ("id", "label", "labeling_set_id")
        file = parse("labeling_set_id,label,label,id,labeling_set_id\n1,A,own,k,s\n", columns=columns)
        assert file.rows == (LabeledRow("1", "A", "k", {"label": "own", "labeling_set_id": "s"}),)
        assert file.columns == ("label", "id", "labeling_set_id")

    def test_takes_the_key_column_alone_even_if_it_is_called_label(self) -> None:
        file = parse("labeling_set_id,label,label\n1,A,k\n", columns=("label", "name"), primary_key="label")
        assert file.rows == (LabeledRow("1", "A", "k", {}),)

    def test_keeps_quoted_commas_quotes_and_line_breaks_and_counts_physical_lines(self) -> None:
        file = parse(HEADER + '1,A,"k,1","say ""hi""","a\nb\r\nc"\n1,B,k2,it"s,=1+1\n')
        assert file.rows[0] == LabeledRow("1", "A", "k,1", {"name": 'say "hi"', "city": "a\nb\r\nc"})
        assert file.rows[1] == LabeledRow("1", "B", "k2", {"name": 'it"s', "city": "=1+1"})
        assert [row.line for row in file.rows] == [2, 5]

    def test_takes_a_cell_over_the_limit_of_the_csv_module_and_leaves_that_alone(self) -> None:
        before = csv.field_size_limit()
        cell = 'x"' * 500_000
        data = HEADER + f'1,A,k,"{cell.replace(chr(34), chr(34) * 2)}",c\n'
        assert parse(data).rows[0].attributes["name"] == cell
        assert csv.field_size_limit() == before

    def test_skips_lines_without_any_content(self) -> None:
        assert len(parse("\n" + HEADER + ",,,,\n , \n1,A,k,n,c\n,,,,\n").rows) == 1

    @pytest.mark.parametrize("name", ["a.b", "`", '"', "😀", "match_id", " ", "two\nlines", "labeling_set_id"])
    def test_takes_any_column_name(self, name: str) -> None:
        rows = [LabeledRow("1", "A", "k", {name: "v"})]
        assert parse(render_labels(rows, primary_key="id", columns=["id", name]), columns=["id", name]).rows == tuple(
            rows
        )

    @settings(deadline=None)
    @given(
        st.lists(st.lists(st.text(alphabet='ab,"\n\r \u2028\x0bé😀', max_size=6), min_size=3, max_size=3), min_size=1)
    )
    def test_splits_cells_and_lines_as_the_csv_module_does(self, cells: list[list[str]]) -> None:
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        rows = [[str(i), "A", f"k{row[0]}", *row[1:]] for i, row in enumerate(cells)]
        writer.writerows([[*HEADER.strip().split(",")], *rows])
        reader = csv.reader(io.StringIO(buffer.getvalue(), newline=""), strict=True)
        lines = [1 + reader.line_num for _ in reader][:-1]
        file = parse(buffer.getvalue())
        assert [(r.labeling_set_id, r.label, r.key) for r in file.rows] == [tuple(row[:3]) for row in rows]
        assert [list(r.attributes.values()) for r in file.rows] == [[v or None for v in row[3:]] for row in rows]
        assert [r.line for r in file.rows] == lines

    @settings(deadline=None)
    @given(st.text(alphabet='ab1,;"\n\r\t', max_size=40), st.binary(max_size=20))
    def test_answers_anything_with_rows_or_a_label_error(self, text: str, data: bytes) -> None:
        for content in (text.encode(), HEADER.encode() + text.encode(), data, HEADER.encode() + data):
            with suppress(LabelError):
                assert isinstance(parse(content), LabelFile)

    def test_reads_thousands_of_rows(self) -> None:
        data = HEADER + "".join(f'{i // 10},{i % 3},k{i},"name, {i}",city\n' for i in range(10_000))
        assert len(parse(data).rows) == 10_000


TOO_LONG = HEADER + "".join(f"big,A,{i},,\n" for i in range(51))

BROKEN: dict[str, tuple[str | bytes, int | None, str]] = {
    "no bytes": (b"", None, "Invalid label file of size 0: the file is empty."),
    "blank lines only": ("\n \n", None, "blank lines only"),
    "header only": (HEADER, None, "has a header but no rows"),
    "utf-16": (HEADER.encode("utf-16"), None, "is UTF-16. Save it as CSV in UTF-8"),
    "nul byte": (HEADER + "1,A,\0,n,c\n", 2, r"NUL byte \(byte 40\)"),
    "cp1252": (HEADER.encode() + "1,A,k,Zoë,c\n".encode("cp1252"), 2, r"byte 44 \(0xeb\).*cp1252 \(Windows-1252\)"),
    "no known encoding": (
        b"\xef\xbb\xbf" + HEADER.encode() + b"1,A,k,n,c\n1,B,\x81,,\n",
        3,
        r"byte 53 \(0x81\).*UTF-8",
    ),
    "header missing": ("1,A,k,n,c\n", 1, "must be labeling_set_id and label, the header begins with '1' and 'A'"),
    "header swapped": ("label,labeling_set_id,id\nA,1,k\n", 1, "must be labeling_set_id and label"),
    "header of one column": ("\nid\n1\n", 2, "begins with 'id'"),
    "semicolons": ("labeling_set_id;label;id\n1;A;k\n", 1, "by commas, not by semicolons"),
    "tabs": ("labeling_set_id\tlabel\tid\n1\tA\tk\n", 1, "by commas, not by tabs"),
    "column twice": ("labeling_set_id,label,id,name,name\n1,A,k,n,n\n", 1, "names 'name' more than once"),
    "key column missing": ("labeling_set_id,label,name\n1,A,n\n", 1, "lacks the primary key 'id'"),
    "unknown columns": ("labeling_set_id,label,id,zip,age\n1,A,k,z,9\n", 1, "names 'age', 'zip', which the table"),
    "column without a name": ("labeling_set_id,label,id,\n1,A,k,\n", 1, "names '', which the table"),
    "blank key": (HEADER + "1,A,k,n,c\n1,A, ,n,c\n", 3, "blank primary key 'id'"),
    "blank set": (HEADER + " ,A,k,n,c\n", 2, "blank labeling_set_id"),
    "too few cells": (HEADER + '1,A,k,"n\nm",c\n1,A,l,n\n', 4, "too few cells: the header has 5, this row 4"),
    "too many cells": (HEADER + "1,A,l,n,c,d\n", 2, "too many cells: the header has 5, this row 6"),
    "too few cells, blank label": (HEADER + "1,,l\n", 2, "too few cells"),
    "open quote": (HEADER + '1,A,k,n,c\n1,A,l,"n,c\n1,A,m,n,c\n', 3, "opened and never closed"),
    "open quote at the end": (HEADER + '1,A,k,n,"', 2, "opened and never closed"),
    "text after a quote": (HEADER + '1,A,k,"n"x,c\n', 2, "goes on after its closing quote"),
    "backslash quote": (HEADER + '1,A,k,"say \\"hi\\"",c\n', 2, "goes on after its closing quote"),
    "key twice in a set": (
        HEADER + "1,A,k,,\n2,A,k,,\n1,B,k,,\n",
        4,
        "'k' is twice in the labelling set '1', first on line 2",
    ),
    "set too large": (TOO_LONG, 2, "set 'big', which starts here, has 51 rows; at most 50"),
}


class TestBrokenFiles:
    @pytest.mark.parametrize("case", BROKEN)
    def test_names_the_line_the_fault_and_what_to_do(self, case: str) -> None:
        data, line, message = BROKEN[case]
        with pytest.raises(LabelError, match=message) as caught:
            parse(data)
        assert caught.value.line == line
        assert caught.value.kind is ErrorKind.INPUT
        text = str(caught.value)
        assert text.startswith(f"line {line}: ") if line else not text.startswith("line")
        assert "\n" not in text
        assert re.search(r"[.:] [A-Z]|\. ", text)

    def test_says_how_far_it_is_over_the_limit(self) -> None:
        data = HEADER + "1,A,k,n,c\n" + " " * (2 * 1024 * 1024)
        message = re.escape("Label file has exceeded the limit of 2 MB: it has 2.0 MB. Split it")
        with pytest.raises(LabelError, match=message):
            parse(data, limit_mb=2)
        assert len(parse(data, limit_mb=3).rows) == 1

    def test_takes_a_set_of_fifty_rows_and_more_with_blank_labels(self) -> None:
        assert len(parse(TOO_LONG.replace("big,A,50", "big,,50")).rows) == 50

    def test_ignores_blank_labels_before_it_looks_at_set_and_key(self) -> None:
        assert parse(HEADER + ",,k,n,c\n1,,,n,c\n1,A,k,,\n1, ,k,,\n").blank == 3

    def test_cuts_what_it_quotes(self) -> None:
        with pytest.raises(LabelError) as caught:
            parse(HEADER + f"1,A,{'k' * 100_000},,\n" * 2)
        assert len(str(caught.value)) < 300


class TestChecks:
    def test_unknown_keys_are_named_with_line_and_number_of_others(self) -> None:
        rows = parse(HEADER + "1,A,k,,\n1,B,l,,\n1,B,m,,\n2,B,l,,\n").rows
        check_known_keys(rows, {"k", "l", "m"})
        check_known_keys(rows, ["k", "l", "m", "n"])
        with pytest.raises(
            LabelError, match=r"line 3: The key 'l' does not occur in the table, nor does 1 other key\."
        ):
            check_known_keys(rows, {"k"})
        with pytest.raises(LabelError, match=r"line 2: The key 'k' does not occur in the table, nor do 2 other keys\."):
            check_known_keys(rows, ())
        with pytest.raises(LabelError, match=r"line 4: The key 'm' does not occur in the table\."):
            check_known_keys(rows, {"k", "l"})

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("", "no pair"),
            ("1:A:a 2:A:b 3:B:c", "no pair"),
            ("1:A:a 1::b", "no pair"),
            ("1:A:a 1:A:b 2:B:a 2:B:c", "matches only, no non-match"),
            ("1:A:a 1:a:b 2:B:a 2:C:c", "non-matches only, no match"),
        ],
    )
    def test_one_class_is_not_enough(self, words: str, message: str) -> None:
        with pytest.raises(LabelError, match=message):
            check_both_classes(rows_of(words))

    def test_both_classes_may_be_in_different_sets(self) -> None:
        check_both_classes(rows_of("1:A:a 1:A:b 2:A:a 2:B:c"))

    def test_set_size(self) -> None:
        rows = [LabeledRow("s", "A", str(i)) for i in range(51)]
        check_set_sizes(rows[1:])
        with pytest.raises(LabelError, match="'s' would have 51 rows"):
            check_set_sizes(rows)


words = st.lists(st.tuples(st.sampled_from("12345"), st.sampled_from("AB"), st.sampled_from("abcdef")), max_size=25)


class TestPairs:
    def test_same_label_matches_different_label_does_not_and_sets_are_apart(self) -> None:
        assert labeled_pairs(rows_of("1:A:b 1:A:a 1:B:c 2:A:d 2:A:a")) == [
            LabeledPair("1", "a", "b", True),
            LabeledPair("1", "a", "c", False),
            LabeledPair("2", "a", "d", True),
            LabeledPair("1", "b", "c", False),
        ]

    def test_blank_labels_say_nothing(self) -> None:
        rows = [
            LabeledRow("1", None, "a"),
            LabeledRow("1", " ", "b"),
            LabeledRow("1", None, "c"),
            LabeledRow("1", "A", "d"),
        ]
        assert labeled_pairs(rows) == []

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ("1:A:a 1:A:b 2:A:a 2:B:b 3:C:a 3:C:b", LabeledPair("3", "a", "b", True)),
            ("1:A:a 1:A:b 2:C:a 2:C:b 3:A:a 3:B:b", LabeledPair("2", "a", "b", True)),
            ("1:A:a 1:A:b 2:A:a 2:B:b", LabeledPair("2", "a", "b", False)),
            ("2:A:a 2:B:b 1:A:a 1:A:b", LabeledPair("1", "a", "b", True)),
            ("1:A:a 2:A:a 2:B:b 1:A:b", LabeledPair("1", "a", "b", True)),
        ],
    )
    def test_majority_wins_and_the_later_row_breaks_ties(self, words: str, expected: LabeledPair) -> None:
        assert labeled_pairs(rows_of(words)) == [expected]

    @settings(deadline=None)
    @given(words)
    def test_equals_the_definition(self, words: list[tuple[str, str, str]]) -> None:
        rows = [LabeledRow(*word) for word in words]
        expected: dict[tuple[str, str], list[tuple[tuple[int, int], bool]]] = {}
        for (i, one), (j, other) in combinations(enumerate(rows), 2):
            if one.labeling_set_id == other.labeling_set_id and one.key != other.key:
                pair = (min(one.key, other.key), max(one.key, other.key))
                expected.setdefault(pair, []).append(((j, i), one.label == other.label))
        found = {(pair.left, pair.right): pair for pair in labeled_pairs(rows)}
        assert found.keys() == expected.keys()
        assert list(found) == sorted(found)
        for keys, votes in expected.items():
            for_match = sum(vote for _, vote in votes)
            latest = max(votes)[1]
            assert found[keys].is_match == (latest if 2 * for_match == len(votes) else 2 * for_match > len(votes))
            last = max(place for place, vote in votes if vote == found[keys].is_match)
            assert found[keys].labeling_set_id == rows[last[0]].labeling_set_id
        contradicted = {(c.pair.left, c.pair.right) for c in contradictions(rows)}
        assert contradicted == {keys for keys, votes in expected.items() if len({vote for _, vote in votes}) == 2}

    def test_contradictions_name_the_judgements_in_order(self) -> None:
        rows = rows_of("1:A:b 1:A:a 1:B:c 2:A:b 2:C:a 3:A:c 3:B:b")
        (found,) = contradictions(rows)
        assert found.pair == LabeledPair("2", "a", "b", False)
        assert found.judgements == ((rows[1], rows[0]), (rows[4], rows[3]))
        assert str(found) == "'a' and 'b' are a match in set '1', a non-match in set '2'; taken as a non-match"
        assert contradictions(rows[:3]) == []

    def test_constraints_are_the_two_classes(self) -> None:
        pairs = labeled_pairs(rows_of("1:A:a 1:A:b 1:B:c"))
        assert label_constraints(pairs) == ([("a", "b")], [("a", "c"), ("b", "c")])

    def test_thousands_of_rows_give_all_their_pairs(self) -> None:
        rows = [LabeledRow(str(i // 10), str(i % 3), str(i)) for i in range(5_000)]
        assert len(labeled_pairs(rows)) == 22_500


class TestSeveralImports:
    def test_a_set_that_shares_a_key_is_the_same_set(self) -> None:
        stored, incoming = rows_of("1:A:a 1:B:b"), rows_of("1:B:a 1:B:c")
        assert distinguish_sets(stored, incoming) == incoming

    def test_a_set_that_shares_none_gets_a_fresh_id(self) -> None:
        stored = rows_of("1:A:a 1~2:A:x 3:A:a")
        incoming = rows_of("1:A:c 1:B:d 2:A:a 3:B:b")
        assert distinguish_sets(stored, incoming) == rows_of("1~3:A:c 1~3:B:d 2:A:a 3~2:B:b")

    def test_a_set_that_was_renamed_before_is_found_again(self) -> None:
        stored = rows_of("1:A:a 1~2:A:b 1~3:A:c")
        assert distinguish_sets(stored, rows_of("1:A:c 1:B:d")) == rows_of("1~3:A:c 1~3:B:d")

    def test_a_fresh_id_is_none_of_the_file_that_comes_in(self) -> None:
        incoming = rows_of("1:A:c 1~2:A:c 1~3:A:d")
        assert distinguish_sets(rows_of("1:A:a 1~3:A:c"), incoming) == rows_of("1~4:A:c 1~2:A:c 1~3~2:A:d")

    @settings(deadline=None)
    @given(words, words)
    def test_sets_never_join_and_only_ids_change(
        self, one: list[tuple[str, str, str]], two: list[tuple[str, str, str]]
    ) -> None:
        stored, incoming = [LabeledRow(*word) for word in one], [LabeledRow(*word) for word in two]
        told_apart = distinguish_sets(stored, incoming)
        assert [(row.label, row.key) for row in told_apart] == [(row.label, row.key) for row in incoming]
        renamed = {(old.labeling_set_id, new.labeling_set_id) for old, new in zip(incoming, told_apart, strict=True)}
        assert len({new for _, new in renamed}) == len(renamed) == len({old for old, _ in renamed})
        for _, name in renamed:
            before = {row.key for row in stored if row.labeling_set_id == name}
            assert not before or before & {row.key for row in told_apart if row.labeling_set_id == name}

    def test_importing_the_same_file_again_changes_nothing(self) -> None:
        rows = rows_of("1:A:a 1:B:b")
        for file in (rows_of("1:A:c 1:A:d"), rows_of("1:A:e 1:B:f"), rows_of("1:A:c 1:A:d"), rows_of("1:A:e 1:B:f")):
            rows = merge_rows(rows, distinguish_sets(rows, file))
        assert rows == rows_of("1:A:a 1:B:b 1~2:A:c 1~2:A:d 1~3:A:e 1~3:B:f")

    def test_the_newer_label_wins_and_is_the_later_row_and_old_attributes_stay(self) -> None:
        stored = [LabeledRow("1", "A", "a", {"x": "1", "y": "2"}), LabeledRow("1", "A", "b")]
        incoming = [LabeledRow("1", "B", "a", {"x": None})]
        assert merge_rows(stored, incoming) == [
            LabeledRow("1", "A", "b"),
            LabeledRow("1", "B", "a", {"x": None, "y": "2"}),
        ]


text = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
hostile = text | st.sampled_from(
    ['"', '""', ",", "\n", "\r", "\r\n", " a ", "=1+1", "'", "😀", "\ufeff", "\\", "\u2028", "\x0b"]
)
spoken = hostile.filter(lambda value: bool(value.strip()))


class TestRendering:
    @settings(deadline=None)
    @given(
        names=st.lists(hostile.filter(lambda name: name != "id"), max_size=3, unique=True),
        identities=st.lists(st.tuples(spoken, spoken), min_size=1, max_size=8, unique=True),
        data=st.data(),
    )
    def test_what_is_written_is_read_back(
        self, names: list[str], identities: list[tuple[str, str]], data: st.DataObject
    ) -> None:
        cell = st.none() | hostile.filter(bool)
        attributes = st.fixed_dictionaries(dict.fromkeys(names, cell))
        rows = tuple(LabeledRow(set_id, data.draw(spoken), key, data.draw(attributes)) for set_id, key in identities)
        columns = ["id", *names]
        file = parse(render_labels(rows, primary_key="id", columns=columns), columns=columns)
        assert (file.rows, file.columns, file.blank) == (rows, tuple(columns), 0)

    def test_quotes_only_what_needs_it_and_leaves_nulls_and_open_labels_empty(self) -> None:
        rows = [
            LabeledRow("1", None, "k", {"name": "a,b", "city": None}),
            LabeledRow("2", "=A", "l", {"name": 'say "hi"', "other": "x"}),
            LabeledRow("3", "A", "m\r", {"city": "a\nb"}),
        ]
        assert render_labels(rows, primary_key="id", columns=COLUMNS) == (
            b'labeling_set_id,label,id,name,city\n1,,k,"a,b",\n2,=A,l,"say ""hi""",\n3,A,"m\r",,"a\nb"\n'
        )

    def test_adds_the_key_column_where_the_columns_lack_it(self) -> None:
        rows = [LabeledRow("1", "A", "k", {"name": "n"})]
        assert render_labels(rows, primary_key="id", columns=["name"]) == b"labeling_set_id,label,id,name\n1,A,k,n\n"

    def test_marks_what_a_file_cannot_carry_in_an_attribute_and_refuses_it_in_a_key(self) -> None:
        rendered = render_labels([LabeledRow("1", "A", "k", {"name": "a\0b\ud800"})], primary_key="id", columns=COLUMNS)
        assert parse(rendered).rows[0].attributes["name"] == "a\ufffdb\ufffd"
        for row in (LabeledRow("1", "A", "\ud800"), LabeledRow("1", "\0", "k"), LabeledRow("\udfff", "A", "k")):
            with pytest.raises(LabelError, match="half a surrogate pair"):
                render_labels([row], primary_key="id", columns=COLUMNS)
        with pytest.raises(LabelError, match="NUL"):
            render_labels([], primary_key="id", columns=["id", "a\0"])


def test_an_export_is_named_as_aws_names_it() -> None:
    now = datetime(2022, 1, 12, 1, 17, 57, tzinfo=timezone(timedelta(hours=1)))
    assert export_name("tfm-2c", now, "c042df6e-c93b") == "tfm-2c_labels_2022-01-12_00_17_57_c042df6e-c93b.csv"
    assert export_name("t", datetime(2022, 1, 2, tzinfo=UTC), "u") == "t_labels_2022-01-02_00_00_00_u.csv"
    with pytest.raises(ValueError, match="time zone"):
        export_name("t", datetime(2022, 1, 2), "u")
