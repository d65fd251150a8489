from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from glue_ml.errors import InputError
from glue_ml.matching import semantic, sentence_encoder
from glue_ml.matching.profile import ColumnKind, ColumnProfile
from glue_ml.matching.semantic import choose_semantic_columns, find_cache, find_encoder
from glue_ml.matching.sentence_encoder import SentenceEncoder, find_package, load_sentence_encoder
from glue_ml.matching.static_embeddings import (
    StaticEncoder,
    load_static_encoder,
    project,
    save_static_encoder,
    weigh_by_rank,
)
from glue_ml.matching.wordpiece import WordPiece

installed = pytest.mark.skipif(find_package() is None, reason="the extra `semantic` is not installed")

VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "photo", "editor", "tax", "##es", "a")


def make_static() -> StaticEncoder:
    table = np.random.default_rng(5).normal(size=(len(VOCABULARY), 8)).astype(np.float16)
    table[:4] = 0
    return StaticEncoder(table, WordPiece(VOCABULARY), "0123456789abcdef")


@pytest.fixture(scope="module")
def sentence() -> SentenceEncoder:
    found = find_encoder("sentence")
    assert isinstance(found, SentenceEncoder)
    return found


@pytest.mark.parametrize("setting", ["off", None])
def test_no_encoder_is_found_where_it_is_off(setting: str | None) -> None:
    assert find_encoder(setting) is None


def test_without_the_extra_auto_finds_none_and_the_others_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantic, "find_package", lambda: None)
    monkeypatch.setattr(sentence_encoder, "find_package", lambda: None)
    assert find_encoder("auto") is None
    for setting in ("static", "sentence"):
        with pytest.raises(InputError, match=r"pip install 'glue-ml\[semantic\]'"):
            find_encoder(setting)


def test_an_unknown_setting_is_told_what_there_is() -> None:
    with pytest.raises(InputError, match=r"'statik' is none of off, auto, static, sentence"):
        find_encoder("statik")


def test_the_cache_is_where_it_is_set_to_be() -> None:
    assert find_cache({"GLUE_ML_SEMANTIC_CACHE": "/c", "XDG_CACHE_HOME": "/x"}) == Path("/c")
    assert find_cache({"XDG_CACHE_HOME": "/x"}) == Path("/x/glue-ml/semantic")
    assert find_cache({}) == Path.home() / ".cache/glue-ml/semantic"


def test_static_vectors_have_length_one_and_depend_on_their_text_alone() -> None:
    encoder = make_static()
    texts = ["photo editor", "taxes", "", "?!", "editor photo", "a tax photo"]
    together = encoder.encode(texts)
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), [1, 1, 0, 0, 1, 1], atol=1e-3)
    assert np.array_equal(together, np.concatenate([encoder.encode([text]) for text in texts]))
    assert np.array_equal(together[0], together[4])


def test_no_texts_have_no_vectors() -> None:
    assert make_static().encode([]).shape == (0, 8)


def test_an_adapted_encoder_weighs_common_words_less_and_forgets_the_order() -> None:
    texts = ["photo editor", "photo tax", "photo a", "photo"]
    plain, adapted = make_static(), make_static().adapt(texts)
    assert adapted.name == plain.name
    assert np.array_equal(adapted.encode(texts), plain.adapt(texts[::-1]).encode(texts))
    common = plain.encode(["photo"])[0]
    assert abs(adapted.encode(["photo editor"])[0] @ common) < abs(plain.encode(["photo editor"])[0] @ common)


def test_static_embeddings_come_back_from_their_file(tmp_path: Path) -> None:
    encoder, path = make_static(), tmp_path / "below" / "static.npz"
    save_static_encoder(encoder, path)
    found = find_encoder(str(path))
    assert isinstance(found, StaticEncoder)
    assert found.name == encoder.name
    assert np.array_equal(found.encode(["photo editor"]), encoder.encode(["photo editor"]))
    assert [file.name for file in path.parent.iterdir()] == ["static.npz"]


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="GLUE_ML_SEMANTIC_CACHE"):
        save_static_encoder(make_static(), tmp_path / "file" / "static.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x80\x04N.", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_table_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "static.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="holds no static embeddings"):
        load_static_encoder(path)


def test_a_table_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "static.npz"
    np.savez(path, table=np.array([{}], dtype=object), about=np.zeros(2, np.uint8))
    with pytest.raises(InputError, match="holds no static embeddings"):
        load_static_encoder(path)


@pytest.mark.parametrize(
    "table",
    [np.zeros((2, 8), np.float16), np.full((9, 8), np.nan, np.float16), np.zeros((9, 8), np.float64), np.zeros(9)],
)
def test_a_table_that_does_not_fit_its_vocabulary_is_an_input_error(tmp_path: Path, table: np.ndarray) -> None:
    path = tmp_path / "static.npz"
    save_static_encoder(StaticEncoder(table, WordPiece(VOCABULARY), "x"), path)
    with pytest.raises(InputError, match="holds no static embeddings"):
        load_static_encoder(path)


def test_a_projection_keeps_distances_within_the_space_that_the_rows_fill() -> None:
    generator = np.random.default_rng(1)
    flat = (generator.normal(size=(50, 3)) @ generator.normal(size=(3, 10))).astype(np.float32)
    projected = project(flat, 3)
    wanted = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    assert np.allclose(np.linalg.norm(projected[:, None] - projected[None], axis=2), wanted, atol=1e-3)


def test_frequent_words_weigh_less() -> None:
    weights = weigh_by_rank(1_000)
    assert (np.diff(weights) > 0).all()
    assert 0 < weights[0] < weights[-1] < 1


def test_columns_of_several_words_are_chosen_and_no_names_codes_or_categories() -> None:
    def column(kind: ColumnKind, words: float, distinct: float, fill: float = 1.0) -> ColumnProfile:
        return ColumnProfile(f"{kind}-{words}-{distinct}", kind, fill, distinct, words)

    text, sparse_text = column(ColumnKind.TEXT, 6, 0.9), column(ColumnKind.LONG_TEXT, 40, 0.2, fill=0.2)
    others = [
        column(ColumnKind.NAME, 2.0, 0.9),
        column(ColumnKind.CODE, 1.0, 1.0),
        column(ColumnKind.DATE, 4.0, 1.0),
        column(ColumnKind.CATEGORY, 5.0, 0.01),
        column(ColumnKind.TEXT, 5.0, 0.1),
    ]
    assert choose_semantic_columns([others[0], text, *others[1:], sparse_text]) == (text.name, sparse_text.name)


def test_a_folder_without_a_tokenizer_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither tokenizer\.json nor vocab\.txt"):
        find_encoder(str(tmp_path))


def test_a_folder_without_a_model_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY))
    with pytest.raises(InputError, match=r"model\.onnx cannot be read"):
        find_encoder(str(tmp_path))


@installed
@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x07" * 1000])
def test_a_model_that_is_none_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY))
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.onnx is no"):
        find_encoder(str(tmp_path))


@installed
def test_a_vocabulary_larger_than_the_models_is_an_input_error(tmp_path: Path, sentence: SentenceEncoder) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join((*VOCABULARY, *(f"word{i}" for i in range(31_000)))))
    (tmp_path / "model.onnx").write_bytes(sentence.model)
    with pytest.raises(InputError, match=r"model\.onnx cannot be run"):
        load_sentence_encoder(tmp_path)


@installed
def test_a_folder_with_the_packaged_model_is_the_packaged_encoder(tmp_path: Path, sentence: SentenceEncoder) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(sentence.wordpiece.vocabulary), encoding="utf-8")
    (tmp_path / "model.onnx").write_bytes(sentence.model)
    found = find_encoder(str(tmp_path))
    assert found is not None
    assert found.name == sentence.name


@installed
def test_sentences_of_like_meaning_are_near(sentence: SentenceEncoder) -> None:
    vectors = sentence.encode(["photo editing software by adobe", "adobe photoshop cs3", "income tax return 2007"])
    assert vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2] + 0.2


@installed
def test_a_sentence_vector_depends_on_its_text_alone_bit_for_bit(sentence: SentenceEncoder) -> None:
    texts = ["", *(" ".join(f"word{i * j}" for j in range(i % 9 + 1)) for i in range(60)), "long " * 500]
    together = sentence.encode(texts)
    assert together.shape == (len(texts), sentence.dimensions)
    assert not together[0].any()
    assert np.array_equal(together, np.concatenate([sentence.encode([text]) for text in texts]))
    threads = SentenceEncoder(sentence.model, sentence.wordpiece, threads=2)
    assert np.array_equal(together, threads.encode(texts))
    assert threads.name == sentence.name


@installed
def test_an_encoder_in_use_can_be_sent_to_workers(sentence: SentenceEncoder) -> None:
    first = sentence.encode(["photo editor"])
    assert np.array_equal(copy.deepcopy(sentence).encode(["photo editor"]), first)
    static = make_static()
    static.encode(["photo"])
    assert np.array_equal(copy.deepcopy(static).encode(["tax"]), static.encode(["tax"]))
