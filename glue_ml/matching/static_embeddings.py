"""Static embeddings: one vector for each sub-word, so that a text costs a few additions instead of a transformer.

Distilled from a sentence encoder in the way of Model2Vec (Minish, 2024): encode every sub-word of the vocabulary by
itself, project on the principal components, weigh by inverse frequency (Arora et al., ICLR 2017, the frequency guessed
from the rank by Zipf's law, as vocabularies are in order of frequency). A text's vector is the sum, scaled to length 1.
Distilling takes half a minute, so the table is kept in a cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from numpy.lib.npyio import NpzFile
from scipy import sparse

from glue_ml.errors import InputError
from glue_ml.matching.sentence_encoder import SentenceEncoder, Vectors, scale_rows
from glue_ml.matching.wordpiece import PADDING, UNKNOWN, Pieces, WordPiece

DIMENSIONS = 256
RECIPE = "2"  #: Changes with the way of distilling; names the table together with the encoder's digest.
SMOOTHING = 1e-4  #: `a` of Arora et al.: a sub-word of this relative frequency has half the weight.
LARGEST_TABLE = 1 << 30  #: Bytes.


@dataclass(frozen=True, eq=False)
class StaticEncoder:
    """A table of weighted sub-word vectors (`table`: vocabulary x dimensions, float16, as it is stored and sent)."""

    table: npt.NDArray[np.float16]
    wordpiece: WordPiece
    digest: str  #: Names the encoder it was distilled from and the way: vectors of equal digests can be compared.
    rarity: npt.NDArray[np.float32] | None = None  #: A further weight for each sub-word, of a table that is to match.

    @property
    def name(self) -> str:
        """The encoder in a model's settings."""
        return f"static-{self.digest}"

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self.table.shape[1])

    @property
    def size_bytes(self) -> int:
        """What a worker gets."""
        return self.table.nbytes

    def __getstate__(self) -> dict[str, Any]:
        kept = ("table", "wordpiece", "digest", "rarity")
        return {name: getattr(self, name) for name in kept}  # what can be computed again stays behind

    @cached_property
    def _weighted(self) -> Vectors:
        wide = self.table.astype(np.float32)
        return wide if self.rarity is None else wide * self.rarity[:, None]

    def adapt(self, texts: Sequence[str]) -> StaticEncoder:
        """Weigh sub-words by how rare they are in `texts` too (their order does not matter); vectors stay comparable.

        Frequencies of language alone miss what all rows of a table share: "software" in a list of programs.
        """
        counts = self._count(self.wordpiece.split(texts))
        frequency = np.bincount(counts.indices, minlength=len(self.table))
        return replace(self, rarity=np.log((len(texts) + 1) / (frequency + 0.5)).astype(np.float32))

    def weigh(self, rarity: npt.NDArray[np.float32] | None) -> StaticEncoder:
        """Return the encoder as an earlier `adapt` left it, which found this `rarity`."""
        return replace(self, rarity=rarity)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one row of length 1 for each text (zeros for a text without known words). Cost: 30 us for a title."""
        return self.encode_pieces(self.wordpiece.split(texts))

    def encode_pieces(self, pieces: Pieces) -> Vectors:
        """Encode texts that are split already. Each row is added up by itself in the order of the vocabulary."""
        return scale_rows(np.asarray(self._count(pieces) @ self._weighted))

    def _count(self, pieces: Pieces) -> sparse.csr_matrix:
        """Return texts x vocabulary: how often a text holds a sub-word, as a long text repeats what it is about."""
        ones, shape = np.ones(len(pieces.ids), dtype=np.float32), (len(pieces), len(self.table))
        counts = sparse.csr_matrix((ones, pieces.ids, pieces.starts), shape=shape, copy=True)
        counts.sum_duplicates()
        return counts


def distill(encoder: SentenceEncoder, dimensions: int = DIMENSIONS) -> StaticEncoder:
    """Make the static table of `encoder`. Cost: encoding each sub-word of its vocabulary, half a minute."""
    size = len(encoder.wordpiece.vocabulary)
    single = Pieces(np.arange(size, dtype=np.int32), np.arange(size + 1, dtype=np.int64))
    reduced = project(encoder.encode_pieces(single), dimensions)
    table = reduced * weigh_by_rank(size)[:, None]
    table[[encoder.wordpiece.numbers[piece] for piece in (UNKNOWN, PADDING)]] = 0.0
    return StaticEncoder(table.astype(np.float16), encoder.wordpiece, name_table(encoder, dimensions))


def name_table(encoder: SentenceEncoder, dimensions: int = DIMENSIONS) -> str:
    """Return the digest of the table that `distill` makes, without making it."""
    return hashlib.sha256(f"{RECIPE} {encoder.digest} {dimensions}".encode()).hexdigest()[:16]


def project(vectors: Vectors, dimensions: int) -> npt.NDArray[np.float64]:
    """Project centred rows on their first principal components, each with its largest loading positive."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :dimensions]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return np.asarray(centred @ (axes * np.sign(largest)), dtype=np.float64)


def weigh_by_rank(size: int) -> npt.NDArray[np.float64]:
    """Return the weight of each sub-word: a / (a + p), p its share of all text by Zipf's law."""
    share = 1.0 / np.arange(1, size + 1)
    weight: npt.NDArray[np.float64] = SMOOTHING / (SMOOTHING + share / share.sum())
    return weight


def load_or_distill(encoder: SentenceEncoder, cache: Path) -> StaticEncoder:
    """Load the table of `encoder` from the folder `cache`; make and keep it where there is none or it is damaged."""
    path = cache / f"static-{name_table(encoder)}.npz"
    with contextlib.suppress(FileNotFoundError, InputError):
        return load_static_encoder(path)
    made = distill(encoder)
    save_static_encoder(made, path)
    return made


def save_static_encoder(encoder: StaticEncoder, path: Path) -> None:
    """Write the table and its vocabulary aside, then rename: a reader sees the whole file or none."""
    about = {"vocabulary": encoder.wordpiece.vocabulary, "lowercase": encoder.wordpiece.lowercase}
    members = json.dumps({**about, "digest": encoder.digest}).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, aside = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
        try:
            with os.fdopen(number, "wb") as file:
                np.savez(file, table=encoder.table, about=np.frombuffer(members, dtype=np.uint8))
            Path(aside).replace(path)
        finally:
            Path(aside).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder {path.parent} cannot be written ({error.strerror}): set GLUE_ML_SEMANTIC_CACHE to another"
        ) from error


#: What reading raises where a file is something else, or was made to do harm.
_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, RecursionError, MemoryError)


def load_static_encoder(path: Path) -> StaticEncoder:
    """Load what `save_static_encoder` wrote. Raises FileNotFoundError, and InputError where it is something else."""
    try:
        if path.stat().st_size > LARGEST_TABLE:
            raise InputError(f"{path} is larger than {LARGEST_TABLE >> 20} MiB")
        with path.open("rb") as file, _open_arrays(file) as arrays:
            table, about = arrays["table"], json.loads(arrays["about"].tobytes())
        return _make(table, about)
    except FileNotFoundError:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        RecursionError,
        MemoryError,
    ) as error:
        raise InputError(f"{path} holds no static embeddings: {error!r}") from error


def _open_arrays(file: BinaryIO) -> NpzFile:
    with zipfile.ZipFile(file) as archive:
        if sum(member.file_size for member in archive.infolist()) > LARGEST_TABLE:
            raise ValueError(f"it unpacks to more than {LARGEST_TABLE >> 20} MiB")
    file.seek(0)
    arrays: NpzFile = np.load(file, allow_pickle=False)
    return arrays


def _make(table: npt.NDArray[Any], about: Any) -> StaticEncoder:
    wordpiece = WordPiece(tuple(about["vocabulary"]), about["lowercase"])
    shaped = table.ndim == 2 and table.dtype == np.float16 and len(table) == len(wordpiece.vocabulary)
    if not shaped or not np.isfinite(table).all() or UNKNOWN not in wordpiece.numbers:
        raise ValueError(f"{table.dtype} {table.shape} for {len(wordpiece.vocabulary)} sub-words")
    return StaticEncoder(table, wordpiece, str(about["digest"]))
