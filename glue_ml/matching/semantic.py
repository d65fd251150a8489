"""The semantic view: texts as vectors whose cosine tells likeness of meaning. Optional: the extra `semantic`.

    encoder = find_encoder("auto")               # None where the extra is not installed
    columns = choose_semantic_columns(profiles)  # those whose values are text of several words
    encoder = encoder.adapt(values)              # where static: rarer words of this table weigh more
    vectors = encoder.encode(values)             # float32, texts x encoder.dimensions, rows of length 1 or 0
    semantics = learn_semantics({"title": values}, "auto")   # the above as a part of a model
    parts = choose_partition(vectors, seed=0)    # of matching.nearest: None where all pairs can be looked at
    found = nearest(vectors, rows, 10, partition=parts)  # found.row, found.other, found.cosine

`encode` is deterministic, and a text's vector depends on that text alone, bit for bit: it may be called for the
distinct values, in parts, on workers or on the driver. Vectors lie on a grid on which the cosine of two is exact, by
any library in any order (`scale_rows`). An encoder is a frozen value of arrays and bytes, `size_bytes` large: broadcast
it to workers; a transformer's session opens lazily, once in each process. `name` goes into the settings that name a
trained model, as vectors of different encoders cannot be compared.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from glue_ml.errors import InputError
from glue_ml.matching.profile import ColumnKind, ColumnProfile
from glue_ml.matching.sentence_encoder import (
    INSTALL,
    Vectors,
    find_package,
    load_packaged_encoder,
    load_sentence_encoder,
)
from glue_ml.matching.static_embeddings import load_or_distill, load_static_encoder

Rarity = npt.NDArray[np.float32]  #: A weight for each sub-word.

CACHE_VARIABLE = "GLUE_ML_SEMANTIC_CACHE"


class Encoder(Protocol):
    """Turns texts into vectors."""

    @property
    def name(self) -> str:
        """Kind and digest of the encoder: vectors of equal names can be compared."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""

    @property
    def size_bytes(self) -> int:
        """What has to be sent to a worker."""

    @property
    def rarity(self) -> Rarity | None:
        """What `adapt` has found out about a table; None where nothing."""

    def adapt(self, texts: Sequence[str]) -> Encoder:
        """Return the encoder for a table with these texts; call it once with all of them, before it is sent around."""

    def weigh(self, rarity: Rarity | None) -> Encoder:
        """Return the encoder as an earlier `adapt` left it."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one row of length 1 for each text; zeros for a text without words."""


@dataclass(frozen=True, eq=False)
class Semantics:
    """How a model reads meaning: the `setting` that finds its encoder, the encoder's name, and its weights by column.

    The weights are part of the model: a table that is matched later must be read in the same way. Likeness of meaning
    is compared in all of the columns; candidates are searched by it in those `searched`, which labels decide.
    """

    setting: str
    encoder: str
    rarity: Mapping[str, Rarity | None]
    searched: frozenset[str] = frozenset()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, in table order."""
        return tuple(self.rarity)

    def open(self) -> Encoder:
        """Return the encoder. Raises InputError where it is not the one that the model was trained with."""
        encoder = _open_encoder(self.setting)
        if encoder is not None and encoder.name == self.encoder:
            return encoder
        found = "finds none" if encoder is None else f"finds {encoder.name}"
        raise InputError(
            f"the model reads the columns {', '.join(self.columns)} with the semantic encoder {self.encoder}, and the "
            f"setting {self.setting!r} {found}: {INSTALL}, name that encoder, or train again"
        )

    def encode(self, column: str, values: Sequence[str]) -> Vectors:
        """Return a vector for each of the column's values, and one of zeros below them. Raises InputError as `open`."""
        encoder = self.open()
        vectors = encoder.weigh(self.rarity[column]).encode(values)
        return np.concatenate([vectors, np.zeros((1, encoder.dimensions), dtype=np.float32)])


def learn_semantics(texts: Mapping[str, Sequence[str]], setting: str) -> Semantics | None:
    """Return how to read the columns with these distinct values; None where there is no column or no encoder."""
    encoder = _open_encoder(setting) if texts else None
    if encoder is None:
        return None
    rarity = {name: encoder.adapt(values).rarity for name, values in texts.items()}
    return Semantics(setting, encoder.name, rarity)


@lru_cache(maxsize=4)
def _open_encoder(setting: str) -> Encoder | None:
    return find_encoder(setting)


def choose_encoder(setting: str, accuracy_cost_tradeoff: float | None) -> str:
    """Return `setting`; at the accuracy end "auto" is the sentence encoder, where it is installed.

    >>> choose_encoder("static", 1.0)
    'static'
    """
    at_end = accuracy_cost_tradeoff is not None and accuracy_cost_tradeoff >= SENTENCE_ACCURACY
    return "sentence" if setting == "auto" and at_end and find_package() is not None else setting


def find_encoder(setting: str | None = "auto", *, cache: Path | None = None, threads: int = 1) -> Encoder | None:
    """Return the encoder that `setting` names, None for none. Never downloads anything.

    "off" or None: none. "auto": "static" where the extra `semantic` is installed, else none. "static": a vector for
    each sub-word; the table is made once, in about half a minute, and kept in `cache`. "sentence": the transformer
    itself. Anything else is the path of a folder with model.onnx and tokenizer.json or vocab.txt, run as a transformer,
    or of a file .npz of static embeddings. Raises InputError, which names the extra or the file, where that cannot be
    had. `threads` are those of a transformer and change its speed, not its result; Spark has a worker for each core.
    """
    if setting is None or setting == "off" or (setting == "auto" and find_package() is None):
        return None
    if setting in ("auto", "static"):
        return load_or_distill(load_packaged_encoder(threads=threads), cache or find_cache(os.environ))
    if setting == "sentence":
        return load_packaged_encoder(threads=threads)
    return _load_from(Path(setting), threads)


def _load_from(path: Path, threads: int) -> Encoder:
    if path.is_dir():
        return load_sentence_encoder(path, threads=threads)
    if path.suffix == ".npz" and path.is_file():
        return load_static_encoder(path)
    raise InputError(
        f"the semantic encoder {str(path)!r} is none of off, auto, static, sentence, a folder with model.onnx and "
        f"tokenizer.json, or a file of static embeddings (.npz); for static and sentence {INSTALL}"
    )


def find_cache(environ: Mapping[str, str]) -> Path:
    """Return the folder for distilled tables: GLUE_ML_SEMANTIC_CACHE, else below the user's cache folder."""
    if named := environ.get(CACHE_VARIABLE):
        return Path(named)
    if below := environ.get("XDG_CACHE_HOME"):
        return Path(below) / "glue-ml" / "semantic"
    return Path.home() / ".cache" / "glue-ml" / "semantic"


def choose_semantic_columns(profiles: Sequence[ColumnProfile]) -> tuple[str, ...]:
    """Return the columns that may be worth a semantic view: texts of several words, most of them different.

    Of more than MAX_COLUMNS those with the fewest missing values.

    Names, codes, numbers and dates mean nothing beyond their letters; labels decide about the rest.
    """
    worded = [profile for profile in profiles if _is_worded(profile)]
    fullest = sorted(worded, key=lambda profile: -profile.fill)[:MAX_COLUMNS]
    return tuple(profile.name for profile in worded if profile in fullest)


SENTENCE_ACCURACY = 0.95  #: From this AccuracyCostTradeoff on a transformer reads texts: some 2 ms for each.
MIN_WORDS = 3.0  #: On average; shorter values are names.
MIN_DISTINCT = 0.3  #: Share of the filled rows; below, a value is rather a category.
MAX_COLUMNS = 3  #: Each has a view of its own, which costs as much as those of all words together.


def _is_worded(profile: ColumnProfile) -> bool:
    worded = profile.kind in (ColumnKind.TEXT, ColumnKind.LONG_TEXT) and profile.words >= MIN_WORDS
    return worded and profile.distinct >= MIN_DISTINCT * profile.fill
