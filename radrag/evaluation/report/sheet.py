"""The review sheet as a page that is filled in a browser; what it saves is the filled CSV."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from radrag.evaluation.report.page import document


def page(
    rows: Sequence[Mapping[str, str]], columns: Sequence[str], rubric: Mapping[str, str], values: Sequence[str]
) -> str:
    """Return the page.

    It runs one script of its own, named by its hash, so that nothing in a text can run. Nothing is sent anywhere, and
    nothing is kept until it is saved.

    Args:
        rows: Items with what is shown of them.
        columns: Columns of the CSV.
        rubric: Criteria with the question behind each.
        values: What a rating may be.
    """
    code = (files("radrag") / "assets" / "report" / "sheet.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'"
    # "<" would end the element that holds the data, whatever it stands in.
    data = json.dumps({"columns": list(columns), "rows": [dict(row) for row in rows]}).replace("<", "\\u003c")
    asked = "".join(f"<li><b>{escape(name)}</b>: {escape(text)}</li>" for name, text in rubric.items())
    items = "".join(_item(row, rubric, values) for row in rows)
    body = (
        f"<header><h1>Review of {len(rows)} items</h1><p>Judge both answers of each item by these questions. A and B "
        f"change places at random. Save often: nothing is kept until you do.</p><ul>{asked}</ul></header><main>"
        f'<form id="sheet">{items}</form><p class="actions"><button type="button" id="save">Save as CSV</button> '
        '<span id="state" role="status"></span></p></main>'
        f'<script type="application/json" id="data">{data}</script><script>{code}</script>'
    )
    return document("Blinded review", body, policy=policy)


def _item(row: Mapping[str, str], rubric: Mapping[str, str], values: Sequence[str]) -> str:
    number = escape(row["item"])
    sides = "".join(_side(row, side, rubric, values) for side in ("A", "B"))
    return (
        f'<article class="case"><h2>Item {number}</h2><p class="asked">{escape(row["question"])}</p>{sides}'
        f'<p><label>Comment<br><textarea name="{number}|comment" rows="2"></textarea></label></p></article>'
    )


def _side(row: Mapping[str, str], side: str, rubric: Mapping[str, str], values: Sequence[str]) -> str:
    sources = row[f"sources {side}"]
    shown = escape(sources) if sources else "none"
    ratings = "".join(_rating(row["item"], side, name, values) for name in rubric)
    return (
        f'<div class="side"><h3>Answer {side}</h3><p>{escape(row[f"answer {side}"])}</p>'
        f'<p class="sources quiet pre">Sources: {shown}</p>{ratings}</div>'
    )


def _rating(item: str, side: str, name: str, values: Sequence[str]) -> str:
    field = escape(f"{item}|{side}: {name}")
    choices = "".join(
        f'<label><input type="radio" name="{field}" value="{value}"> {value}</label> ' for value in values
    )
    return f"<fieldset><legend>{escape(name)}</legend>{choices}</fieldset>"
