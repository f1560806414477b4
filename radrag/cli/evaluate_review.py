"""``radrag evaluate review-export`` and ``review-import``: blinded review by people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radrag.cli.app import fail, show
from radrag.cli.evaluate_options import Report, Seed
from radrag.cli.evaluate_shared import as_text, checked_reports, read_report, say_written, write_reports
from radrag.cli.index import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from radrag.evaluation import Comparison, Table


def register(commands: typer.Typer) -> None:
    """Hang the verbs under ``radrag evaluate``."""
    commands.command("review-export")(review_export)
    commands.command("review-import")(review_import)


def review_export(
    comparison: Annotated[Path, typer.Argument(help="JSON report of `radrag evaluate`, with its texts.")],
    out: Annotated[Path, typer.Option(help="Folder for the sheet; made if it is not there.")],
    key: Annotated[
        Path | None, typer.Option(help="File for the key, which says what stands where; by default in the folder.")
    ] = None,
    items: Annotated[int | None, typer.Option(help="Items to draw at random; by default all.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the order of items and of the two answers.")] = 0,
    as_json: Json = False,
) -> None:
    """Write a blinded sheet for reviewers: both answers of each item in random order, with a rubric."""
    from radrag.evaluation import export_sheet

    made = read_report(comparison)
    sheet = export_sheet(made, out, seed=seed, items=items, key=key)
    value = {"sheet": str(sheet.sheet), "page": str(sheet.page), "key": str(sheet.key), "items": sheet.items}
    text = (
        f"{sheet.items} items. Give each reviewer a copy of {sheet.page} (to fill in a browser; it saves a .csv) or of "
        f"{sheet.sheet}.\nKeep {sheet.key} from them: it says which answer is whose. Then: radrag evaluate "
        f"review-import NAME=FILLED.csv ... --key {sheet.key} --comparison {comparison} --report report.html"
    )
    show(value, text, as_json)


def review_import(
    sheets: Annotated[list[str], typer.Argument(help="Filled sheets: NAME=FILE.csv, or FILE.csv, named by its file.")],
    key: Annotated[Path, typer.Option(help="The key that review-export wrote.")],
    comparison: Annotated[Path, typer.Option(help="The JSON report that the sheet was made from.")],
    report: Report = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Read filled sheets: shares with intervals and tests, and how far reviewers agree, in the same report."""
    from radrag.evaluation import reviewed

    reports = checked_reports(report)
    _check_key(key)
    made = reviewed(read_report(comparison), key, _named(sheets), seed=seed)
    write_reports(made, reports)
    assert made.review is not None
    show(made.to_dict()["review"], "\n\n".join(map(as_text, _tables(made))), as_json)
    say_written(reports, as_json)


def _check_key(path: Path) -> None:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"{path} cannot be read ({error.strerror}); give the key that `radrag evaluate review-export` wrote")
    except ValueError:
        held = None
    if not isinstance(held, dict) or not isinstance(held.get("items"), dict):
        fail(f"{path} is not the key of a review; give the key that `radrag evaluate review-export` wrote")


def _named(sheets: Sequence[str]) -> dict[str, Path]:
    """Return the file of each reviewer."""
    made: dict[str, Path] = {}
    for one in sheets:
        name, sign, file = one.partition("=")
        path = Path(file if sign else one)
        name = name if sign else path.stem
        if not name or name in made:
            fail(f"each sheet needs a reviewer of its own, got {one!r}; name them as NAME=FILE.csv")
        made[name] = path
    return made


def _tables(made: Comparison) -> list[Table]:
    """Return what a review says as tables of text."""
    from radrag.evaluation import Table
    from radrag.evaluation.report.sections import review_grids

    return [Table(one.caption, tuple(one.columns), tuple(map(tuple, one.rows))) for one in review_grids(made)]
