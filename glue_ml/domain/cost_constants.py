"""What matching costs, as numbers: bytes, and CPU seconds of one core. The one place where they stand.

Measured by `python -m tests.benchmarks.cost_constants` on 100,000 synthetic persons, one core of an x86-64 virtual
machine, Python 3.11, without Spark; what was measured otherwise says so. Measure again with the same command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class KindCost:
    """A column of a kind: its usual values, and CPU microseconds to prepare a cell and to compare a pair of cells.

    `chars` and `words` are those of a value on average, `distinct` is the share of values among the rows. Both costs
    are for values of so many characters, and grow with them.
    """

    chars: float
    words: float
    distinct: float
    prepare_us: float
    pair_us: float


#: By kind of column, as `glue_ml.matching.profile.ColumnKind` names them.
KINDS: Mapping[str, KindCost] = {
    "empty": KindCost(0.0, 0.0, 0.0, 0.1, 0.0),
    "category": KindCost(8.0, 0.0, 0.0, 0.2, 0.3),
    "email": KindCost(30.0, 4.6, 0.6, 1.5, 2.2),
    "phone": KindCost(12.0, 3.5, 0.7, 2.4, 2.0),
    "date": KindCost(10.0, 4.0, 0.3, 0.8, 1.2),
    "number": KindCost(7.0, 3.0, 0.7, 1.8, 1.5),
    "code": KindCost(9.0, 1.0, 0.7, 0.8, 1.5),
    "name": KindCost(8.0, 1.4, 0.1, 0.4, 1.3),
    "text": KindCost(48.0, 7.0, 0.8, 3.0, 4.5),
    "long_text": KindCost(310.0, 41.0, 1.0, 30.0, 19.0),
}

# -- Memory, in bytes --------------------------------------------------------------------------------------------------
KEY_BYTES = 12.0  #: A row's key in an Arrow table.
CELL_BYTES = 4.3  #: A cell in an Arrow table besides its characters: an offset and a bit.
CODE_BYTES = 4.0  #: A cell of the prepared records: the number of its value.
VALUE_BYTES = 24.0  #: A distinct value besides its characters: where it begins, its rarity, the weight of its words.
WORD_BYTES = 26.0  #: A word of a distinct value: its number and weight, and its share in the vocabulary.
ROW_WORD_BYTES = 20.0  #: A word of a row: its number and weight, and again if it holds a digit.
FEATURE_BYTES = 16.0  #: A feature of a row in the index: twice, as the index is kept by row and by feature.
#: Letter groups of a row that are kept, for each of its characters and each multiply-add that a record may cost; at
#: 20,000, 100,000 and 500,000 rows.
GRAMS_PER_CHAR = 4.5e-5
MOST_GRAMS_PER_CHAR = 0.52
BUILD_BYTES = 8.0  #: A word or letter group of a row, while the driver builds the index; peak at 1 M rows.
PROCESS_MB = 250  #: A Python process with the engine and a batch of pairs, before it has any records.
JVM_OUTSIDE_SHARE = 0.10  #: Of a container, what the JVM takes outside its heap; Spark's own rule.

# -- Blocking ----------------------------------------------------------------------------------------------------------
VIEWS = 2  #: Words and letter groups; learned keys and meaning come with labels and add to it.
SMALL_TABLE_WORK = 300_000_000  #: As in `matching.blocking`: multiply-adds that any table may cost.
PAIRS_PER_CANDIDATE = 1.25  #: Candidate pairs of a row for each candidate that a view may propose.
LISTED_PER_PAIR = 1.4  #: Rows of the candidate lists for each pair: most are proposed by both records.
SECOND_LOOK_SHARE = 0.04  #: Of the candidate pairs, those that could become edges and are looked at again.

# -- CPU, in microseconds of one core ----------------------------------------------------------------------------------
INDEX_US = 0.12  #: A word or letter group of a row, when the index is built.
LIST_US = 70.0  #: A row's candidates: what does not depend on how common its words are.
MULTIPLY_ADD_US = 0.004
#: Of the sum of what comparing each column alone takes, what comparing them together does: words are compared once.
TOGETHER = 0.45
FIRST_LOOK_US = 2.7  #: A pair: the forest and the rivals.
SECOND_LOOK_US = 8.5
CLUSTER_US = 1.0  #: A row, on the driver.

# -- In pieces, see `matching.pieces` ----------------------------------------------------------------------------------
PIECE_ROWS, PIECE_CHARS = 500_000, 60_000_000  #: As in `matching.plan_choice`.
PIECE_FACTOR = 2.2  #: Memory of a task that works on a piece over what its records and index take; peak at 1 M rows.
PIECE_DRIVER_ROW_BYTES = 260.0  #: A row on the driver: match id, confidence, links to cluster; 10 M persons.
CUT_US = 22.0  #: A row besides being read and prepared: sorted, counted and written.
SEARCH_PIECE_US = 1.0  #: A row, for each piece that it is searched in.
GATHERED_ROWS = 1.2  #: Rows that are prepared anew for each pair that is compared.

# -- Spark -------------------------------------------------------------------------------------------------------------
SHUFFLE_BYTES_PER_PAIR = 26.0  #: Written by the tasks that list candidates; 100,000 and 1 M persons, Spark 4.1.
#: CPU of a run on Spark for each CPU second of the kernels: Arrow, Python workers, shuffle, garbage collection. With it
#: and START_SECONDS the model comes within 17 % of the 55 and 306 CPU seconds of 100,000 and 1 M persons on `local[2]`.
SPARK_FACTOR = 1.2
SKEW = 1.3  #: The slowest task over the median one: 1.2 where pairs are scored, up to 3 where candidates are listed.
START_SECONDS = 14.0  #: Spark's start, the labels, the model and the end.
READ_US = 15.0  #: A row, read and sent to the driver; grows with its bytes.
WRITE_US = 30.0  #: A row, joined with its match id and written.
