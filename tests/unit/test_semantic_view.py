"""The view of meaning against brute force, and what labels say about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_ml.domain.labels import LabeledRow
from glue_ml.errors import InputError
from glue_ml.matching import blocking_choice
from glue_ml.matching.blocking import BlockingBudget, BlockingIndex, build_index, choose_budget, list_candidates
from glue_ml.matching.blocking_choice import ENOUGH_MATCHES, block_by_labels, choose_views
from glue_ml.matching.comparison import BOTH_MISSING, ONE_MISSING, FeatureName, compare, name_features
from glue_ml.matching.fellegi_sunter import FellegiSunter
from glue_ml.matching.model import MatchModel, Settings, load_model, save_model
from glue_ml.matching.pipeline import Blocked
from glue_ml.matching.records import Records, add_meaning, learn_meaning, prepare_records
from glue_ml.matching.semantic import Semantics, choose_encoder
from glue_ml.matching.semantic_view import SemanticView
from glue_ml.matching.sentence_encoder import scale_rows
from glue_ml.matching.static_embeddings import StaticEncoder, save_static_encoder
from glue_ml.matching.unsupervised import Unsupervised
from glue_ml.matching.wordpiece import WordPiece

#: Pairs of words that mean the same, and share no letters that count.
SYNONYMS = [
    ("car", "motor"), ("big", "huge"), ("sofa", "couch"), ("quick", "rapid"), ("shop", "store"),
    ("woods", "forest"), ("gift", "present"), ("ill", "sick"), ("begin", "start"), ("happy", "glad"),
]  # fmt: skip
WORDS = [word for pair in SYNONYMS for word in pair]
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS)
CODES = st.lists(st.integers(-1, 9), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of an encoder in which synonyms are equal and other words have nothing in common."""
    table = np.zeros((len(VOCABULARY), len(SYNONYMS)), dtype=np.float16)
    for number, pair in enumerate(SYNONYMS):
        for word in pair:
            table[VOCABULARY.index(word), number] = 1.0
    path = tmp_path_factory.mktemp("encoder") / "synonyms.npz"
    save_static_encoder(StaticEncoder(table, WordPiece(VOCABULARY), "0123456789abcdef"), path)
    return str(path)


def make_records(seed: int = 0, rows: int = 60) -> Records:
    """Texts of five words, each followed by the same in other words."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(rows // 2):
        chosen = rng.choice(len(SYNONYMS), 5, replace=False)
        texts += [" ".join(SYNONYMS[c][side] for c in chosen) for side in (0, 1)]
    table = {"id": [f"k{i:03}" for i in range(rows)], "text": texts, "side": ["ab"[i % 2] for i in range(rows)]}
    return prepare_records(pa.table(table))


def make_view(codes: list[int], *, sources: bool = False) -> SemanticView:
    vectors = scale_rows(np.random.default_rng(1).normal(size=(10, 6)))
    source = np.arange(len(codes), dtype=np.int32) % 2 if sources else None
    return SemanticView("text", np.vstack([vectors, np.zeros((1, 6), np.float32)]), np.array(codes, np.int32), source)


def search_all(view: SemanticView, row: int, top_k: int) -> list[int]:
    cosines = view.vectors[view.codes] @ view.vectors[view.codes[row]]
    others = [i for i in range(view.rows) if i != row and cosines[i] > 0]
    others = [i for i in others if view.source is None or view.source[i] != view.source[row]]
    return sorted(others, key=lambda i: (-cosines[i], i))[:top_k]


@given(codes=CODES, sources=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_search_finds_the_nearest_values_of_other_sources(codes: list[int], sources: bool) -> None:
    view = make_view(codes, sources=sources)
    row, other = np.divmod(view.search(np.arange(view.rows), 3), view.rows)
    for each in range(view.rows):
        assert other[row == each].tolist() == search_all(view, each, 3)


@given(codes=CODES, added=CODES, seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_an_extended_view_is_the_view_of_all_rows(codes: list[int], added: list[int], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(codes) + len(added))
    extended = make_view(codes).extend(make_view(added), order)
    whole = make_view([[*codes, *added][i] for i in order])
    assert (extended.embeddings == whole.embeddings).all()
    rows = np.arange(whole.rows)
    assert extended.search(rows, 3).tolist() == whole.search(rows, 3).tolist()


@given(codes=CODES, seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_some_rows_of_a_view_are_the_view_of_these_rows(codes: list[int], seed: int) -> None:
    rows = np.sort(np.random.default_rng(seed).permutation(len(codes))[: len(codes) // 2])
    view, source = make_view(codes), np.arange(len(codes), dtype=np.int32) % 2
    taken, own = view.across(source).take(rows), make_view([codes[i] for i in rows]).across(source[rows])
    everything = np.arange(len(rows))
    assert taken.search(everything, 3).tolist() == own.search(everything, 3).tolist()


@given(codes=st.lists(st.integers(-1, 9), min_size=2, max_size=20), sources=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_new_row_comes_into_the_lists_whose_bound_it_reaches(codes: list[int], sources: bool) -> None:
    view = make_view(codes, sources=sources)
    bounds = np.full(view.rows, 0.25, dtype=np.float32)
    owner, row, cosine = view.find_entered(np.array([view.rows - 1]), bounds)
    assert (row == view.rows - 1).all()
    assert (cosine == view.cosine(owner, row)).all()
    near = [i for i in search_all(view, view.rows - 1, view.rows) if view.cosine(*pair_of(i, view.rows - 1))[0] >= 0.25]
    assert sorted(owner.tolist()) == sorted(near)


def pair_of(left: int, right: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return np.array([left]), np.array([right])


def test_meaning_is_compared_after_all_other_features(encoder: str) -> None:
    records = make_records()
    semantics = learn_meaning(records, encoder)
    assert semantics is not None
    read = add_meaning(records, semantics)
    plain, more = compare(records, *pair_of(0, 1)), compare(read, *pair_of(0, 1))
    assert (more[:, :-1] == plain).all()
    assert more[0, -1] == pytest.approx(1.0, abs=1e-3)
    assert name_features(records.profiles, semantics.columns)[-1] == FeatureName("text", "meaning")


def test_a_missing_text_has_no_meaning(encoder: str) -> None:
    texts = ["car big sofa ill glad", None, None, *(f"{a} {b} quick ill gift" for a in WORDS for b in WORDS)]
    table = pa.table({"id": [f"k{i:03}" for i in range(len(texts))], "text": texts})
    records = prepare_records(table)
    semantics = learn_meaning(records, encoder)
    assert semantics is not None
    features = compare(add_meaning(records, semantics), np.array([0, 1]), np.array([1, 2]))
    assert features[:, -1].tolist() == [ONE_MISSING, BOTH_MISSING]


def test_texts_without_a_word_in_common_are_found_by_their_meaning(encoder: str) -> None:
    records = make_records()
    budget = BlockingBudget(top_k=5, work_per_record=100)
    semantics = learn_meaning(records, encoder)
    assert semantics is not None
    semantics = replace(semantics, searched=frozenset({"text"}))
    without, with_meaning = build_index(records, budget), build_index(add_meaning(records, semantics), budget)
    assert [view.name for view in with_meaning.views] == ["keys", "grams", "meaning of text"]
    missed = 0
    for row in range(0, len(records), 2):
        assert is_proposed(with_meaning, row, row + 1) or count_equal(records, row) > 5
        missed += not is_proposed(without, row, row + 1)
    assert missed > 20


def is_proposed(index: BlockingIndex, left: int, right: int) -> bool:
    lists = list_candidates(index, np.array([left, right]))
    return bool(
        ((lists.row == left) & (lists.other == right)).any() or ((lists.row == right) & (lists.other == left)).any()
    )


def count_equal(records: Records, row: int) -> int:
    sets = [frozenset((records.columns[0].read(each) or "").split()) for each in range(len(records))]
    return sets.count(sets[row])


def make_model(records: Records, semantics: Semantics | None) -> MatchModel:
    return MatchModel(
        Settings("id"), records.profiles, Unsupervised(FellegiSunter(0.1, (), ()), ()), semantics=semantics
    )


def test_a_view_that_finds_no_further_match_is_given_up(encoder: str) -> None:
    records = make_records()
    semantics = learn_meaning(records, encoder)
    assert semantics is not None
    records = add_meaning(records, replace(semantics, searched=frozenset({"text"})))
    index = build_index(records, choose_budget(None))
    odd = np.arange(1, 60, 2)
    only_by_meaning = np.tile(odd - 1, 4), np.tile(odd, 4)
    assert choose_views(index, *only_by_meaning) == {"meaning of text"}
    lists = list_candidates(replace(index, views=index.views[:2]), np.arange(60))
    by_words = lists.row[:ENOUGH_MATCHES], lists.other[:ENOUGH_MATCHES]
    assert choose_views(index, *by_words) == frozenset()
    assert choose_views(index, *(side[1:] for side in by_words)) == {"meaning of text"}  # too few to tell


def test_labels_decide_what_is_searched_and_the_model_remembers(encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking_choice, "ENOUGH_MATCHES", 20)  # the table is small
    records = make_records()
    semantics = learn_meaning(records, encoder)
    assert semantics is not None
    records = add_meaning(records, semantics)
    blocked = Blocked(records, build_index(records, choose_budget(None)))
    assert [view.name for view in blocked.index.views] == ["keys", "grams"]  # no labels: by words alone
    lists = list_candidates(blocked.index, np.arange(60))
    alike = {int(a): int(b) for a, b in zip(lists.row, lists.other, strict=True)}
    rows, used = [], set[int]()
    for a, b in alike.items():
        if not {a, b} & used:
            used |= {a, b}
            rows += [LabeledRow(f"s{a}", f"{a}", f"k{row:03}") for row in (a, b)]
    rows += [LabeledRow("others", str(i), f"k{i:03}") for i in (0, 1)]
    model, again, source = block_by_labels(make_model(records, semantics), blocked, rows)
    assert source is None
    assert model.semantics is not None
    assert len(used) >= 40
    assert model.semantics.searched == frozenset()
    assert [view.name for view in again.index.views] == ["keys", "grams"]
    rebuilt = build_index(add_meaning(records, model.semantics), choose_budget(None))
    assert [view.name for view in rebuilt.views] == ["keys", "grams"]


def test_semantics_come_back_with_the_model_and_read_alike(encoder: str, tmp_path: Path) -> None:
    records = make_records()
    semantics = learn_meaning(records, encoder)
    assert semantics is not None
    save_model(make_model(records, semantics), str(tmp_path / "model"))
    loaded = load_model(str(tmp_path / "model")).semantics
    assert loaded is not None
    assert (loaded.setting, loaded.encoder, loaded.columns) == (semantics.setting, semantics.encoder, ("text",))
    assert loaded.searched == semantics.searched
    texts = ["big car", "huge motor quick"]
    assert (loaded.encode("text", texts) == semantics.encode("text", texts)).all()


def test_another_encoder_than_the_models_is_an_input_error(encoder: str) -> None:
    semantics = learn_meaning(make_records(), encoder)
    assert semantics is not None
    with pytest.raises(InputError, match=r"reads the columns text with the semantic encoder static-other"):
        replace(semantics, encoder="static-other").encode("text", ["big car"])


def test_without_an_encoder_nothing_is_read() -> None:
    assert learn_meaning(make_records(), "off") is None


def test_the_transformer_reads_at_the_accuracy_end() -> None:
    pytest.importorskip("onnxruntime", reason="the extra semantic is not installed")
    assert [choose_encoder("auto", tradeoff) for tradeoff in (None, 0.5, 1.0)] == ["auto", "auto", "sentence"]
    assert choose_encoder("off", 1.0) == "off"
