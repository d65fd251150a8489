"""The charts of the evaluation report as SVG: drawn once, without a script, so that no value in them can run.

They need the packages of the extra `report`; `find_missing_package` tells which one is not there. Their text is kept as
text and their colours differ in lightness as well, for print.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

PACKAGES = ("altair", "vl_convert")
WIDTH, HEIGHT = 380, 240  #: Pixels of a chart's inside.
DARK, LIGHT, GREY = "#1f4e79", "#f0a04b", "#8a8a8a"
MAX_LABEL = 180  #: Pixels that the name of a column may take.

Points = Sequence[Mapping[str, Any]]


def find_missing_package() -> str | None:
    """Return the import name of the first package that is needed and not installed; None where all are there."""
    return next((name for name in PACKAGES if importlib.util.find_spec(name) is None), None)


def draw_precision_recall(curve: Points, operating: Mapping[str, float]) -> str:
    """Draw `curve` (recall, precision) and the point that the threshold of the model takes on it."""
    import altair as alt

    x = alt.X("recall:Q", title="recall", scale=alt.Scale(domain=[0, 1]))
    y = alt.Y("precision:Q", title="precision", scale=alt.Scale(domain=[0, 1]))
    line = _chart(curve).mark_line(color=DARK, interpolate="step-before").encode(x=x, y=y, order="place:Q")
    point = _chart([operating]).mark_point(color=LIGHT, filled=True, size=140, stroke="black").encode(x=x, y=y)
    return _render(alt.layer(line, point))


def draw_calibration(bins: Points) -> str:
    """Draw predicted probability (`predicted`) against the share of matches (`observed`, `low` to `high`)."""
    import altair as alt

    scale = alt.Scale(domain=[0, 1])
    x = alt.X("predicted:Q", title="predicted probability", scale=scale)
    diagonal = _chart([{"predicted": 0, "observed": 0}, {"predicted": 1, "observed": 1}]).mark_line(
        color=GREY, strokeDash=[4, 4]
    )
    bars = _chart(bins).mark_rule(color=DARK).encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q")
    points = _chart(bins).mark_point(color=DARK, filled=True, size=70)
    y = alt.Y("observed:Q", title="share of matches", scale=scale)
    return _render(alt.layer(diagonal.encode(x=x, y=y), bars, points.encode(x=x, y=y)))


def draw_histogram(bars: Points, threshold: float) -> str:
    """Draw labelled pairs by probability: bars from `low` to `high` and from `bottom` to `top`, one for each `kind`."""
    import altair as alt

    colour = alt.Color("kind:N", title=None, scale=alt.Scale(domain=["match", "no match"], range=[DARK, LIGHT]))
    columns = (
        _chart(bars)
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("low:Q", title="probability", scale=alt.Scale(domain=[0, 1])),
            x2="high:Q",
            y=alt.Y("bottom:Q", title="labelled pairs"),
            y2="top:Q",
            color=colour,
        )
    )
    limit = _chart([{"low": threshold}]).mark_rule(color="black", strokeDash=[6, 3]).encode(x="low:Q")
    return _render(alt.layer(columns, limit))


def draw_importances(shares: Points) -> str:
    """Draw each `column`'s `share`, the largest first."""
    import altair as alt

    chart = (
        _chart(shares)
        .mark_bar(color=DARK)
        .encode(
            x=alt.X("share:Q", title="importance", scale=alt.Scale(domainMin=0)),
            y=alt.Y("column:N", title=None, sort=None, axis=alt.Axis(labelLimit=MAX_LABEL)),
        )
    )
    return _render(chart, height=max(60, 22 * len(shares)))


def draw_candidates(bars: Points) -> str:
    """Draw how many `rows` have so many `candidates`."""
    import altair as alt

    x = alt.X("candidates:O", title="candidates of a row", sort=None, axis=alt.Axis(labelAngle=0, labelOverlap=True))
    return _render(_chart(bars).mark_bar(color=DARK).encode(x=x, y=alt.Y("rows:Q", title="rows")))


def _chart(values: Points) -> Any:
    import altair as alt

    return alt.Chart(alt.InlineData(values=[dict(value) for value in values]))


def _render(chart: Any, *, height: int = HEIGHT) -> str:
    import altair as alt
    import vl_convert

    spec = chart.properties(width=WIDTH, height=height).configure_view(stroke=None).to_dict()
    version = "_".join(alt.SCHEMA_VERSION.split(".")[:2])
    return str(vl_convert.vegalite_to_svg(spec, vl_version=version))
