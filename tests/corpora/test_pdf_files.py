"""Tests of the reader of PDF guidelines: each a page on which a number could be said of the wrong thing, or be lost."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radrag.corpora import chunk, read_pdf
from radrag.errors import CorpusError
from radrag.types import Document

pytest.importorskip("pdfplumber")
pytest.importorskip("reportlab")

from reportlab.lib import colors
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Frame, FrameBreak, PageBreak, Paragraph, Spacer, Table
from reportlab.platypus.doctemplate import BaseDocTemplate, PageTemplate

BODY, HEADING = getSampleStyleSheet()["BodyText"], getSampleStyleSheet()["Heading1"]
GRID = [("GRID", (0, 0), (-1, -1), 0.5, colors.black)]
BOLD = ("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold")
LONG = "The patient is asked about earlier reactions, thyroid disease and medicines that are taken each day at home."
DELAYS = [["Phase", "Delay", "Volume"], ["Arterial", "35 s", "100 mL"], ["Venous", "70 s", "120 mL"]]
NAMED = ["| Phase: Arterial | Delay: 35 s | Volume: 100 mL |", "| Phase: Venous | Delay: 70 s | Volume: 120 mL |"]
Draw = Callable[[Canvas], None]


def drawn(path: Path, *pages: Draw) -> Document:
    """Read a file of pages drawn by hand."""
    canvas = Canvas(str(path / "a.pdf"), pagesize=(595, 842))
    for draw in pages:
        canvas.setFont("Helvetica", 11)
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return checked(path / "a.pdf")


def told(path: Path, *story: Any, columns: int = 1) -> Document:
    """Read a file of paragraphs and tables that reportlab lays out."""
    width = 495 / columns
    frames = [Frame(50 + width * at, 60, width - 20 * (columns > 1), 720) for at in range(columns)]
    template = BaseDocTemplate(str(path / "a.pdf"), pagesize=(595, 842))
    template.addPageTemplates(PageTemplate(frames=frames))
    template.build([Paragraph(one, BODY) if isinstance(one, str) else one for one in story])
    return checked(path / "a.pdf")


def checked(path: Path) -> Document:
    document = read_pdf(path)
    assert all(document.text[one.start : one.end] == one.text for one in chunk(document))
    return document


def said(document: Document) -> list[str]:
    return document.text.split("\n\n")


def write(
    *lines: str, x: float = 60, y: float = 700, font: str = "Helvetica", size: float = 11, step: float = 14
) -> Draw:
    def draw(canvas: Canvas) -> None:
        canvas.setFont(font, size)
        for place, line in enumerate(lines):
            canvas.drawString(x, y - step * place, line)

    return draw


def both(*draws: Draw) -> Draw:
    def draw(canvas: Canvas) -> None:
        for one in draws:
            one(canvas)

    return draw


def boxes(rows: Sequence[Sequence[str]], x: float = 60, y: float = 600, width: float = 100) -> Draw:
    def draw(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 11)
        for down, row in enumerate(rows):
            for right, words in enumerate(row):
                canvas.rect(x + width * right, y - 20 * down, width, 20)
                canvas.drawString(x + width * right + 4, y - 20 * down + 6, words)

    return draw


# ---------------------------------------------------------------- which row names the columns


def test_names_and_values_are_not_columns(tmp_path: Path) -> None:
    rows = [["Indication", "Suspected PE"], ["Delay", "25 s"]]
    assert said(told(tmp_path, Table(rows, style=GRID))) == ["| Indication | Suspected PE |", "| Delay | 25 s |"]
    rows = [["Phase", "Delay"], ["Arterial", "25 s"]]
    assert said(told(tmp_path, Table(rows, style=[*GRID, BOLD]))) == ["| Phase: Arterial | Delay: 25 s |"]


def test_two_bold_rows_name_the_columns(tmp_path: Path) -> None:
    rows = [["Phase", "Delay", ""], ["", "Adult", "10 kg"], ["Arterial", "35 s", "20 s"]]
    spans = [("SPAN", (0, 0), (0, 1)), ("SPAN", (1, 0), (2, 0))]
    bold = ("FONTNAME", (0, 0), (-1, 1), "Helvetica-Bold")
    assert said(told(tmp_path, Table(rows, style=[*GRID, *spans, bold]))) == [
        "| Phase: Arterial | Delay, Adult: 35 s | Delay, 10 kg: 20 s |"
    ]
    assert said(told(tmp_path, Table(rows, style=[*GRID, *spans])))[1:] == [
        "| Phase | Adult | 10 kg |",
        "| Arterial | 35 s | 20 s |",
    ]


def test_a_row_across_the_table_labels_the_rows_below(tmp_path: Path) -> None:
    rows = [["Phase", "Delay"], ["Adults", ""], ["Arterial", "35 s"], ["Children", ""], ["Arterial", "20 s"]]
    spans = [("SPAN", (0, 1), (1, 1)), ("SPAN", (0, 3), (1, 3))]
    wanted = [
        "| Adults |",
        "| Adults | Phase: Arterial | Delay: 35 s |",
        "| Children |",
        "| Children | Phase: Arterial | Delay: 20 s |",
    ]
    assert said(told(tmp_path, Table(rows, style=[*GRID, *spans, BOLD]))) == wanted
    bold = [("FONTNAME", (0, at), (0, at), "Helvetica-Bold") for at in (1, 3)]
    assert said(told(tmp_path, Table(rows, style=[*GRID, *bold, BOLD]))) == wanted


def test_a_bold_key_without_a_value_is_no_label(tmp_path: Path) -> None:
    rows = [["Allergy", ""], ["Delay", "35 s"]]
    bold = ("FONTNAME", (0, 0), (0, -1), "Helvetica-Bold")
    assert said(told(tmp_path, Table(rows, style=[*GRID, bold]))) == ["| Allergy |  |", "| Delay | 35 s |"]


def test_a_title_row_is_said_before_the_named_rows(tmp_path: Path) -> None:
    rows = [["Liver CT", ""], ["Phase", "Delay"], ["Arterial", "35 s"]]
    style = [*GRID, ("SPAN", (0, 0), (1, 0)), ("FONTNAME", (0, 0), (-1, 1), "Helvetica-Bold")]
    assert said(told(tmp_path, Table(rows, style=style))) == [
        "| Liver CT |",
        "| Liver CT | Phase: Arterial | Delay: 35 s |",
    ]


def test_merged_cells_are_repeated_in_each_row(tmp_path: Path) -> None:
    rows = [
        ["Age", "Drug", "Dose"],
        ["child", "A", "1 mg"],
        ["", "B", "2 mg"],
        ["adult", "A", "5 mg"],
        ["", "B", "9 mg"],
    ]
    spans = [("SPAN", (0, 1), (0, 2)), ("SPAN", (0, 3), (0, 4))]
    assert said(told(tmp_path, Table(rows, style=[*GRID, *spans]))) == [
        "| Age: child | Drug: A | Dose: 1 mg |",
        "| Age: child | Drug: B | Dose: 2 mg |",
        "| Age: adult | Drug: A | Dose: 5 mg |",
        "| Age: adult | Drug: B | Dose: 9 mg |",
    ]


def test_tables_with_open_sides_keep_their_outer_columns(tmp_path: Path) -> None:
    style = [("INNERGRID", (0, 0), (-1, -1), 0.5, colors.black), ("LINEABOVE", (0, 0), (-1, 0), 0.5, colors.black),
             ("LINEBELOW", (0, -1), (-1, -1), 0.5, colors.black)]  # fmt: skip
    rows = [[*row, flow] for row, flow in zip(DELAYS, ("Flow", "5 mL/s", "3 mL/s"), strict=True)]
    assert said(told(tmp_path, Table(rows, colWidths=90, style=style), "After it.")) == [
        "| Phase: Arterial | Delay: 35 s | Volume: 100 mL | Flow: 5 mL/s |",
        "| Phase: Venous | Delay: 70 s | Volume: 120 mL | Flow: 3 mL/s |",
        "After it.",
    ]


def test_a_row_that_a_page_end_cuts_stays_in_its_table(tmp_path: Path) -> None:
    rows = [
        ["Phase", "Delay"],
        [Paragraph("Arterial", BODY), Paragraph("35 s. " + "Wait. " * 60, BODY)],
        ["Late", "70 s"],
    ]
    table = Table(rows, style=GRID, splitInRow=1, colWidths=[80, 120])
    first, arterial, rest, late = said(told(tmp_path, Spacer(1, 590), table))
    assert (first, late) == ("| Phase | Delay |", "| Late | 70 s |")
    assert arterial.startswith("| Arterial | 35 s. Wait.")
    assert rest.startswith("|  | Wait. Wait.")


def test_a_smaller_table_that_touches_another_is_no_part_of_it(tmp_path: Path) -> None:
    first, below = [["Phase", "Delay"], ["Arterial", "35 s"]], [["only", "row"]]
    story = [Table(first, colWidths=150, style=[*GRID, BOLD]), Table(below, style=GRID)]
    assert said(told(tmp_path, *story, Table([["one"], ["column"]], style=GRID))) == [
        "| Phase: Arterial | Delay: 35 s |",
        "| only | row |",
        "one",
        "column",
    ]


# ---------------------------------------------------------------- tables over two pages


def over_pages(tmp_path: Path, rows: list[list[str]], *style: Any, repeat: int = 0) -> tuple[list[str], list[str]]:
    """Return the rows of a table, four of which fit on its first page, by page."""
    document = told(tmp_path, Spacer(1, 630), Table(rows, colWidths=100, style=[*GRID, *style], repeatRows=repeat))
    found = {part.path[-1]: document.text[part.start : part.end].split("\n\n") for part in document.sections}
    return found["page 1"], found["page 2"]


ROWS = [["Phase", "Delay", "Note"], ["Arterial", "35 s", "a"], ["Venous", "70 s", "b"], ["Late", "180 s", "c"]]


def test_a_table_that_goes_on_keeps_its_names(tmp_path: Path) -> None:
    wanted = ["| Phase: Last | Delay: 300 s | Note: d |"]
    assert over_pages(tmp_path, [*ROWS, ["Last", "300 s", "d"]])[1] == wanted
    assert over_pages(tmp_path, [*ROWS, ["Last", "300 s", "d"]], BOLD)[1] == wanted
    assert over_pages(tmp_path, [*ROWS, ["Last", "300 s", "d"]], BOLD, repeat=1)[1] == wanted


def test_a_first_row_that_could_be_names_leaves_the_rows_unnamed(tmp_path: Path) -> None:
    rows = [*ROWS, ["Last", "none", "d"], ["End", "400 s", "e"]]
    assert over_pages(tmp_path, rows)[1] == ["| Last | none | d |", "| End | 400 s | e |"]


def test_a_table_after_other_words_takes_no_names_over(tmp_path: Path) -> None:
    rows = [ROWS[1:2], [["Last", "none", "d"], ["End", "400 s", "e"]]]
    story = [Table(ROWS, colWidths=100, style=GRID), "Turn over.", PageBreak()]
    assert said(told(tmp_path, *story, Table(rows[0], colWidths=100, style=GRID)))[-1] == "| Arterial | 35 s | a |"
    assert said(told(tmp_path, *story, Table(rows[1], colWidths=100, style=GRID)))[-2:] == [
        "| Last | none | d |",
        "| End | 400 s | e |",
    ]


def test_a_label_goes_on_over_the_page(tmp_path: Path) -> None:
    rows = [ROWS[0], ["Children", "", ""], *ROWS[2:], ["Last", "300 s", "d"]]
    assert over_pages(tmp_path, rows, ("SPAN", (0, 1), (-1, 1)), BOLD)[1] == [
        "| Children |",
        "| Children | Phase: Last | Delay: 300 s | Note: d |",
    ]


def test_another_table_on_the_next_page_has_its_own_names(tmp_path: Path) -> None:
    other = [["Weight", "Dose", "Note"], ["10 kg", "20 mL", "x"]]
    story = [
        Table(ROWS, colWidths=100, style=[*GRID, BOLD]),
        PageBreak(),
        Table(other, colWidths=100, style=[*GRID, BOLD]),
    ]
    assert said(told(tmp_path, *story))[-1] == "| Weight: 10 kg | Dose: 20 mL | Note: x |"


# ---------------------------------------------------------------- tables without rules


@pytest.mark.parametrize("width", [None, 60, 150])
def test_three_columns_without_rules_are_read_by_rows(tmp_path: Path, width: int | None) -> None:
    rows = [*DELAYS, ["Delayed", "", "80 mL"], ["Late", "300 s", "60 mL"]]
    wanted = [f"| {' | '.join(row)} |" for row in rows]
    assert said(told(tmp_path, LONG, Table(rows, colWidths=width), LONG)) == [LONG, *wanted, LONG]


def test_bold_names_of_a_table_without_rules_are_said(tmp_path: Path) -> None:
    assert said(told(tmp_path, LONG, Table(DELAYS, colWidths=100, style=[BOLD]))) == [LONG, *NAMED]


def test_names_beside_an_empty_corner_stay_with_their_rows(tmp_path: Path) -> None:
    rows = [["", "Adult", "Child"], ["Arterial", "35 s", "20 s"], ["Venous", "70 s", "55 s"]]
    assert said(told(tmp_path, LONG, Table(rows, colWidths=100))) == [LONG, *(f"| {' | '.join(row)} |" for row in rows)]


# ---------------------------------------------------------------- columns


def test_columns_with_headings_at_one_height(tmp_path: Path) -> None:
    story = [Paragraph("Adults", HEADING), "Adults get 100 mL.", LONG, FrameBreak(), Paragraph("Children", HEADING),
             "Children get 2 mL/kg.", LONG]  # fmt: skip
    document = told(tmp_path, *story, columns=2)
    assert said(document) == ["# Adults", "Adults get 100 mL.", LONG, "# Children", "Children get 2 mL/kg.", LONG]
    assert [part.path for part in document.sections] == [("Adults", "page 1"), ("Children", "page 1")]


def test_three_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    story: list[Any] = []
    for at, name in enumerate(("Adults", "Children", "Elderly"), start=1):
        story += [Paragraph(name, HEADING), f"{name} get {at}00 mL. {LONG}", *[f"{LONG} {LONG}"] * at, FrameBreak()]
    document = told(tmp_path, *story[:-1], columns=3)
    assert [part.path[0] for part in document.sections] == ["Adults", "Children", "Elderly"]
    for at, part in enumerate(document.sections, start=1):
        text = document.text[part.start : part.end]
        assert text == "\n\n".join([f"{part.path[0]} get {at}00 mL. {LONG}", *[f"{LONG} {LONG}"] * at])


def test_a_heading_below_two_columns_stands_after_both(tmp_path: Path) -> None:
    left, right = ["words in the column on this side"] * 6, ["other words in the other column"] * 6
    heading = write("Safety", y=600, font="Helvetica-Bold", size=14)
    wide = "A line of text that is set across the whole width of the page and so below both of the columns."
    document = drawn(tmp_path, both(write(*left), write(*right, x=320), heading, write(wide, y=570)))
    assert said(document) == [" ".join(left), " ".join(right), "# Safety", wide]


def test_tables_side_by_side_stay_under_their_words(tmp_path: Path) -> None:
    pair = [["Phase", "Delay"], ["Arterial", "35 s"]], [["Phase", "Delay"], ["Arterial", "20 s"]]
    document = drawn(tmp_path, both(write("Adults"), write("Children", x=330), boxes(pair[0], width=70),
                                    boxes(pair[1], x=330, width=70)))  # fmt: skip
    assert said(document) == [
        "Adults", "| Phase | Delay |", "| Arterial | 35 s |", "Children", "| Phase | Delay |", "| Arterial | 20 s |",
    ]  # fmt: skip


# ---------------------------------------------------------------- letters


def test_superscripts_are_no_digits_of_the_number_before(tmp_path: Path) -> None:
    high = (
        "50 × 10<super>9</super>/L, eGFR 30<super>2</super> mL/min/1.73 m<super>2</super>, the 1<super>st</super> day"
    )
    rows = [[Paragraph("Test", BODY), Paragraph("Limit", BODY)], [Paragraph("Platelets", BODY), Paragraph(high, BODY)]]
    wanted = "50 × 10⁹/L, eGFR 30² mL/min/1.73 m², the 1st day"
    assert said(told(tmp_path, f"Give at {high}.", Table(rows, colWidths=[100, 300], style=GRID))) == [
        f"Give at {wanted}.",
        "| Test | Limit |",
        f"| Platelets | {wanted} |",
    ]


def test_superscripts_that_are_drawn_apart(tmp_path: Path) -> None:
    line = both(write("35 s"), write("12", x=82, y=704, size=6))
    cells = both(boxes([["Delay", "35 s", "a"], ["Volume", "50 mL", "b"]]), write("1", x=186, y=610, size=6))
    assert said(drawn(tmp_path, both(line, cells))) == ["35 s¹²", "| Delay | 35 s¹ | a |", "| Volume | 50 mL | b |"]


def test_letters_drawn_twice_are_read_once(tmp_path: Path) -> None:
    def twice(canvas: Canvas) -> None:
        x = 60.0
        for letter in "Give 1100 mL, still":
            canvas.drawString(x, 700, letter)
            canvas.drawString(x + 0.3, 700, letter)
            x += canvas.stringWidth(letter, "Helvetica", 11)

    table = [["Dose", "100 mL", "all"]] * 2
    assert said(drawn(tmp_path, both(twice, boxes(table), boxes(table, x=60.2)))) == [
        "Give 1100 mL, still",
        *["| Dose | 100 mL | all |"] * 2,
    ]


def landscape(canvas: Canvas) -> None:
    canvas.rotate(90)
    canvas.translate(0, -595)
    boxes(DELAYS, y=400)(canvas)


def upside_down(canvas: Canvas) -> None:
    canvas.translate(595, 842)
    canvas.rotate(180)
    write(LONG)(canvas)


def upright_name(canvas: Canvas) -> None:
    write(*[LONG] * 5)(canvas)
    boxes([["Phase", "Delay", "Volume"], ["Late", "35 s", ""]])(canvas)
    canvas.translate(270, 582)
    canvas.rotate(90)
    canvas.drawString(0, 0, "50")


@pytest.mark.parametrize("draw", [landscape, upside_down, upright_name])
def test_turned_text_is_refused_by_page(tmp_path: Path, draw: Draw) -> None:
    with pytest.raises(CorpusError, match=r"page 2 holds text that is turned.*turn the page"):
        drawn(tmp_path, write(LONG), draw)


def test_a_watermark_is_left_out_and_listed(tmp_path: Path) -> None:
    def mark(canvas: Canvas) -> None:
        canvas.saveState()
        canvas.translate(150, 600)
        canvas.rotate(30)
        canvas.setFont("Helvetica", 60)
        canvas.drawString(0, 0, "DRAFT")
        canvas.restoreState()

    document = drawn(tmp_path, both(mark, write(*[LONG] * 5)))
    assert document.text == " ".join([LONG] * 5)
    assert document.metadata["left_out"] == ["DRAFT"]


def test_lines_are_joined_at_hyphens_and_dashes_stay(tmp_path: Path) -> None:
    text = (
        "A T1-<br/>weighted image, 2-<br/>3 mL, low-<br/>dose, CT and contrast, con-<br/>trast; low-<br/>and 30 – 45."
    )
    assert said(told(tmp_path, text)) == [
        "A T1-weighted image, 2-3 mL, low-dose, CT and contrast, contrast; low- and 30 – 45."
    ]


def test_a_dash_between_numbers_is_no_bullet(tmp_path: Path) -> None:
    assert said(told(tmp_path, "eGFR 30 \u2013 45")) == ["eGFR 30 \u2013 45"]


def test_list_items_stay_apart(tmp_path: Path) -> None:
    story = ["1. Stop metformin", "2. Wait", "a) one day", "(b) two days", "• scan", "until the end"]
    assert said(told(tmp_path, *story)) == [*story[:4], "- scan", "until the end"]


def test_an_indented_paragraph_is_one(tmp_path: Path) -> None:
    indented = ParagraphStyle("i", parent=BODY, firstLineIndent=20)
    assert said(told(tmp_path, Paragraph(LONG, indented))) == [LONG]


# ---------------------------------------------------------------- running heads


def test_text_that_differs_in_digits_is_no_running_head(tmp_path: Path) -> None:
    pages = [
        both(
            write(f"Protocol {n}", y=800, font="Helvetica-Bold", size=16),
            write(f"Dose for {n} kg: {n} mL", y=780),
            write("Protocol", y=790, x=400),
            write(LONG),
        )
        for n in (1, 2, 3)
    ]
    document = drawn(tmp_path, *pages)
    assert said(document) == [line for n in (1, 2, 3) for line in (f"# Protocol {n}", f"Dose for {n} kg: {n} mL", LONG)]
    assert document.metadata["left_out"] == ["Protocol"]


@pytest.mark.parametrize("label", ["{}", "Page {} of 9", "p. {}", "- {} -", "RAD | {} | 2026", "{} / 9"])
@pytest.mark.parametrize("first", [1, 7])
def test_page_numbers_are_left_out(tmp_path: Path, label: str, first: int) -> None:
    numbers = [label.format(first + at) for at in range(3)]
    document = drawn(tmp_path, *(both(write(LONG), write(number, x=280, y=20)) for number in numbers))
    assert said(document) == [LONG] * 3
    assert document.metadata["left_out"] == sorted(numbers)


def test_numbers_at_the_edge_that_do_not_go_up_by_one_are_kept(tmp_path: Path) -> None:
    pages = [both(write(LONG), write(f"{n}", x=280, y=20)) for n in (35, 70, 180)]
    assert said(drawn(tmp_path, *pages)) == [LONG, "35", LONG, "70", LONG, "180"]


def test_the_head_of_two_pages_is_no_heading(tmp_path: Path) -> None:
    head = write("St Elsewhere", y=810, font="Helvetica-Bold", size=14)
    title = write("Contrast", y=760, font="Helvetica-Bold", size=14)
    document = drawn(tmp_path, both(head, title, write(LONG)), both(head, write("Never above 100 mL.")))
    assert [part.path for part in document.sections] == [("Contrast", "page 1"), ("Contrast", "page 2")]
    assert document.metadata["left_out"] == ["St Elsewhere"]


def test_a_control_table_on_every_page_is_left_out(tmp_path: Path) -> None:
    def page(number: int, dose: int) -> Draw:
        control = boxes([["Doc RAD-12", f"Page {number}"], ["Owner", "2026"]], y=800)
        return both(control, boxes([["Dose", f"{dose} mL"], ["Delay", "35 s"]]))

    document = drawn(tmp_path, *(page(n, 10 * n) for n in (1, 2, 3)))
    assert said(document) == [row for n in (1, 2, 3) for row in (f"| Dose | {n}0 mL |", "| Delay | 35 s |")]
    assert document.metadata["left_out"] == [f"| Doc RAD-12 | Page {n} | | Owner | 2026 |" for n in (1, 2, 3)]


# ---------------------------------------------------------------- headings


def test_references_in_small_type_do_not_make_the_text_headings(tmp_path: Path) -> None:
    small = ParagraphStyle("s", fontSize=7, leading=9)
    text = [LONG, LONG, "Withhold metformin below 30.", "Adults get 100 mL.", "For children 2 mL/kg"]
    cited = [f"{at}. Author A. A study of things of this kind. Journal {at};12:34-56." for at in range(12)]
    document = told(tmp_path, Paragraph("Contrast", HEADING), *text, *(Paragraph(one, small) for one in cited))
    assert said(document) == ["# Contrast", *text, *cited]
    assert {part.path for part in document.sections} == {("Contrast", "page 1")}


def test_bold_lines_are_headings_each_and_plain_numbered_ones_are_not(tmp_path: Path) -> None:
    story = ["<b>1. Dose for adults</b>", LONG, "2. Safety", "<b>Dose: 100 mL</b>", "<b>Dose for children: 2 mL</b>",
             "<b>Thyroid.</b> Ask first.", f"<b>{LONG}</b> <b>{LONG}</b>"]  # fmt: skip
    document = told(tmp_path, *story)
    assert said(document) == [
        "# 1. Dose for adults", LONG, "2. Safety", "# Dose: 100 mL", "# Dose for children: 2 mL", "Thyroid. Ask first.",
        f"{LONG} {LONG}",
    ]  # fmt: skip
    assert document.sections[0].path == ("1. Dose for adults", "page 1")


def test_a_large_warning_at_the_end_can_be_found(tmp_path: Path) -> None:
    document = told(tmp_path, LONG, Paragraph("STOP if eGFR is below 30", HEADING))
    assert [one.text for one in chunk(document)] == [LONG, "# STOP if eGFR is below 30"]


# ---------------------------------------------------------------- what is beside the text


def test_words_beside_a_tables_cells_are_kept(tmp_path: Path) -> None:
    table = both(boxes([["Phase", "Delay"], ["Late", "35 s"]]), boxes([["Volume"]], x=260))
    text = said(drawn(tmp_path, both(table, write("never if eGFR below 30", x=264, y=586))))
    assert text == ["| Phase: Late | Delay: 35 s |", "never if eGFR below 30"]


@pytest.mark.parametrize("box", [b"-50 -60 595 842", b"20 100 595 842"])
def test_a_page_that_does_not_begin_at_zero(tmp_path: Path, box: bytes) -> None:
    drawn(tmp_path, both(write(LONG), boxes(DELAYS), write("After it.", y=400)))
    path = tmp_path / "a.pdf"
    path.write_bytes(path.read_bytes().replace(b"/MediaBox [ 0 0 595 842 ]", b"/MediaBox [ %s ]" % box))
    assert said(checked(path)) == [LONG, *NAMED, "After it."]


def field(canvas: Canvas) -> None:
    write("Dose of contrast")(canvas)
    canvas.acroForm.textfield(name="d", value="100 mL", x=300, y=690, width=100, height=20)


def note(canvas: Canvas) -> None:
    write("Dose of contrast")(canvas)
    canvas.freeTextAnnotation("Changed to 50 mL", Rect=[60, 600, 200, 620], DA="x")


def ticked(canvas: Canvas) -> None:
    write("Renal failure")(canvas)
    canvas.acroForm.checkbox(name="c", checked=True, x=300, y=690)


@pytest.mark.parametrize(("draw", "words"), [(field, "100 mL"), (note, "Changed to 50 mL"), (ticked, "Yes")])
def test_fields_and_notes_are_refused(tmp_path: Path, draw: Draw, words: str) -> None:
    with pytest.raises(CorpusError, match=rf"page 1 has .*'{words}'.* print the file to a new PDF"):
        drawn(tmp_path, draw)


def test_an_empty_form_is_read(tmp_path: Path) -> None:
    def empty(canvas: Canvas) -> None:
        write("Dose of contrast")(canvas)
        canvas.acroForm.textfield(name="d", value="", x=300, y=690, width=100, height=20)
        canvas.acroForm.checkbox(name="c", checked=False, x=300, y=650)
        canvas.linkURL("https://example.org", (60, 600, 200, 620))

    assert drawn(tmp_path, empty).text == "Dose of contrast"


def test_pages_without_a_word_are_listed(tmp_path: Path) -> None:
    def outlines(canvas: Canvas) -> None:
        for at in range(50):
            canvas.circle(60 + 8 * at, 600, 3)

    document = drawn(tmp_path, write(LONG), outlines, write("Adults get 100 mL."))
    assert said(document) == [LONG, "Adults get 100 mL."]
    assert document.metadata == {"pages": 3, "pages_without_text": [2]}


# ---------------------------------------------------------------- damage


def valid() -> bytes:
    data = io.BytesIO()
    canvas = Canvas(data, pagesize=(595, 842), pageCompression=0)
    both(write("Contrast", font="Helvetica-Bold"), write("35 s"), write("1", x=82, y=704, size=6), boxes(DELAYS))(
        canvas
    )
    canvas.acroForm.textfield(name="d", value="", x=300, y=690, width=100, height=20)
    canvas.showPage()
    write(LONG)(canvas)
    canvas.save()
    return data.getvalue()


VALID = valid()
NUMBERS = [match.span() for match in re.finditer(rb"-?\d+(\.\d+)?", VALID)]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    changed = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 4))):
        if data.draw(st.booleans()):
            start, end = data.draw(st.sampled_from(NUMBERS))
            changed[start:end] = data.draw(
                st.sampled_from([b"0", b"-1", b"99999999999", b"null", b"(x)", b"0.0001", b"[]"])
            )
        else:
            start = data.draw(st.integers(0, len(VALID)))
            changed[start : start + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=10))
    path = tmp_path / "damaged.pdf"
    path.write_bytes(bytes(changed))
    try:
        text = checked(path).text
    except CorpusError as error:
        text = str(error)
    assert text


def test_a_page_without_end_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(VALID.replace(b"/MediaBox [ 0 0 595 842 ]", b"/MediaBox [ 0 0 595 99999999999 ]"))
    with pytest.raises(CorpusError, match="page 1 is 595 by 99999999999 points large, expected 14400 at most"):
        read_pdf(path)


@pytest.mark.parametrize("content", [b"\x1f\x8bnot gzip", b"%PDF-1.4", b"%PDF-1.4\n%%EOF", b"\0" * 100])
def test_what_is_no_pdf_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pdf").write_bytes(content)
    with pytest.raises(CorpusError, match=r"a\.pdf"):
        read_pdf(tmp_path / "a.pdf")
