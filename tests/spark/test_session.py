from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from glue_ml.session import DELTA_CATALOG, DELTA_EXTENSION, find_session, open_session

# Three sessions in one fresh process: one that cannot get its packages, one that can, and one after it was stopped.
FRESH_PROCESS = """
import json, sys
from glue_ml.errors import GlueMLError
from glue_ml.session import find_session, open_session

ivy, table = sys.argv[1:]
offline = {"spark.jars.ivy": f"{ivy}/cache", "spark.jars.ivySettings": f"{ivy}/settings.xml"}
told = {"before": find_session() is None}
try:
    open_session("offline", master="local[1]", settings=offline)
except GlueMLError as error:
    told["offline"] = [error.kind, str(error)]
for name in ("first", "second"):
    spark = open_session(name, master="local[1]")
    spark.range(3).write.format("delta").mode("overwrite").save(table)
    told[name] = {
        "rows": spark.read.format("delta").load(table).count(),
        "app": spark.sparkContext.appName,
        "zone": spark.conf.get("spark.sql.session.timeZone"),
        "catalog": spark.conf.get("spark.sql.catalog.spark_catalog"),
        "memory": spark.sparkContext.getConf().get("spark.driver.memory"),
    }
    spark.stop()
    told[name]["stopped"] = find_session() is None
print(json.dumps(told))
"""
NO_REPOSITORY = """
<ivysettings>
  <settings defaultResolver="nothing"/>
  <resolvers><filesystem name="nothing"><artifact pattern="/nonexistent/[artifact].[ext]"/></filesystem></resolvers>
</ivysettings>
"""


@pytest.fixture(scope="module")
def fresh_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process tells whose environment has a spark-defaults.conf of its own."""
    folder = tmp_path_factory.mktemp("fresh")
    (folder / "settings.xml").write_text(NO_REPOSITORY)
    (folder / "spark-defaults.conf").write_text(
        "spark.sql.session.timeZone Europe/Berlin\nspark.driver.memory 700m\n", encoding="utf-8"
    )
    ran = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, str(folder), str(folder / "table")],
        env={**os.environ, "SPARK_CONF_DIR": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return told


def test_a_session_that_is_there_is_returned_untouched(spark: SparkSession) -> None:
    before = dict(spark.sparkContext.getConf().getAll())
    assert open_session("another", master="local[7]", settings={"spark.sql.session.timeZone": "Asia/Tokyo"}) is spark
    assert find_session() is spark
    assert dict(spark.sparkContext.getConf().getAll()) == before
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spark.driver.maxResultSize", "0"),
        ("spark.sql.extensions", DELTA_EXTENSION),
        ("spark.sql.catalog.spark_catalog", DELTA_CATALOG),
        ("spark.sql.execution.arrow.pyspark.enabled", "true"),
        ("spark.sql.session.timeZone", "UTC"),
        ("spark.sql.shuffle.partitions", "4"),
        ("spark.ui.enabled", "false"),
        ("spark.ui.showConsoleProgress", "false"),
        ("spark.log.level", "ERROR"),
        ("spark.master", "local[2]"),
    ],
)
def test_a_session_has_what_the_engine_needs(spark: SparkSession, name: str, value: str) -> None:
    assert spark.sparkContext.getConf().get(name) == value


@pytest.mark.parametrize("format_", ["delta", "avro"])
def test_a_table_survives_a_format_that_comes_as_a_package(spark: SparkSession, tmp_path: Path, format_: str) -> None:
    uri = str(tmp_path / "table")
    spark.createDataFrame([(1, "Zoë"), (2, None)], "id long, name string").write.format(format_).save(uri)
    rows = spark.read.format(format_).load(uri).orderBy("id").collect()
    assert [tuple(row) for row in rows] == [(1, "Zoë"), (2, None)]


def test_workers_run_the_python_of_the_driver(spark: SparkSession) -> None:
    def tell(batches: Any) -> Any:
        for batch in batches:
            yield batch.assign(python=sys.executable)

    (row,) = spark.range(1).coalesce(1).mapInPandas(tell, "id long, python string").collect()
    assert Path(row["python"]).resolve() == Path(sys.executable).resolve()


def test_no_session_is_found_where_none_is(fresh_process: dict[str, Any]) -> None:
    assert fresh_process["before"] is True
    assert fresh_process["first"]["stopped"] is True


def test_packages_that_cannot_be_had_are_told_with_what_to_do(fresh_process: dict[str, Any]) -> None:
    kind, message = fresh_process["offline"]
    assert kind == "UNAVAILABLE"
    assert message.startswith("Spark could not fetch io.delta:delta-spark_")
    assert "start with: spark-submit --packages io.delta:delta-spark_" in message
    assert "\n" not in message


def test_the_environment_wins_over_the_defaults(fresh_process: dict[str, Any]) -> None:
    assert fresh_process["first"]["zone"] == "Europe/Berlin"
    assert fresh_process["first"]["memory"] == "700m"
    assert fresh_process["first"]["catalog"] == DELTA_CATALOG


def test_a_second_session_of_the_process_has_delta_too(fresh_process: dict[str, Any]) -> None:
    assert [fresh_process[name]["rows"] for name in ("first", "second")] == [3, 3]
    assert [fresh_process[name]["app"] for name in ("first", "second")] == ["first", "second"]
