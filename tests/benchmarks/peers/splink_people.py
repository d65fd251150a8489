"""Splink on DuckDB over the project's synthetic persons, with settings and blocking rules written by hand for them.

    python -m tests.benchmarks.peers.splink_people RECORDS WORK

Runs within Splink's environment. RECORDS is a folder of Parquet files, read by DuckDB itself; WORK gets
`clusters@THRESHOLD.parquet` (customer_id, cluster) for each threshold and `report.json` (seconds by stage, pairs).
The rules are keys that a person who knows such tables would write: whoever shares a phone number, an e-mail address,
a birthday and a name, an address and a name. Each proposes at most a few pairs for each record.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import splink.comparison_level_library as levels
import splink.comparison_library as comparisons
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

THRESHOLDS = (0.95, 0.999, 0.9999)
SEED = 1

#: Lower case without accents; digits of a phone number without its prefixes; nothing where a cell is empty.
_COLUMNS = """
    customer_id as unique_id,
    nullif(lower(strip_accents(trim(first_name))), '') as first_name,
    nullif(lower(strip_accents(trim(last_name))), '') as last_name,
    nullif(lower(strip_accents(trim(street))), '') as street,
    nullif(lower(trim(house_number)), '') as house,
    nullif(lower(strip_accents(trim(city))), '') as city,
    nullif(upper(regexp_replace(postcode, '[^0-9A-Za-z]', '', 'g')), '') as postcode,
    nullif(lower(trim(state)), '') as state,
    nullif(right(regexp_replace(phone, '[^0-9]', '', 'g'), 10), '') as phone,
    nullif(lower(trim(email)), '') as email,
    nullif(trim(date_of_birth), '') as born
"""
RULES = (
    ("phone",),
    ("email",),
    ("first_name", "born"),
    ("last_name", "born"),
    ("first_name", "last_name", "city"),
    ("first_name", "last_name", "substr(postcode, 1, 3)"),
    ("first_name", "street", "house"),
    ("last_name", "street", "house"),
    ("born", "postcode"),
    ("first_name", "postcode"),
    ("last_name", "postcode"),
    ("substr(email, 1, 8)", "born"),
)
CERTAIN = (("first_name", "last_name", "born"), ("phone", "last_name"), ("email", "born"))
TRAINING = (("first_name", "born"), ("first_name", "last_name"))


def read_records(folder: Path) -> Any:
    """Return the cleaned records as an Arrow table."""
    source = str(folder / "*.parquet").replace("'", "''")
    return duckdb.sql(f"select {_COLUMNS} from read_parquet('{source}')").to_arrow_table()


def describe_comparisons() -> list[Any]:
    """Return the comparisons. What a household shares is one comparison: as several, relatives would be matches."""
    return [
        comparisons.JaroWinklerAtThresholds("first_name", [0.92, 0.85]).configure(term_frequency_adjustments=True),
        comparisons.JaroWinklerAtThresholds("last_name", [0.92, 0.85]).configure(term_frequency_adjustments=True),
        comparisons.CustomComparison(_describe_contact(), output_column_name="contact"),
        comparisons.DamerauLevenshteinAtThresholds("born", [1, 2]),
        comparisons.CustomComparison(
            [
                levels.NullLevel("email"),
                levels.ExactMatchLevel("email"),
                levels.JaroWinklerLevel("email", 0.93),
                levels.JaroWinklerLevel("email", 0.85),
                levels.ElseLevel(),
            ],
            output_column_name="email",
        ),
    ]


def _describe_contact() -> list[Any]:
    phone = "damerau_levenshtein(phone_l, phone_r) <= 1"
    home = (
        "(street_l = street_r or jaro_winkler_similarity(street_l, street_r) > 0.9) and house_l = house_r"
        " or postcode_l = postcode_r and house_l = house_r or postcode_l = postcode_r and street_l = street_r"
    )
    return [
        levels.CustomLevel(f"({home}) and {phone}", "same home and phone"),
        levels.CustomLevel(phone, "same phone"),
        levels.CustomLevel(home, "same home"),
        levels.CustomLevel("postcode_l = postcode_r or street_l = street_r", "near"),
        levels.ExactMatchLevel("city"),
        levels.ElseLevel(),
    ]


def main(records: Path, work: Path) -> None:
    """Cluster the records and leave the clusters."""
    begun, seconds = time.monotonic(), dict[str, float]()

    def clock(name: str) -> None:
        seconds[name] = round(time.monotonic() - begun - sum(seconds.values()), 2)

    api = DuckDBAPI()
    frame = api.register(read_records(records), dataset_display_name="people")
    settings = SettingsCreator(
        link_type="dedupe_only",
        comparisons=describe_comparisons(),
        blocking_rules_to_generate_predictions=[block_on(*rule) for rule in RULES],
    )
    linker = Linker([frame], settings)
    clock("read")
    linker.training.estimate_probability_two_random_records_match([block_on(*rule) for rule in CERTAIN], recall=0.8)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=SEED)
    for rule in TRAINING:
        linker.training.estimate_parameters_using_expectation_maximisation(block_on(*rule))
    clock("train")
    scored = linker.inference.predict(threshold_match_probability=min(THRESHOLDS))
    clock("predict")
    for threshold in THRESHOLDS:
        found = linker.clustering.cluster_pairwise_predictions_at_threshold(scored, threshold)
        table = found.as_duckdbpyrelation().select("unique_id as customer_id, cluster_id as cluster")
        table.write_parquet(str(work / f"clusters@{threshold}.parquet"))
    clock("cluster")
    pairs = scored.as_duckdbpyrelation().aggregate("count(*)").fetchall()[0][0]
    report = {"seconds": seconds, "pairs": pairs}
    (work / "report.json").write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
