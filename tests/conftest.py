"""Lets tests import the jobs, and Spark's Python workers and spark-submit import the project, from this clone."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parent.parent

sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


# how long an example takes says how busy the machine is, not whether the code is right
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@dataclass(frozen=True)
class People:
    """A table of synthetic people as a Parquet file, its key, and the person that each key stands for."""

    path: Path
    key: str
    columns: tuple[str, ...]
    truth: Mapping[str, str]

    def answer(self, labeling_sets: bytes) -> bytes:
        """Fill in the label column of a file of labelling sets with the truth, as a careful person would."""
        header, *rows = csv.reader(io.StringIO(labeling_sets.decode("utf-8")))
        key = header.index(self.key)
        answered = io.StringIO()
        writer = csv.writer(answered)
        writer.writerow(header)
        writer.writerows([row[0], self.truth[row[key]], *row[2:]] for row in rows)
        return answered.getvalue().encode("utf-8")


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The address of moto, which answers as S3 and Glue do: AWS's own are not at hand."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A local session on two cores with Delta and Avro: the only one of this process, as Spark allows no more.

    Starting it costs more than most tests; a test that would stop it has to do so in a process of its own.
    """
    from glue_ml.session import open_session

    folder = tmp_path_factory.mktemp("spark")
    session = open_session(
        "glue-ml tests",
        master="local[2]",
        settings={
            "spark.default.parallelism": "4",
            "spark.sql.shuffle.partitions": "4",
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
            "spark.local.dir": str(folder / "local"),
        },
    )
    yield session
    session.stop()


@pytest.fixture(scope="session")
def make_people_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], People]:
    """Makes a table of so many rows, a good third of them repeated."""

    def make(rows: int) -> People:
        import pyarrow.parquet as pq

        from glue_ml.synthetic import ENTITY_ID, KEY, make_people, split_truth

        people, _ = split_truth(table := make_people(rows, seed=5, duplicate_share=0.4))
        path = tmp_path_factory.mktemp("people") / "people.parquet"
        pq.write_table(people, path)
        keys, entities = (map(str, table.column(name).to_pylist()) for name in (KEY, ENTITY_ID))
        return People(path, KEY, tuple(people.column_names), dict(zip(keys, entities, strict=True)))

    return make
