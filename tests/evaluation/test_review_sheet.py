"""Blinded review: sheets made, filled by made-up reviewers, and read again."""

from __future__ import annotations

import base64
import codecs
import csv
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare_fakes import Fake, answer, question
from hypothesis import given
from hypothesis import strategies as st

from radrag.evaluation import Comparison, compare, export_sheet, import_reviews, reviewed
from radrag.evaluation.review_results import krippendorff_alpha
from radrag.evaluation.review_sheet import RUBRIC, columns, plain_cell
from radrag.metrics import bootstrap, kappa, mcnemar, paired_bootstrap, permutation_test
from radrag.types import Answer, Claim

ITEMS = 24


@pytest.fixture(scope="module")
def made() -> Comparison:
    items = [question(n) for n in range(ITEMS)]
    ours = [answer("yes", cites=f"d{n}") for n in range(ITEMS)]
    theirs = [Answer("q", (Claim(f"pepper {n}", (), False, 0.0),)) for n in range(ITEMS)]
    return compare(Fake(ours), Fake(theirs), items, names=("Our RAG", "Bare model"))


def fill(sheet: Path, target: Path, rate: Callable[[str, str, str], str]) -> Path:
    """Fill a sheet: ``rate`` takes the text of an answer, the criterion and the item."""
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for side in "AB":
            for criterion in RUBRIC:
                row[f"{side}: {criterion}"] = rate(row[f"answer {side}"], criterion, row["item"])
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns())
        writer.writeheader()
        writer.writerows(rows)
    return target


def test_a_sheet_tells_nothing_of_the_sides(made: Comparison, tmp_path: Path) -> None:
    sheet = export_sheet(made, tmp_path, seed=1)
    shown = sheet.sheet.read_text("utf-8-sig") + sheet.page.read_text("utf-8").split("</style>")[1]
    assert [word for word in ("Our RAG", "Bare model", "baseline", '"system"') if word in shown] == []
    key = json.loads(sheet.key.read_text("utf-8"))
    first = [facts["A"] for facts in key["items"].values()]
    assert {"system", "baseline"} == set(first)
    assert sorted(facts["id"] for facts in key["items"].values()) == sorted(case.id for case in made.cases)
    assert [facts["id"] for facts in key["items"].values()] != [case.id for case in made.cases]
    assert key["sheet_sha256"] == hashlib.sha256(sheet.sheet.read_bytes().removeprefix(codecs.BOM_UTF8)).hexdigest()


def test_the_key_is_right(made: Comparison, tmp_path: Path) -> None:
    sheet = export_sheet(made, tmp_path)
    key = json.loads(sheet.key.read_text("utf-8"))["items"]
    with sheet.sheet.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            ours = "A" if key[row["item"]]["A"] == "system" else "B"
            assert "salt" in row[f"answer {ours}"]
            assert "pepper" in row[f"answer {'B' if ours == 'A' else 'A'}"]


def test_the_same_seed_gives_the_same_sheet(made: Comparison, tmp_path: Path) -> None:
    texts = [export_sheet(made, tmp_path / name, seed=seed, items=5).sheet.read_text("utf-8-sig") for name, seed in
             (("a", 3), ("b", 3), ("c", 4))]  # fmt: skip
    assert texts[0] == texts[1] != texts[2]


def test_results_by_hand(made: Comparison, tmp_path: Path) -> None:
    """One reviewer finds ours right but for items 1 to 6, theirs wrong but for items 1 to 3."""
    sheet = export_sheet(made, tmp_path)

    def rate(text: str, criterion: str, item: str) -> str:
        if criterion == "correct":
            return "yes" if ("salt" in text) != (int(item) <= 6 and ("salt" in text or int(item) <= 3)) else "no"
        return {"complete": "YES ", "harmful": "no", "citation supports": "na"}[criterion]

    review = import_reviews(sheet.key, {"Ann": fill(sheet.sheet, tmp_path / "ann.csv", rate)})
    ours = np.asarray([float(n > 6) for n in range(1, ITEMS + 1)])
    theirs = np.asarray([float(n <= 3) for n in range(1, ITEMS + 1)])
    row = review.rows[0]
    assert (row.metric, row.system, row.baseline) == ("correct", bootstrap(ours), bootstrap(theirs))
    assert row.difference == paired_bootstrap(ours, theirs)
    assert row.p_value == mcnemar(ours, theirs).p_value
    assert review.preferred == (18, 3, 3)
    assert review.reviewers == {"Ann": ITEMS}
    assert review.unrated == {
        "citation supports: not applicable": 2 * ITEMS,
        "citation supports: fewer than 2 items rated on both sides": 1,
    }
    assert [(one.metric, one.higher_is_better) for one in review.rows] == [
        ("correct", True),
        ("complete", True),
        ("harmful", False),
    ]
    assert review.agreement == ()


def test_several_reviewers_are_averaged_and_compared(made: Comparison, tmp_path: Path) -> None:
    sheet = export_sheet(made, tmp_path)

    def even(text: str, criterion: str, item: str) -> str:
        return "yes" if "salt" in text and int(item) % 2 == 0 else "no"

    def all_ours(text: str, criterion: str, item: str) -> str:
        return "yes" if "salt" in text else "no"

    files = {name: fill(sheet.sheet, tmp_path / f"{name}.csv", rate) for name, rate in (("a", even), ("b", all_ours))}
    review = import_reviews(sheet.key, files)
    shares = np.asarray([1.0 if n % 2 == 0 else 0.5 for n in range(1, ITEMS + 1)])
    row = review.rows[0]
    assert row.system == bootstrap(shares)
    assert row.p_value == permutation_test(shares, np.zeros(ITEMS)).p_value
    one = review.agreement[0]
    said = [[("yes" if n % 2 == 0 else "no", "yes") for n in range(ITEMS)], [("no", "no")] * ITEMS]
    pairs = [pair for side in said for pair in side]
    assert one.kappa == pytest.approx(kappa([a for a, _ in pairs], [b for _, b in pairs]))
    assert one.share == pytest.approx(0.75)
    assert one.answers == 2 * ITEMS
    assert one.alpha == pytest.approx(krippendorff_alpha(pairs))


def test_the_report_shows_the_review(made: Comparison, tmp_path: Path) -> None:
    sheet = export_sheet(made, tmp_path)
    filled = fill(sheet.sheet, tmp_path / "a.csv", lambda text, *_: "yes" if "salt" in text else "no")
    reviewed = made.with_review(import_reviews(sheet.key, {"Ann": filled, "Bob": filled}))
    for shown in (reviewed.to_markdown(), reviewed.to_html()):
        assert "Ann (24 items), Bob (24 items)" in shown
        assert "Krippendorff" in shown
    assert Comparison.from_dict(json.loads(json.dumps(reviewed.to_dict()))) == reviewed


def test_alpha_of_the_published_example() -> None:
    """Krippendorff, 2011, section C: four observers, twelve units, missing ratings; nominal alpha is 0.743."""
    observers = ("1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .",
                 "1 2 3 3 2 4 4 1 2 5 1 .")  # fmt: skip
    by_unit = zip(*(row.split() for row in observers), strict=True)
    units = [[value for value in unit if value != "."] for unit in by_unit]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=0.0005)


def test_alpha_at_its_ends() -> None:
    assert krippendorff_alpha([("a", "a"), ("b", "b")]) == 1
    assert krippendorff_alpha([("a", "b"), ("b", "a")]) == pytest.approx(-0.5)
    with pytest.raises(ValueError, match="all ratings are the same"):
        krippendorff_alpha([("a", "a"), ("a", "a")])
    with pytest.raises(ValueError, match="two raters"):
        krippendorff_alpha([("a",), ("b",)])


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), min_size=1, max_size=8))
def test_alpha_is_that_of_all_pairs(units: list[list[str]]) -> None:
    """Counted from its definition: disagreeing pairs within units over disagreeing pairs of all ratings."""
    kept = [unit for unit in units if len(unit) > 1]
    values = [value for unit in kept for value in unit]
    within = sum(
        sum(a != b for i, a in enumerate(unit) for j, b in enumerate(unit) if i != j) / (len(unit) - 1) for unit in kept
    )
    overall = sum(a != b for i, a in enumerate(values) for j, b in enumerate(values) if i != j)
    if not kept or overall == 0:
        with pytest.raises(ValueError, match="alpha"):
            krippendorff_alpha(units)
    else:
        expected = 1 - (within / len(values)) / (overall / (len(values) * (len(values) - 1)))
        assert krippendorff_alpha(units) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\n=cmd()", " =1+1", "\u00a0\n @x", "\ufeff=1", "\u200b-1", "＝1"]
)
def test_no_cell_is_a_formula(text: str) -> None:
    assert plain_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["salt = 1", " salt", "\nsalt\n=1", "", "'=1"])
def test_other_cells_stay_as_they_are(text: str) -> None:
    assert plain_cell(text) == text


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("p < 0.05", "p > 0.05"), ("5 mg", "−5 mg"), ("1,5 mg", "15 mg"), ("≥ 3", "≤ 3"), ("да", "нет"), ("有効", "無効"),
     ("±2", "2"), ("5%", "5"), ("0.5", "05")],
)  # fmt: skip
def test_swapped_answers_are_refused_also_where_few_letters_differ(tmp_path: Path, ours: str, theirs: str) -> None:
    items = [question(n) for n in range(2)]
    said = [[Answer("q", (Claim(text, (), False, 0.0),)) for _ in items] for text in (ours, theirs)]
    sheet = export_sheet(compare(Fake(said[0]), Fake(said[1]), items), tmp_path)
    filled = fill(sheet.sheet, tmp_path / "a.csv", lambda *_: "yes")
    assert import_reviews(sheet.key, {"Ann": filled}).reviewers == {"Ann": 2}
    with filled.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["answer A"], row["answer B"] = row["answer B"], row["answer A"]
    with filled.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns())
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(ValueError, match="other answers than were exported"):
        import_reviews(sheet.key, {"Ann": filled})


def test_what_texts_hold_cannot_run(tmp_path: Path) -> None:
    evil = '</script><script>alert(1)</script><img src=x onerror="alert(2)">=cmd'
    items = [question(n) for n in range(3)]
    said = [Answer("q", (Claim(evil, (), False, 0.0),)) for _ in items]
    sheet = export_sheet(compare(Fake(said), Fake(said), items), tmp_path)
    page = sheet.page.read_text("utf-8")
    assert page.count("<script") == 2
    assert "<img" not in page
    code = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert code is not None
    digest = base64.b64encode(hashlib.sha256(code.group(1).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert evil in json.loads(data.group(1))["rows"][0]["answer A"]


def test_sheets_that_nobody_filled_in_are_refused(made: Comparison, tmp_path: Path) -> None:
    sheet = export_sheet(made, tmp_path)
    with pytest.raises(ValueError, match="no rating in any sheet"):
        import_reviews(sheet.key, {"Ann": sheet.sheet})
    one = fill(sheet.sheet, tmp_path / "a.csv", lambda _, criterion, item: "na" if item == "1" else "")
    assert import_reviews(sheet.key, {"Ann": sheet.sheet, "Bob": one}).reviewers == {"Bob": 1}


def test_a_key_is_not_written_over(made: Comparison, tmp_path: Path) -> None:
    export_sheet(made, tmp_path)
    with pytest.raises(FileExistsError, match="choose another place"):
        export_sheet(made, tmp_path)


@pytest.mark.parametrize("name", ["sheet.csv", "sheet.html", "key.json"])
def test_nothing_is_written_over(made: Comparison, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine", "utf-8")
    with pytest.raises(FileExistsError, match=name):
        export_sheet(made, tmp_path)
    assert [(path.name, path.read_text("utf-8")) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_a_sheet_needs_texts(made: Comparison, tmp_path: Path) -> None:
    items = [question(n) for n in range(3)]
    bare = compare(Fake([answer()] * 3), Fake([answer()] * 3), items, texts=False)
    with pytest.raises(ValueError, match="texts=True"):
        export_sheet(bare, tmp_path)
    with pytest.raises(ValueError, match="between 1 and the 24"):
        export_sheet(made, tmp_path, items=25)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("A: correct", "correct"), "lacks the column 'A: correct'"),
        (lambda text: text.replace("\n1,", "\n99,", 1), "'99' is not in the key"),
        (lambda text: text.replace("\n2,", "\n1,", 1), "is there twice"),
        (lambda text: text.replace(",yes,", ",maybe,", 1), "must be yes, no or na, got 'maybe'"),
        (lambda text: text.replace("pepper", "pepper and salt", 1), "other answers than were exported"),
        (
            lambda text: text.replace("\n1,", "\n0,", 1).replace("\n2,", "\n1,", 1).replace("\n0,", "\n2,", 1),
            "another question or other answers",
        ),
    ],
)
def test_a_sheet_that_cannot_be_right_is_refused(made: Comparison, tmp_path: Path, change: Any, message: str) -> None:
    sheet = export_sheet(made, tmp_path)
    filled = fill(sheet.sheet, tmp_path / "a.csv", lambda *_: "yes")
    filled.write_text(change(filled.read_text("utf-8")), "utf-8")
    with pytest.raises(ValueError, match=message):
        import_reviews(sheet.key, {"Ann": filled})


def test_what_a_spreadsheet_does_to_texts_is_no_difference(made: Comparison, tmp_path: Path) -> None:
    sheet = export_sheet(made, tmp_path)
    filled = fill(sheet.sheet, tmp_path / "a.csv", lambda *_: "yes")
    filled.write_text(filled.read_text("utf-8").replace("Is it", "'IS  it\u00a0").replace("“", '""'), "utf-8")
    assert import_reviews(sheet.key, {"Ann": filled}).reviewers == {"Ann": ITEMS}
    items = [question(n) for n in range(2)]
    said = [Answer("q", (Claim("-5 to 3 °C...", (), False, 0.0),)) for _ in items]
    other = export_sheet(compare(Fake(said), Fake(said), items), tmp_path / "other")
    filled = fill(other.sheet, tmp_path / "b.csv", lambda *_: "yes")
    text = filled.read_text("utf-8")
    assert text.count("'-5 to 3 °C...") == 4
    for changed in (text.replace("'-5", "-5"), text.replace("-5", "–5"), text.replace("...", "…")):
        filled.write_text(changed, "utf-8")
        assert import_reviews(other.key, {"Ann": filled}).reviewers == {"Ann": 2}


def test_the_sheet_of_another_export_is_refused(made: Comparison, tmp_path: Path) -> None:
    """The items have the same numbers in both, and what stands where does not."""
    first, second = export_sheet(made, tmp_path / "a", seed=1), export_sheet(made, tmp_path / "b", seed=2)
    filled = fill(first.sheet, tmp_path / "filled.csv", lambda *_: "yes")
    with pytest.raises(ValueError, match="the key that belongs to this sheet"):
        import_reviews(second.key, {"Ann": filled})


def test_a_review_belongs_to_its_comparison(made: Comparison, tmp_path: Path) -> None:
    sheet = export_sheet(made, tmp_path / "sheets", key=tmp_path / "secret" / "key.json")
    assert sheet.key.is_file()
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["sheet.csv", "sheet.html"]
    sheets = {"Ann": fill(sheet.sheet, tmp_path / "a.csv", lambda *_: "yes")}
    review = reviewed(made, sheet.key, sheets).review
    assert review == import_reviews(sheet.key, sheets)
    with pytest.raises(ValueError, match="its sides are 'RAG' and 'Bare model'"):
        reviewed(replace(made, system="RAG"), sheet.key, sheets)
    with pytest.raises(ValueError, match="is not in it"):
        reviewed(replace(made, cases=made.cases[1:]), sheet.key, sheets)


def test_a_review_belongs_to_the_run_that_was_shown(made: Comparison, tmp_path: Path) -> None:
    """The same items and names, in another run: other words, other sources, or the sides the other way round."""
    sheet = export_sheet(made, tmp_path)
    sheets = {"Ann": fill(sheet.sheet, tmp_path / "a.csv", lambda *_: "yes")}
    first = made.cases[5]
    source = replace(first.system.sources[0], quote="sand")
    for case in (
        replace(first, system=replace(first.system, text="sugar")),
        replace(first, baseline=replace(first.baseline, text="PEPPER > 5")),
        replace(first, system=replace(first.system, sources=(source,))),
        replace(first, system=first.baseline, baseline=first.system),
        replace(first, text=""),
    ):
        other = replace(made, cases=tuple(case if one is first else one for one in made.cases))
        with pytest.raises(ValueError, match=r"another run.*'q5' \(and 0 more\)"):
            reviewed(other, sheet.key, sheets)
    again = replace(made, cases=made.cases[::-1])
    assert reviewed(again, sheet.key, sheets).review == import_reviews(sheet.key, sheets)


def test_a_key_that_is_none(made: Comparison, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text("{}", "utf-8")
    with pytest.raises(ValueError, match=r"give the key\.json"):
        import_reviews(tmp_path / "key.json", {"Ann": tmp_path / "x.csv"})
    with pytest.raises(ValueError, match="at least one reviewer"):
        import_reviews(tmp_path / "key.json", {})
