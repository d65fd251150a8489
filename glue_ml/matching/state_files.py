"""A `MatchState` as files: Parquet for texts, npy for numbers, and `state.json`, whose presence completes it.

Each generation lies in a folder of its own, so that a run that fails half-way leaves the one before as it was. A state
is only taken for the model and the version of this package that wrote it: with others, pairs would score otherwise.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from glue_ml import __version__, storage
from glue_ml.errors import GlueMLError, InputError, NotFoundError
from glue_ml.matching.blocking import LEARNED_KEYS, BlockingBudget, BlockingIndex, KeyCounts
from glue_ml.matching.learning import Scorer
from glue_ml.matching.match_state import MatchState
from glue_ml.matching.model import MatchModel
from glue_ml.matching.piece_files import PieceFiles
from glue_ml.matching.records import ValueCounts, encode_column
from glue_ml.matching.row_pairs import RowPairs
from glue_ml.matching.semantic_view import SemanticView
from glue_ml.matching.sparse_view import SparseView
from glue_ml.matching.table_lists import TableLists
from glue_ml.matching.table_version import TableVersion
from glue_ml.matching.tokens import Incidence
from glue_ml.matching.touched import Found
from glue_ml.matching.touched_pairs import Scored

FORMAT = 3  #: Raised when an older reader would misread a saved state.
_FILE = "state.json"
_PAIRS = ("first", "hopeful", "edges")

Arrays = dict[str, "np.ndarray[Any, Any]"]


def save_state(state: MatchState, uri: str, model: MatchModel) -> None:
    """Write `state`, which `model` led to, below the folder `uri`; then remove the generation before.

    Where that fails nothing is left of it, and the generation before stays.
    """
    before = _read_description(uri)
    folder = f"{state.generation:08}-{uuid.uuid4().hex[:12]}"
    place = storage.join(uri, folder)
    try:
        arrays = _write_parts(state, place)
        described = {"folder": folder, **_describe(state, model, arrays)}
        storage.write_bytes(storage.join(uri, _FILE), json.dumps(described, indent=1).encode())
    except BaseException:
        _discard(uri, folder)
        raise
    if before is not None and before["folder"] != folder:
        storage.remove(storage.join(uri, before["folder"]))


def _discard(uri: str, folder: str) -> None:
    """Remove a generation whose writing failed, which may be gigabytes, unless it is the one that counts all the same.

    An object store may have taken what it did not confirm. That this fails too is not told: why writing failed is.
    """
    with suppress(GlueMLError, OSError):
        described = _read_description(uri)
        if described is None or described["folder"] != folder:
            storage.remove(storage.join(uri, folder))


def _write_parts(state: MatchState, place: str) -> dict[str, list[str]]:
    """Write the tables and arrays of a state to the folder `place`; return the names of the arrays by group."""
    for name, table in (("rows", state.table), ("values", _pack_values(state.values))):
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        storage.write_bytes(storage.join(place, f"{name}.parquet"), sink.getvalue())
    arrays, files = {"index": _pack_index(state.index), "found": _pack_found(state)}, PieceFiles(place)
    for name, packed in arrays.items():
        files.save_arrays(name, packed)
    return {name: sorted(packed) for name, packed in arrays.items()}


def _describe(state: MatchState, model: MatchModel, arrays: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    budget = state.index.budget
    return {
        "format": FORMAT,
        "model": digest_model(model),
        "generation": state.generation,
        "rows": len(state.ids),
        "counted_rows": state.values.rows,
        "version": None if state.version is None else vars(state.version),
        "budget": {"top_k": budget.top_k, "work_per_record": budget.work_per_record},
        "views": [view.name for view in _sparse_views(state.index)],
        "columns": len(state.values.values),
        "arrays": arrays,
    }


def load_state(uri: str, model: MatchModel) -> MatchState | None:
    """Read what `save_state` wrote for `model`; None where there is nothing, or what another model led to.

    Raises InputError where it is damaged.
    """
    described = _read_description(uri)
    if described is None or described.get("format") != FORMAT or described.get("model") != digest_model(model):
        return None
    try:
        return _add_meaning(_read_state(storage.join(uri, described["folder"]), described), model)
    except (KeyError, TypeError, ValueError, OSError, pa.ArrowException, NotFoundError) as error:
        raise InputError(
            f"the match state at {uri} is damaged ({type(error).__name__}: {error}); remove it and match in full"
        ) from error


def read_kept_version(uri: str) -> TableVersion | None:
    """Return the version of a Delta table that the state at `uri` is of, whatever model led to it; None if of none."""
    described = _read_description(uri)
    return None if described is None or described.get("format") != FORMAT else _version(described)


def _version(described: dict[str, Any]) -> TableVersion | None:
    version = described["version"]
    return None if version is None else TableVersion(**version)


def digest_model(model: MatchModel) -> str:
    """Return a text that is equal for models that score every pair alike."""
    described: list[Any] = [
        __version__, vars(model.settings), [profile.to_dict() for profile in model.profiles],
        model.unsupervised.to_dict(), model.source_column, [rule.to_dict() for rule in model.key_rules],
    ]  # fmt: skip
    if model.learned is not None:
        learned = model.learned
        scorers = (learned.context, learned.second, learned.plain, learned.alone)
        described += [learned.prefers_context, *(_describe_scorer(scorer) for scorer in scorers if scorer is not None)]
        described += learned.words.to_arrow().to_pylist()
        described += sorted((row.labeling_set_id, row.label, row.key) for row in learned.labels)
    if model.semantics is not None:
        read = model.semantics
        weights = {name: None if weight is None else weight.tolist() for name, weight in read.rarity.items()}
        described += [read.setting, read.encoder, sorted(read.searched), weights]
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()


def _describe_scorer(scorer: Scorer) -> list[Any]:
    fitted = [scorer.calibration.to_dict(), vars(scorer.prior)]
    return [scorer.width, *fitted, scorer.forest.to_arrow().to_pydict()]


def _read_description(uri: str) -> dict[str, Any] | None:
    path = storage.join(uri, _FILE)
    if not storage.exists(path):
        return None
    try:
        described: dict[str, Any] = json.loads(storage.read_bytes(path))
        return {"folder": str(described["folder"]), **described}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no description of a match state ({error}); remove it and match in full") from error


def _read_state(folder: str, described: dict[str, Any]) -> MatchState:
    tables = {name: _read_table(storage.join(folder, f"{name}.parquet")) for name in ("rows", "values")}
    files = PieceFiles(folder)
    arrays = {
        name: dict(zip(kept, files.load_arrays(name, kept), strict=True)) for name, kept in described["arrays"].items()
    }
    values = _unpack_values(tables["values"], described["counted_rows"], described["columns"])
    index = _unpack_index(arrays["index"], BlockingBudget(**described["budget"]), described["views"])
    found, ids = _unpack_found(arrays["found"])
    if not len(tables["rows"]) == index.rows == len(ids) == described["rows"]:
        raise ValueError("its parts are of different tables")
    return MatchState(
        tables["rows"].combine_chunks(), values, index, found, ids, described["generation"], _version(described)
    )


def _read_table(uri: str) -> pa.Table:
    return pq.read_table(io.BytesIO(storage.read_bytes(uri)))


def _pack_values(values: ValueCounts) -> pa.Table:
    """One table for all: `place` is 0 for words, 1 and on for columns."""
    texts, counts = [values.words, *values.values], [values.word_rows, *values.value_rows]
    place = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    return pa.table({"place": place, "value": pa.chunked_array(texts, pa.string()), "rows": np.concatenate(counts)})


def _unpack_values(table: pa.Table, rows: int, columns: int) -> ValueCounts:
    ends = np.searchsorted(table.column("place").to_numpy(), np.arange(columns + 2))
    texts, counts = table.column("value").combine_chunks(), table.column("rows").to_numpy()
    parts = [slice(start, stop) for start, stop in itertools.pairwise(ends)]
    texts = [texts.slice(part.start, part.stop - part.start) for part in parts]
    return ValueCounts(rows, texts[0], counts[parts[0]], tuple(texts[1:]), tuple(counts[p] for p in parts[1:]))


def _add_meaning(state: MatchState, model: MatchModel) -> MatchState:
    """Return the state with its semantic views, made anew: vectors take more room than the text they are of."""
    if model.semantics is None:
        return state
    views = []
    for name in (name for name in model.semantics.columns if name in model.semantics.searched):
        codes, values = encode_column(state.table.column(name))
        views.append(SemanticView(name, model.semantics.encode(name, values.to_pylist()), codes, state.index.source))
    return replace(state, index=replace(state.index, views=(*state.index.views, *views)))


def _sparse_views(index: BlockingIndex) -> tuple[SparseView, ...]:
    return tuple(view for view in index.views if isinstance(view, SparseView))


def _pack_index(index: BlockingIndex) -> Arrays:
    counts = index.counts
    arrays: Arrays = {"rows": np.array([counts.rows, counts.common, *counts.caps])}
    if index.source is not None:
        arrays["source"] = index.source
    for number, view in enumerate(_sparse_views(index)):
        parts = {name: getattr(view.matrix, name) for name in ("data", "indices", "indptr", "shape")}
        parts |= {"codes": view.codes, "counted": counts.codes[number], "frequency": counts.frequency[number]}
        arrays |= {f"{name}_{number}": np.asarray(part) for name, part in parts.items()}
    return arrays


def _unpack_index(arrays: Arrays, budget: BlockingBudget, names: list[str]) -> BlockingIndex:
    def part(name: str) -> tuple[np.ndarray[Any, Any], ...]:
        return tuple(arrays[f"{name}_{number}"] for number in range(len(names)))

    matrices = zip(part("data"), part("indices"), part("indptr"), part("shape"), strict=True)
    views = tuple(
        SparseView(
            name,
            Incidence((data, indices, indptr), shape=tuple(shape.tolist())),
            codes,
            arrays.get("source"),
            name == LEARNED_KEYS,
        )
        for name, (data, indices, indptr, shape), codes in zip(names, matrices, part("codes"), strict=True)
    )
    rows, common, *caps = arrays["rows"].tolist()
    return BlockingIndex(budget, views, KeyCounts(rows, common, tuple(caps), part("counted"), part("frequency")))


def _pack_found(state: MatchState) -> Arrays:
    found = state.found
    return {
        **{f"list_{name}": part for name, part in vars(found.lists).items()},
        **{f"{kind}_{name}": part for kind, pairs in vars(found.pairs).items() for name, part in vars(pairs).items()},
        "bounds": found.bounds, "labels": found.labels, "confidence": found.confidence, "ids": state.ids,
    }  # fmt: skip


def _unpack_found(arrays: Arrays) -> tuple[Found, np.ndarray[Any, Any]]:
    lists = TableLists(*(arrays[f"list_{f.name}"] for f in fields(TableLists)))
    pairs = Scored(*(RowPairs(*(arrays[f"{kind}_{f.name}"] for f in fields(RowPairs))) for kind in _PAIRS))
    return Found(lists, arrays["bounds"], pairs, arrays["labels"], arrays["confidence"]), arrays["ids"]
