"""People whose names and addresses are written in other scripts are matched as well as in Latin letters."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from glue_ml.matching import FindMatches
from tests.benchmarks.public_data import KEY, PublicSet
from tests.benchmarks.sparkless import Frame, without_spark
from tests.benchmarks.teaching import match_table

PEOPLE = 300
SCRIPTS: Mapping[str, Sequence[str]] = {  # surnames, given names, streets, cities, what stands between two words
    "Latin": (
        "smith johnson miller garcia lopez anderson taylor martin clark walker young wright hill green baker nelson",
        "anna peter maria john paul lucy mark helen laura simon",
        "king queen mill church station park lake forest river bridge",
        "london paris boston denver austin leeds york dover",
        " ",
    ),
    "Japanese": (
        "佐藤 鈴木 高橋 田中 伊藤 渡辺 山本 中村 小林 加藤 吉田 山田 佐々木 山口 松本 井上",
        "太郎 花子 健一 美咲 翔太 陽子 直樹 恵子 大輔 由美子",
        "本町 中央 栄町 緑町 旭町 幸町 若葉 桜台 富士見 新町",
        "東京都新宿区 大阪市北区 京都市左京区 横浜市中区 名古屋市東区 札幌市南区 神戸市灘区 福岡市博多区",
        "",
    ),
    "Russian": (
        "иванов смирнов кузнецов попов васильев петров соколов михайлов новиков фёдоров морозов волков лебедев егоров",
        "анна пётр мария иван павел людмила марк елена лариса семён",
        "ленина мира садовая лесная школьная новая речная парковая озёрная мостовая",
        "москва казань самара омск томск тверь пермь уфа",
        " ",
    ),
    "Arabic": (
        "الحسن العلي المصري الخطيب الشامي النجار الحداد الصالح السيد الأحمد العمري الزهراني الغامدي القحطاني الشمري",
        "محمد أحمد فاطمة علي مريم خالد سارة يوسف ليلى عمر",
        "النيل الجامعة السلام الملك النصر الحرية الجلاء الوحدة الثورة المطار",
        "القاهرة دمشق بغداد الرياض جدة عمان بيروت تونس",
        " ",
    ),
}


def misspell(rng: random.Random, text: str, letters: str) -> str:
    """Leave out, double or replace a letter, or leave out all."""
    place = rng.randrange(len(text))
    return rng.choice([
        text[:place] + text[place + 1 :],
        text[:place] + text[place] + text[place:],
        text[:place] + rng.choice(letters) + text[place + 1 :],
        "",
    ])  # fmt: skip


def make_people(script: str) -> PublicSet:
    """Return people who are written down up to three times, one value in four misspelled after the first."""
    rng = random.Random(0)
    surnames, given, streets, cities = (words.split() for words in SCRIPTS[script][:4])
    space = SCRIPTS[script][4]
    letters = "".join(surnames)
    rows: list[list[Any]] = []
    for _ in range(PEOPLE):
        name, street = (
            rng.choice(surnames) + space + rng.choice(given),
            f"{rng.choice(streets)}{space}{rng.randint(1, 199)}",
        )
        birthday = f"{rng.randint(1940, 2005)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
        true = [name, street, rng.choice(cities), birthday, str(rng.randint(10**8, 10**9))]
        for copy in range(rng.choice([1, 1, 2, 2, 3])):
            spoiled = [misspell(rng, each, letters) if copy and rng.random() < 0.25 else each for each in true]
            rows.append([each or None for each in spoiled] + [true[-1]])
    keys = [f"r{number:04}" for number in range(len(rows))]
    columns = list(zip(*rows, strict=True))
    names = ("name", "street", "city", "born", "phone")
    table = pa.table({KEY: keys, "source": ["x"] * len(rows), **dict(zip(names, columns[:-1], strict=True))})
    return PublicSet(script, table, dict(zip(keys, columns[-1], strict=True)), cross=False)


def match_without_labels(people: PublicSet) -> dict[str, float]:
    with without_spark():
        df: Any = Frame(people.table)
        return dict(match_table(FindMatches(primary_key=KEY, seed=0).fit(df, None), people, df)[0])


@pytest.mark.parametrize("script", SCRIPTS)
def test_people_are_matched_in_any_script(script: str) -> None:
    scores = match_without_labels(make_people(script))
    assert scores["precision"] > 0.97
    assert scores["recall"] > 0.95


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_name_a_street_and_a_city_go_far(script: str) -> None:
    people = make_people(script)
    scores = match_without_labels(replace(people, table=people.table.drop_columns(["born", "phone"])))
    assert scores["precision"] > 0.9, "sharing a common name is taken for being the same"
    assert scores["recall"] > 0.7
