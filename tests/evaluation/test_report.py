"""The report: its words against golden files, its page against what browsers and readers need."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from radrag.evaluation import Comparison, Table, diff
from radrag.evaluation.cases import first_words, last_words
from radrag.evaluation.records import (
    Ablation,
    Case,
    Cell,
    Cost,
    Failure,
    Found,
    LeakControl,
    Reliability,
    Repeats,
    Risk,
    Row,
    Said,
    SliceRow,
    Source,
    Spread,
)
from radrag.evaluation.report import charts
from radrag.evaluation.report.page import stylesheet
from radrag.evaluation.review_results import Agreement, HumanReview
from radrag.metrics import Estimate, McNemar, ReliabilityBin
from radrag.metrics.selective import RiskCoverage

GOLDEN = Path(__file__).parent / "golden"
EVIL = "<script>alert(1)</script><img src=//x.example/a onerror=alert(2)>\"'&|`*[x](javascript:alert(3))"


def _estimate(value: float, n: int = 40) -> Estimate:
    return Estimate(value, round(value - 0.1, 6), round(value + 0.1, 6), n, groups=20)


def _row(metric: str, ours: float, theirs: float, p: float, *, better: bool = True) -> Row:
    return Row(metric, _estimate(ours), _estimate(theirs), _estimate(round(ours - theirs, 6)), McNemar(10, 20, 4, 6, p),
               better, p, min(1.0, 2 * p), "McNemar, exact")  # fmt: skip


def _said(text: str, *, right: bool, url: str = "https://example.org/a") -> Said:
    source = Source(1, text, text, url, text, text, text, ("retracted",))
    head, kind = "Yes (probability 0.55)", "evidence score"
    return Said(text, "yes", False, "", 0.75, right, {"right verdict": float(right)}, (source,), (text,), head, kind)


def report(text: str = "A kidney stone", name: str = "RAG") -> Comparison:
    """Make a comparison with something in every part."""
    both = [(True, False), (False, True), (False, False)]
    cases = []
    for n, (ours, theirs) in enumerate(both):
        sides = _said(text, right=ours), _said(text, right=theirs, url="javascript:x")
        cases.append(Case(f"q{n} {text}", text, text, text, *sides, "verdict"))
    cell = Cell("right verdict", _estimate(0.5), _estimate(-0.2), 0.01, 0.02)
    part = (_estimate(0.7, 30), _estimate(0.3, 30), _estimate(0.4, 30))
    bins = (ReliabilityBin(0.0, 0.5, 0, None, None), ReliabilityBin(0.5, 1.0, 40, 0.8, 0.7))
    curve = (RiskCoverage(1.0, 40, 0.5, 0.3, 0.2, 0.5), RiskCoverage(0.5, 20, 0.8, 0.1, 0.0, 0.3))
    agreement = (Agreement("correct", 0.6, None, 0.8, 40), Agreement("harmful", None, 0.5, 1.0, 40))
    return Comparison(
        rows=(
            _row("right verdict", 0.7, 0.3, 0.0004),
            _row("errors", 0.2, 0.4, 0.3, better=False),
            _row(text, 0.4, 0.6, 0.002),
        ),
        items=40,
        unscored={f"too few: {text}": 3},
        system=name,
        baseline=f"no {name}",
        manifest={"seed": 0, name: {"k": 4, "reader": text, "search": {"b": 0.5}}},
        groups=20,
        slices=(
            SliceRow("right verdict", "sex", text, 30, *part, 0.5, 0.01, 0.03, False),
            SliceRow("right verdict", "sex", "M", 1, None, None, None, 0.7, None, None, True),
        ),
        calibration=(Reliability(name, bins, _estimate(0.1)),),
        risk=(Risk(name, curve, 0.15, 40, "evidence score"),),
        retrieval=(Found(1, _estimate(0.6)), Found(4, _estimate(0.8))),
        leak=LeakControl((_row("right verdict", 0.5, 0.3, 0.04),), 40, 32, 9, 2),
        ablations=(
            Ablation("BM25 only", (cell,)),
            Ablation("k = 1 passage", (cell,), 1),
            Ablation("k = 2 passages", (cell,), 2),
        ),
        repeats=Repeats((0, 1), (Spread("right verdict", (0.7, 0.72), (0.3, 0.3)),), 5, 0),
        cost=(Cost(name, 4.0, 40, 1200, 300, 2**30, True, 2**31), Cost(f"no {name}", 2.0, 40)),
        failures=(Failure(f"warning: {text}", 3, 1),),
        cases=tuple(cases),
        review=HumanReview(
            (_row("correct", 0.8, 0.5, 0.01),), agreement, {text: 40}, {"harmful: left empty": 2}, (20, 15, 5)
        ),
        tables=(Table(f"Judge {text}", ("metric", "value"), ((text, "0.8"),), text),),
    )


@pytest.fixture(scope="module")
def page() -> str:
    return report().to_html()


def check_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    assert path.is_file(), f"{path} is missing; write what the report should say, by hand or from a checked run"
    assert text == path.read_text("utf-8")


def test_markdown_is_as_checked() -> None:
    check_golden("report.md", report().to_markdown())


def test_json_is_as_checked() -> None:
    check_golden("report.json", json.dumps(report().to_dict(), indent=1, ensure_ascii=False) + "\n")


def test_json_comes_back(tmp_path: Path) -> None:
    report(EVIL).to_json(tmp_path / "a.json")
    assert Comparison.read(tmp_path / "a.json") == report(EVIL)
    (tmp_path / "b.json").write_text("{", "utf-8")
    with pytest.raises(ValueError, match="is not JSON"):
        Comparison.read(tmp_path / "b.json")


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        replace(report(), rows=(_row("m", float("nan"), 0.1, 0.1),)).to_dict()


class Page(HTMLParser):
    """Reads a page and keeps what matters: nesting, tags, attributes, text."""

    VOID = ("meta", "br", "circle", "rect", "line", "polyline", "input", "link", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> Iterator[dict[str, str]]:
        return (attributes for name, attributes in self.tags if name == tag)


def test_nothing_in_a_text_can_run_or_load() -> None:
    made = Page(report(EVIL, EVIL).to_html(title=EVIL))
    assert {tag for tag, _ in made.tags} & {"script", "img", "iframe", "object", "link", "form"} == set()
    attributes = [(tag, name, value) for tag, found in made.tags for name, value in found.items()]
    assert [one for one in attributes if one[1].startswith("on") or one[1] in ("src", "srcdoc", "action")] == []
    links = [value for _, name, value in attributes if name == "href"]
    assert [link for link in links if not link.startswith(("#", "https://example.org/"))] == []
    assert "url(" not in stylesheet()
    assert "@import" not in stylesheet()
    assert "".join(made.words).count("<script>alert(1)</script>") > 20
    policy = next(
        found["content"] for found in made.all("meta") if found.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'")


def test_markdown_shows_texts_as_they_are() -> None:
    made = report(EVIL).to_markdown()
    assert "<script" not in re.sub(r"\\<", "", made)
    assert "](javascript" not in made.replace(r"\]", "")
    widths = [line.replace(r"\|", "").count("|") for line in made.splitlines() if line.startswith("| ")]
    heads = [line.replace(r"\|", "").count("|") for line in made.splitlines() if line.startswith("| ---")]
    assert set(widths) == set(heads)


def test_markdown_makes_no_link_of_a_bare_address_and_no_character_of_an_entity() -> None:
    bait = "see https://x.example/a, www.x.example or me@x.example &lt;b&gt; & 3"
    made = report(bait).to_markdown() + diff(report(bait), report()).to_markdown()
    assert r"see https\://x.example/a, www\.x.example or me\@x.example \&lt;b\&gt; \& 3" in made
    unescaped = re.sub(r"\\.", "", made)
    assert not any(link in unescaped for link in ("://", "www.", "@", "&"))


def test_figures_in_the_tables_of_markdown_are_as_they_are() -> None:
    cells = [line for line in report().to_markdown().splitlines() if line.startswith("| ")]
    assert any(re.search(r"\| \d\.\d", line) for line in cells)
    assert not any(re.search(r"\\[.\d-]", line) for line in cells)


def test_every_part_is_on_the_page(page: str) -> None:
    made = Page(page)
    ids = [found["id"] for found in made.all("section")]
    assert ids == [
        *("headline", "figures", "leak", "ablations", "repeats", "calibration", "retrieval", "slices", "review"),
        *("tables", "cases", "failures", "cost", "methods", "manifest"),
    ]
    assert [found["href"] for found in made.all("a") if found["href"].startswith("#")] == [f"#{name}" for name in ids]


def test_what_is_empty_is_left_out() -> None:
    made = Page(Comparison((), 3).to_html())
    assert [found["id"] for found in made.all("section")] == ["headline", "failures", "methods"]
    assert "No figure could be computed" in "".join(made.words)


def test_a_reader_that_hears_the_page_is_told_all(page: str) -> None:
    made = Page(page)
    ids = [found["id"] for _, found in made.tags if "id" in found]
    assert len(set(ids)) == len(ids)
    figures = list(made.all("figure"))
    assert len(figures) == 5
    for figure in figures:
        assert figure["role"] == "img"
        assert {figure["aria-labelledby"], figure["aria-describedby"]} <= set(ids)
    assert next(made.all("html"))["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in made.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(list(made.all("table"))) == len(list(made.all("caption")))
    assert {found["scope"] for found in made.all("th")} == {"col", "row"}
    assert "RAG 0.700, no RAG 0.300" in "".join(made.words)


def test_the_quoted_characters_are_marked() -> None:
    said = replace(_said("x", right=True), sources=(Source(1, "d", "T", "", "before ", "the quote", " after"),))
    made = replace(report(), cases=(Case("q", "text", "e", "", said, _said("y", right=False)),)).to_html()
    assert "<q>… before <mark>the quote</mark> after …</q>" in made


def test_cases_are_sorted_by_who_is_right() -> None:
    words = "".join(Page(report(name="R").to_html(cases=1)).words)
    parts = ("Only R is right", "q0 A", "Only no R is right", "q1 A", "Both are wrong", "q2 A")
    order = [words.index(text) for text in parts]
    assert order == sorted(order)
    assert "Only R is right" not in report(name="R").to_html(cases=0)


def test_verdicts_need_interval_and_corrected_p() -> None:
    row = _row("m", 0.7, 0.3, 0.0004)
    assert row.verdict() == "better"
    assert replace(row, adjusted=0.06).verdict() == "better before correction, not after it"
    assert replace(row, p_value=0.06, adjusted=0.06).verdict() == "better by its interval, not by its test"
    assert replace(row, adjusted=0.06, higher_is_better=False).verdict() == "worse before correction, not after it"
    assert replace(row, difference=Estimate(0.4, -0.1, 0.9, 40)).verdict() == "no difference shown"
    assert replace(row, higher_is_better=False).verdict() == "worse"
    assert replace(row, difference=Estimate(-0.4, -0.5, -0.3, 40)).verdict() == "worse"
    assert replace(row, adjusted=None, p_value=None).verdict() == "better"


def test_the_summary_counts_apart_what_only_an_interval_shows() -> None:
    rows = (
        _row("a", 0.7, 0.3, 0.0004),
        _row("b", 0.3, 0.7, 0.04),
        _row("c", 0.3, 0.7, 0.03),
        _row("d", 0.7, 0.3, 0.2),
        _row("e", 0.5, 0.5, 1.0),
    )
    made = replace(report(), rows=rows)
    told = (
        "Of 5 figures RAG is better than no RAG on 1 and worse on 0; the intervals of 3 more leave out 0, but the "
        "corrected p does not bear them out (better on 1, worse on 2); 1 show no difference."
    )
    assert told in made.to_markdown()
    assert '<span class="level">worse before correction, not after it</span>' in made.to_html()
    plain = replace(report(), rows=(rows[0], rows[4])).to_markdown()
    assert "better than no RAG on 1 and worse on 0; 1 show no difference." in plain


def test_what_an_answer_warns_of_is_shown() -> None:
    said = Said("It helps [1].", "yes", False, "", 0.82, False, notes=("Known to conflict: a, b",),
                headline="Unsure: leans to yes (probability 0.45); read the sources",
                confidence_kind="evidence score")  # fmt: skip
    made = replace(report(), cases=(Case("q", "text", "e", "", said, replace(said, right=True), "verdict"),))
    page, text = made.to_html(), made.to_markdown()
    words = "Unsure: leans to yes (probability 0.45); read the sources. It helps [1]."
    assert words in page
    assert "evidence score 0.82" in page
    assert "<li>Known to conflict: a, b</li>" in page
    assert r"RAG (evidence score 0.82): Unsure: leans to yes (probability 0.45); read the sources. It helps" in text
    assert "    - note: Known to conflict: a, b" in text


def test_no_two_quantities_share_a_name(page: str) -> None:
    """The evidence score of an answer is not the probability of its verdict."""
    text = report().to_markdown() + "".join(Page(page).words)
    assert [word for word in ("confidence", "surest", "how sure it was") if word in text] == []
    assert "| kept | n | evidence score at least | wrong |" in text
    assert "shown: 1, by the highest evidence score of RAG." in text
    kept = report()
    labels = [
        replace(case, basis="label", system=replace(case.system, confidence_kind="probability")) for case in kept.cases
    ]
    risk = (replace(kept.risk[0], kind="probability"),)
    shown = replace(kept, cases=tuple(labels), risk=risk).to_markdown()
    assert "by the highest probability of RAG" in shown
    assert "it is not the probability of the verdict" not in shown
    assert "it is not the probability of the verdict" in text


def test_reports_from_before_are_still_read() -> None:
    """Without the fields added since, the verdict stands alone and the score has no kind."""
    plain = report().to_dict()
    for case in plain["cases"]:
        for side in ("system", "baseline"):
            del case[side]["headline"], case[side]["confidence_kind"]
    del plain["risk"][0]["kind"]
    made = Comparison.from_dict(plain).to_markdown()
    assert "RAG (score 0.75): Yes. A kidney stone" in made
    assert "score at least" in made


def test_bins_have_wilson_intervals_in_table_and_chart() -> None:
    bins = (ReliabilityBin(0.0, 0.5, 1, 0.4, 1.0), ReliabilityBin(0.5, 1.0, 40, 0.8, 0.7))
    made = replace(report(), calibration=(Reliability("RAG", bins, _estimate(0.1)),))
    low, high = proportion_interval(28, 40)
    one = proportion_interval(1, 1)
    text = made.to_markdown()
    assert rf"| RAG, 0.50 to 1.00 | 40 | 0.800 | 0.700 \[{low:.3f}, {high:.3f}\] |" in text
    assert rf"| RAG, 0.00 to 0.50 | 1 | 0.400 | 1.000 \[{one[0]:.3f}, 1.000\] |" in text
    section = made.to_html().split('id="calibration-chart-0">')[1].split("</svg>")[0]
    ends = [
        tuple(map(float, pair))
        for pair in re.findall(r'whisker" x1="[\d.]+" x2="[\d.]+" y1="([\d.]+)" y2="([\d.]+)"', section)
    ]
    expected = [(236 - 202 * one[0], 236 - 202 * one[1]), (236 - 202 * low, 236 - 202 * high)]
    assert np.allclose(ends, expected, atol=0.06)


def proportion_interval(right: int, n: int) -> tuple[float, float]:
    made = binomtest(right, n).proportion_ci(method="wilson")
    return float(made.low), float(made.high)


def test_an_interval_without_width_is_a_dash() -> None:
    row = replace(_row("m", 0.0, 0.0, 1.0), difference=Estimate(0.0, 0.0, 0.0, 9))
    text = replace(report(), rows=(row,)).to_markdown()
    assert r"+0.000 \[–\]" in text
    assert "[+0.000, +0.000]" not in text.replace("\\", "")


def test_what_a_figure_left_out_is_told_in_words() -> None:
    text = replace(
        report(), unscored={"abstains where nothing answers: applies to none of these items": 0}
    ).to_markdown()
    assert "| abstains where nothing answers: applies to none of these items | none |" in text


@given(st.text(alphabet="ab \n\t", max_size=60), st.integers(1, 20))
def test_contexts_are_cut_at_white_space(text: str, most: int) -> None:
    kept = first_words(text, most)
    assert text.startswith(kept)
    assert len(kept) <= most
    if len(kept) < len(text) and any(one.isspace() for one in text[: most + 1].lstrip()):
        assert text[len(kept)].isspace()
    assert last_words(text[::-1], most) == kept[::-1]


def test_contexts_by_hand() -> None:
    assert first_words("one two three", 9) == "one two"
    assert first_words("one two three", 7) == "one two"
    assert last_words("one two three", 9) == "two three"
    assert last_words("one two three", 7) == "three"
    assert first_words("unbroken", 4) == "unbr"
    assert first_words(" unbroken", 4) == " unb"


def test_paper_takes_the_sizes_of_paper() -> None:
    """Sizes in rem go by the root: without it headings and badges stay those of a screen."""
    rules = stylesheet().split("@media print")[1]
    assert "html { font-size: 9.5pt; }" in rules
    assert ".badge { font-size: 0.8em; }" in rules


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_as_wcag_has_it() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("theme", [0, 1, 2], ids=["light", "dark", "print"])
def test_colours_can_be_told_apart(theme: int) -> None:
    """WCAG 2.2: 4.5 for text, 3 for what is drawn."""
    blocks = re.findall(r":root \{(.*?)\}", stylesheet(), re.DOTALL)
    assert len(blocks) == 3
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", blocks[theme]))
    for ground in ("page", "panel"):
        for text in ("text", "quiet", "link", "good", "bad"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        for drawn in ("system", "baseline"):
            assert _contrast(colours[drawn], colours[ground]) >= 3, (drawn, ground)
    assert _contrast(colours["marked"], colours["mark"]) >= 4.5


def test_every_class_that_is_drawn_has_a_style(page: str) -> None:
    sheet = stylesheet()
    svg = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    names = {name for found in re.findall(r'class="([^"]+)"', svg) for name in found.split()}
    assert [name for name in sorted(names) if f".{name}" not in sheet and name not in ("value", "legend")] == []
    hidden = re.findall(r"([^{}]*)\{ display: none; \}", sheet)
    assert [name for name in names if any(re.search(rf"\.{name}\b", one) for one in hidden)] == []


def test_intervals_are_drawn_to_scale() -> None:
    row = Row("m", Estimate(0.5, 0.25, 0.75, 9), Estimate(0.0, 0.0, 0.0, 9), Estimate(0.5, 0, 1, 9))
    svg = charts.intervals([row], ("a", "b"))
    left, right = 10.0, 262.0
    (bar,) = re.findall(r'class="system bar" x1="([\d.]+)" x2="([\d.]+)"', svg)
    assert [float(x) for x in bar] == pytest.approx([left + 0.25 * (right - left), left + 0.75 * (right - left)])
    assert f'class="system full" cx="{left + 0.5 * (right - left):.1f}"' in svg


def test_figures_beyond_one_are_left_to_the_table() -> None:
    row = Row("size", Estimate(2.5, 2, 3, 9), Estimate(1.0, 1, 1, 9), Estimate(1.5, 1, 2, 9))
    assert "size" not in charts.intervals([row], ("a", "b"))
    assert "2.500 [2.000, 3.000]" in replace(report(), rows=(row,)).to_html()


def test_lines_are_drawn_to_scale() -> None:
    series = charts.Series("a", (charts.Point(1, 0.0, 0, 0), charts.Point(9, 1.0, 1, 1)))
    svg = charts.lines([series], ("x", "y"), ticks=[1, 9])
    (path,) = re.findall(r'points="([^"]+)"', svg)
    assert path == "44.0,236.0 346.0,34.0"


def test_two_reports_compared_in_markdown() -> None:
    worse = replace(report(EVIL), rows=(_row("right verdict", 0.4, 0.3, 0.2), *report(EVIL).rows[1:]))
    shown = diff(report(EVIL), worse).to_markdown()
    assert shown.splitlines()[0] == "# Regressions: 1; items lost: 0, won: 0"
    assert "| right verdict | 0.700 | 0.400 |" in shown
    assert "<script" not in re.sub(r"\\<", "", shown)


def test_two_reports_compared_on_a_page(tmp_path: Path) -> None:
    before = report(EVIL)
    flipped = replace(before.cases[0], system=replace(before.cases[0].system, right=False))
    found = diff(before, replace(before, cases=(flipped, *before.cases[1:]), manifest={EVIL: 1}))
    made = Page(found.to_html(tmp_path / "diff.html"))
    assert (tmp_path / "diff.html").read_text("utf-8").startswith("<!doctype html>")
    assert {tag for tag, _ in made.tags} & {"script", "img"} == set()
    assert [one["id"] for one in made.all("section")] == ["figures", "items", "settings"]
    assert "Right before, wrong now: 1" in "".join(made.words)


def test_what_was_declined_is_told_beside_the_headline() -> None:
    right = Said("Yes.", "yes", right=True)
    cases = [
        Case("1", "", "", "", Said("", abstained=True, right=False), right, "verdict"),
        Case("2", "", "", "", right, Said("No.", "no", right=False), "verdict"),
        Case("3", "", "", "", Said("", abstained=True, right=True), right, "abstention"),
    ]
    made = replace(report(), cases=tuple(cases)).to_markdown()
    assert (
        "Of 2 questions with a gold verdict RAG declined 1, and was right on 1 of 1 answered; no RAG declined 0, "
        in made
    )
    assert "gold verdict RAG" not in replace(report(), cases=tuple(cases[1:])).to_markdown()


def test_the_chart_as_a_file(tmp_path: Path) -> None:
    path = tmp_path / "chart.svg"
    text = report(text="<b>&").to_svg(path, title="Shipped")
    assert path.read_text("utf-8") == text
    assert len(text) < 20_000
    root = ElementTree.fromstring(text)
    svg = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img"
    assert [root.find(f"{svg}{name}").get("id") for name in ("title", "desc")] == root.get("aria-labelledby").split()
    assert root.find(f"{svg}title").text == "Shipped: RAG against no RAG"
    assert "right verdict: RAG 0.700, no RAG 0.300, difference +0.400" in root.find(f"{svg}desc").text
    shown = [one.text for one in root.iter(f"{svg}text")]
    assert {"right verdict", "<b>&", "0.700 [0.600, 0.800]"} <= set(shown)
    assert not re.search(r"href|url\(|@import|<script", text)
    # A figure of 0.7 stands seven tenths of the way from the mark of 0 to that of 1.
    ticks = {one.text: float(one.get("x")) for one in root.iter(f"{svg}text") if one.get("text-anchor") == "middle"}
    values = {float(one.get("x")) for one in root.iter() if one.get("class") == "value"}
    assert 100 < ticks["0"] < ticks["1"] < min(values)
    first = next(one for one in root.iter(f"{svg}circle") if float(one.get("cy")) > 70)
    assert float(first.get("cx")) == pytest.approx(ticks["0"] + 0.7 * (ticks["1"] - ticks["0"]), abs=0.1)
    for colours in re.findall(r"\.page{fill:(#\w+);stroke:#\w+}text{fill:(#\w+)}", text):
        assert contrast(*colours) > 7
    with pytest.raises(ValueError, match="nothing to draw"):
        replace(report(), rows=()).to_svg()


def test_long_names_stay_within_the_chart() -> None:
    long = replace(report(), system="a system with a very long name indeed, " * 2, baseline="another of that kind " * 3)
    svg = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring(long.to_svg(title="Labels"))
    width = float(root.get("width"))
    assert root.find(f"{svg}title").text.startswith("Labels: a system with")
    for one in root.iter(f"{svg}text"):
        letter = {"heading": 9.8, "quiet": 6.6, "value": 6.9}.get(one.get("class", ""), 7.8)  # of a wide font
        if one.get("text-anchor") is None:
            assert float(one.get("x")) + letter * len(one.text) <= width + 4, one.text
        elif one.get("text-anchor") == "end":
            assert float(one.get("x")) - letter * len(one.text) >= 0, one.text


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.2."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)
