from __future__ import annotations

import base64
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from glue_ml.matching import report_charts, report_sections
from glue_ml.matching.data_quality import ColumnQuality, RowQuality
from glue_ml.matching.evaluation import HeldOut, Quality, evaluate_scores
from glue_ml.matching.report_data import ReportData, choose_hardest, measure_calibration, wilson_interval
from glue_ml.matching.report_sections import render_report

HOSTILE = (
    "</td></table><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>\x00\u202e\"'&amp;\ud800"
)
NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def make_held_out(pairs: int = 200, seed: int = 0) -> HeldOut:
    rng = np.random.default_rng(seed)
    probability = rng.random(pairs)
    keys = [f"k{i}" for i in range(2 * pairs)]
    return HeldOut(
        tuple(keys[::2]), tuple(keys[1::2]), rng.random(pairs) < probability, probability, rng.random(pairs) < 0.1
    )


def make_data(text: str = "Müller & Co", pairs: int = 200) -> ReportData:
    held_out = make_held_out(pairs)
    evaluation = evaluate_scores(
        held_out.is_match,
        held_out.probability,
        threshold=0.5,
        column_importances=[(text, 0.7), ("plain", 0.3)],
        candidate_recall=0.97,
    )
    hardest = choose_hardest(held_out, 0.5)
    keys = {key for pair in hardest for key in (pair.left, pair.right)}
    values: Mapping[str, Mapping[str, str | None]] = {key: {text: f"{text} {key}", "plain": None} for key in keys}
    return ReportData(
        title=f"About {text}",
        now=NOW,
        label_count=120,
        evaluation=evaluation,
        held_out=held_out,
        plan={"name": "driver", "reason": text, "top_k": 10, "index_bytes": 3 * 2**20},
        columns=(
            ColumnQuality(text, "name", 1000, 900, 800, ((text, 40), ("smith", 7))),
            ColumnQuality("plain", "empty", 1000, 0, 0, ()),
        ),
        rows=RowQuality(1000, False, np.arange(1000) % 70, 15, 30, 40, (text, "k7")),
        table_rows=1000,
        hardest=hardest,
        values=values,
    )


@pytest.fixture(scope="module")
def hostile_page() -> str:
    return render_report(make_data(HOSTILE))


class Elements(HTMLParser):
    """Notes every element that a lenient parser sees."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)


def parse(page: str) -> ET.Element:
    """Strictly: every element is closed in its place, every character is one that XML allows."""
    return ET.fromstring(page.replace("<!DOCTYPE html>", "", 1))


def find_addresses(root: ET.Element) -> list[str]:
    names = {"src", "href", "srcset", "action", "data", "poster", "{http://www.w3.org/1999/xlink}href"}
    return [value for element in root.iter() for name, value in element.attrib.items() if name in names]


def find_images(root: ET.Element) -> list[ET.Element]:
    return [ET.fromstring(base64.b64decode(each.attrib["src"].partition(",")[2])) for each in root.iter("img")]


def test_the_report_is_one_well_formed_page_with_all_of_its_parts() -> None:
    root = parse(render_report(make_data()))
    headings = [element.text for element in root.iter("h2")]
    assert headings == [
        "How good it is",
        "Are its probabilities right?",
        "Which columns matter",
        "Which pairs are looked at",
        "The hardest pairs",
        "The columns",
        "Rows that cannot be linked",
    ]
    assert len(find_images(root)) == 5
    text = "".join(root.itertext())
    for part in ("2026-01-02 03:04 UTC", "Müller & Co k", "90.0%", "'smith' (7)", "0.9700", "3.0 MiB", "15 of 1,000"):
        assert part in text


def test_the_intervals_are_shown_and_the_numbers_are_those_of_the_evaluation() -> None:
    data = make_data()
    quality = Quality(0.95, 0.9712, 0.8034, 0.9056, (0.95, 1.0), (0.7, 0.8512), (0.82, 0.93))
    found = replace(
        data.evaluation, precision=quality.precision, recall=quality.recall, f1=quality.f1,
        precision_interval=quality.precision_interval, recall_interval=quality.recall_interval,
        f1_interval=quality.f1_interval,
    )  # fmt: skip
    cells = [cell.itertext() for cell in parse(render_report(replace(data, evaluation=found))).iter("td")]
    shown = ["".join(cell) for cell in cells]
    for value, interval in (
        ("0.9712", "0.9500 to 1.0000"),
        ("0.8034", "0.7000 to 0.8512"),
        ("0.9056", "0.8200 to 0.9300"),
    ):
        assert shown[shown.index(value) + 1] == interval
    assert "interval" not in "".join(parse(render_report(data)).find("body/section").itertext())  # type: ignore[union-attr]


def test_the_page_loads_nothing_and_runs_nothing(hostile_page: str) -> None:
    root = parse(hostile_page)
    addresses = find_addresses(root)
    assert addresses
    assert all(address.startswith("data:image/svg+xml;base64,") for address in addresses)
    assert {element.tag for element in root.iter()}.isdisjoint({"script", "link", "iframe", "object", "embed", "base"})
    assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]
    style = next(root.iter("style")).text or ""
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = (e.attrib["content"] for e in root.iter("meta") if "Policy" in e.attrib.get("http-equiv", ""))
    assert policy.startswith("default-src 'none'")


def test_the_charts_load_nothing_and_run_nothing(hostile_page: str) -> None:
    for image in find_images(parse(hostile_page)):
        tags = {element.tag.rpartition("}")[2] for element in image.iter()}
        assert tags.isdisjoint({"script", "image", "foreignObject", "a", "use"})
        assert [address for address in find_addresses(image) if not address.startswith("#")] == []


def test_a_hostile_value_is_shown_as_the_text_that_it_is(hostile_page: str) -> None:
    shown = [element.text for element in parse(hostile_page).iter("bdi")]
    assert any("<script>alert(1)</script>" in (text or "") for text in shown)
    assert "\x00" not in hostile_page
    assert "\u202e" not in hostile_page
    hostile_page.encode("utf-8")


def test_a_lenient_parser_sees_the_same_elements(hostile_page: str) -> None:
    parser = Elements()
    parser.feed(hostile_page)
    assert parser.opened == [element.tag for element in parse(hostile_page).iter()]


def test_a_browser_opens_the_report_and_draws_its_charts(tmp_path: Path, hostile_page: str) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"none of the browsers {', '.join(BROWSERS)} is installed")
    path = tmp_path / "report.html"
    path.write_text(hostile_page, encoding="utf-8")
    options = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--virtual-time-budget=5000",
    )
    shown = subprocess.run(
        [browser, *options, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()],
        capture_output=True, check=True, timeout=120,
    ).stdout.decode()  # fmt: skip
    assert shown.count("<h2>") == 7
    assert shown.count("<img ") == 5
    assert "<script" not in shown


def test_wrong_pairs_come_first_the_surest_before_the_others() -> None:
    held_out = HeldOut(
        ("a", "b", "c", "d"),
        ("e", "f", "g", "h"),
        np.array([True, False, True, False]),
        np.array([0.4, 0.99, 0.55, 0.01]),
        np.array([False, True, False, False]),
    )
    hardest = choose_hardest(held_out, 0.5, limit=3)
    assert [(pair.left, pair.is_wrong, pair.is_slip) for pair in hardest] == [
        ("b", True, True), ("a", True, False), ("c", False, False),
    ]  # fmt: skip


def test_a_slip_is_told_as_such() -> None:
    data = make_data()
    slips = [pair for pair in data.hardest if pair.is_slip]
    assert slips
    assert render_report(data).count("perhaps a slip: not learned from") == len(slips)


def test_calibration_counts_every_pair_in_its_bin() -> None:
    held_out = make_held_out(500)
    bins = measure_calibration(held_out)
    assert sum(each.pairs for each in bins) == 500
    assert [each.predicted for each in bins] == sorted(each.predicted for each in bins)
    for each in bins:
        assert each.low <= each.observed <= each.high
        assert each.low <= each.predicted <= each.high


def test_probabilities_of_exactly_one_have_a_bin() -> None:
    held_out = HeldOut(("a",), ("b",), np.array([True]), np.array([1.0]), np.array([False]))
    (only,) = measure_calibration(held_out)
    assert (only.pairs, only.observed) == (1, 1.0)


@pytest.mark.parametrize(("share", "count"), [(0.0, 1), (1.0, 3), (0.5, 10), (0.02, 1000)])
def test_an_interval_holds_its_share_and_narrows_with_more_draws(share: float, count: int) -> None:
    low, high = wilson_interval(share, count)
    assert 0.0 <= low <= share <= high <= 1.0
    narrower = wilson_interval(share, 4 * count)
    assert narrower[1] - narrower[0] < high - low


def test_a_row_that_has_gone_is_told() -> None:
    data = make_data()
    gone = data.hardest[0].left
    page = render_report(replace(data, values={key: row for key, row in data.values.items() if key != gone}))
    assert f"The table no longer has the row {gone}." in page


def test_a_report_of_nothing_much_can_be_drawn() -> None:
    data = make_data(pairs=2)
    rows = RowQuality(0, False, np.zeros(0, dtype=np.int64), 0, 0, 0, ())
    parse(render_report(replace(data, columns=(), rows=rows, hardest=(), table_rows=0)))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_charts, "PACKAGES", ("no_such_package",))
    assert report_charts.find_missing_package() == "no_such_package"


def test_the_numbers_of_candidates_fit_into_few_bars() -> None:
    bars = report_sections._count_candidates(np.arange(1000))
    assert len(bars) <= report_sections.MOST_CANDIDATES + 1
    assert sum(bar["rows"] for bar in bars) == 1000
    assert bars[0] == {"candidates": "0", "rows": 1}
    assert re.fullmatch(r"1-\d+", bars[1]["candidates"])
