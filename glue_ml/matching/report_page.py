"""Pieces of an HTML page that holds everything it shows: well-formed, without a script, every value escaped."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape

MAX_CELL = 400  #: Characters of a value that a cell shows.

# nothing is loaded and nothing runs, whatever a value would like
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c1c1c; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem }
h2 { font-size: 1.15rem; border-bottom: 1px solid #bbb; margin-top: 2.2rem }
h3 { font-size: 1rem }
table { border-collapse: collapse; margin: .6rem 0 }
th, td { border-bottom: 1px solid #ddd; padding: .2rem .6rem; text-align: left; vertical-align: top }
td { overflow-wrap: break-word; max-width: 26rem }
th { white-space: nowrap }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
td.differs { background: #fdf0dd; font-weight: 600 }
td.none { color: #888; font-style: italic }
figure { margin: .6rem 0 }
img { max-width: 100% }
figcaption, p.note { color: #555; font-size: .9rem }
@media print {
  body { max-width: none; margin: 0 }
  h2, h3 { break-after: avoid }
  table, figure { break-inside: avoid }
}
"""
# what XML does not allow, and what turns the reading direction of the page round
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")


def escape_text(text: str) -> str:
    """Return any text as it may stand in an element or an attribute."""
    return escape(replace_unseen(text))


def replace_unseen(text: str) -> str:
    """Return the text with U+FFFD for each character that cannot be shown or turns its surroundings round."""
    return _UNSEEN.sub("\ufffd", text)


def shorten(text: str, limit: int = MAX_CELL) -> str:
    """Return the text, cut to `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def make_page(title: str, sections: Sequence[str]) -> str:
    """Return the whole page: `sections` are ready pieces of HTML."""
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            '<head><meta charset="utf-8"/>',
            f'<meta http-equiv="Content-Security-Policy" content="{escape_text(_POLICY)}"/>',
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
            f"<title>{escape_text(title)}</title>",
            f"<style>{_STYLE}</style></head>",
            f"<body><h1>{escape_text(title)}</h1>",
            *sections,
            "</body></html>\n",
        ]
    )


def make_section(title: str, *pieces: str) -> str:
    """Return a section with a heading."""
    return "\n".join([f"<section><h2>{escape_text(title)}</h2>", *pieces, "</section>"])


def make_note(text: str) -> str:
    """Return a paragraph."""
    return f'<p class="note">{escape_text(text)}</p>'


def make_heading(text: str) -> str:
    """Return a small heading."""
    return f"<h3>{escape_text(text)}</h3>"


def make_image(svg: str, *, alt: str) -> str:
    """Return an SVG as an image: as such it can neither run nor load anything, and its ids are its own."""
    data = base64.b64encode(svg.encode("utf-8", "replace")).decode("ascii")
    text = escape_text(alt)
    return f'<figure><img alt="{text}" src="data:image/svg+xml;base64,{data}"/><figcaption>{text}</figcaption></figure>'


def make_table(
    columns: Sequence[str], rows: Sequence[Sequence[str | int | float | None]], *, numeric: Sequence[str] = ()
) -> str:
    """Return a table; None is shown as missing, the columns named in `numeric` are aligned to the right."""
    head = "".join(f"<th>{escape_text(name)}</th>" for name in columns)
    body = [
        "<tr>" + "".join(_make_cell(cell, name in numeric) for name, cell in zip(columns, row, strict=True)) + "</tr>"
        for row in rows
    ]
    return "\n".join([f"<table><thead><tr>{head}</tr></thead><tbody>", *body, "</tbody></table>"])


def _make_cell(cell: str | int | float | None, numeric: bool) -> str:
    if cell is None:
        return '<td class="none">missing</td>'
    kind = ' class="number"' if numeric else ""
    return f"<td{kind}>{_show(cell)}</td>"


def _show(cell: str | int | float) -> str:
    if isinstance(cell, str):
        return f"<bdi>{escape_text(shorten(cell))}</bdi>"
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.4f}"


def make_comparison(rows: Sequence[tuple[str, str | None, str | None]], *, heads: tuple[str, str]) -> str:
    """Return two records side by side (column, one value, the other); what differs is marked."""
    body = []
    for name, a, b in rows:
        differs = ' class="differs"' if a is not None and b is not None and a != b else ""
        cells = (
            '<td class="none">missing</td>' if value is None else f"<td{differs}>{_show(value)}</td>"
            for value in (a, b)
        )
        body.append(f"<tr><th><bdi>{escape_text(shorten(name))}</bdi></th>{''.join(cells)}</tr>")
    first, second = (f"<th><bdi>{escape_text(shorten(head))}</bdi></th>" for head in heads)
    return "\n".join([f"<table><thead><tr><th></th>{first}{second}</tr></thead><tbody>", *body, "</tbody></table>"])
