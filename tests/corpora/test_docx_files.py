"""Tests of the reader of Word guidelines: whose number a table, a sign or a note says, and what it refuses."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import partial
from html import escape
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radrag.corpora import chunk, read_docx, read_folder
from radrag.errors import CorpusError

docx = pytest.importorskip("docx")
etree = pytest.importorskip("lxml.etree")

SPACES = " ".join(
    f'xmlns:{prefix}="{space}"'
    for prefix, space in {
        "w": "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
        "m": "http://schemas.openxmlformats.org/officeDocument/2006/math",
        "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006",
        "r": "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
        "o": "urn:schemas-microsoft-com:office:office",
    }.items()
)
RELATED = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
TYPES = "application/vnd.openxmlformats-officedocument.wordprocessingml"
BOLD, SUPER, STRUCK, HIDDEN = "<w:b/>", '<w:vertAlign w:val="superscript"/>', "<w:strike/>", "<w:vanish/>"
SYMBOL = '<w:rFonts w:ascii="Symbol" w:hAnsi="Symbol"/>'
GREY = '<w:shd w:val="clear" w:fill="D9D9D9"/>'
HEADER = "<w:tblHeader/>"
STYLES = (
    '<w:style w:type="paragraph" w:styleId="H1"><w:name w:val="heading 1"/></w:style>'
    '<w:style w:type="paragraph" w:styleId="H2"><w:name w:val="heading 2"/></w:style>'
    '<w:style w:type="paragraph" w:styleId="Mine"><w:name w:val="Mine"/><w:basedOn w:val="H2"/></w:style>'
)


def run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{escape(text)}</w:t></w:r>'


def par(*runs: str, style: str = "", properties: str = "") -> str:
    named = f'<w:pStyle w:val="{style}"/>' if style else ""
    written = "".join(one if one.startswith("<") else run(one) for one in runs)
    return f"<w:p><w:pPr>{named}{properties}</w:pPr>{written}</w:p>"


def cell(text: str, properties: str = "", look: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{par(run(text, look) if text else '')}</w:tc>"


def row(*cells: str, properties: str = "", look: str = "", shade: str = "") -> str:
    written = "".join(one if one.startswith("<") else cell(one, shade, look) for one in cells)
    return f"<w:tr><w:trPr>{properties}</w:trPr>{written}</w:tr>"


def table(*rows: str, style: str = "", look: str = '<w:tblLook w:val="04A0"/>') -> str:
    named = f'<w:tblStyle w:val="{style}"/>' if style else ""
    return f"<w:tbl><w:tblPr>{named}{look}</w:tblPr><w:tblGrid/>{''.join(rows)}</w:tbl>"


across = partial(cell, properties='<w:gridSpan w:val="2"/>')
first_of_two = partial(cell, properties='<w:vMerge w:val="restart"/>')
second_of_two = cell("", "<w:vMerge/>")


def parts(body: str, styles: str = "", notes: str = "", ends: str = "") -> dict[str, str]:
    """Return the least that makes a Word file."""
    kinds = {"styles": STYLES + styles, "footnotes": notes, "endnotes": ends}
    held = {name: text for name, text in kinds.items() if text}
    links = [f'<Relationship Id="r{name}" Type="{RELATED}/{name}" Target="{name}.xml"/>' for name in held]
    types = [f'<Override PartName="/word/{name}.xml" ContentType="{TYPES}.{name}+xml"/>' for name in held]
    space = "http://schemas.openxmlformats.org/package/2006"
    return {
        "[Content_Types].xml": f'<Types xmlns="{space}/content-types"><Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml" '
        f'ContentType="{TYPES}.document.main+xml"/>{"".join(types)}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{space}/relationships"><Relationship Id="r1" '
        f'Type="{RELATED}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{space}/relationships">{"".join(links)}'
        "</Relationships>",
        "word/document.xml": f"<w:document {SPACES}><w:body>{body}</w:body></w:document>",
        **{f"word/{name}.xml": f"<w:{name} {SPACES}>{text}</w:{name}>" for name, text in held.items()},
    }


def packed(made: dict[str, str]) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in made.items():
            archive.writestr(name, text)
    return file.getvalue()


Word = Callable[..., list[str]]


@pytest.fixture
def word(tmp_path: Path) -> Word:
    """Return the blocks that are read from a file of these parts."""

    def lines(*body: str, **other: str) -> list[str]:
        path = tmp_path / "a.docx"
        path.write_bytes(packed(parts("".join(body), **other)))
        return read_docx(path).text.split("\n\n")

    return lines


# ---------------------------------------------------------------- which rows name the columns

PHASES = (row("Arterial", "35 s"), row("Venous", "70 s"))
NAMED = ["| Phase: Arterial | Delay: 35 s |", "| Phase: Venous | Delay: 70 s |"]
BARE = ["| Phase | Delay |", "| Arterial | 35 s |", "| Venous | 70 s |"]


def firstly(name: str, properties: str = "<w:rPr><w:b/></w:rPr>") -> str:
    """Return a table style that sets off the first row, and one based on it."""
    return (
        f'<w:style w:type="table" w:styleId="Base"><w:name w:val="{name}"/>'
        f'<w:tblStylePr w:type="firstRow">{properties}</w:tblStylePr></w:style>'
        '<w:style w:type="table" w:styleId="Sub"><w:name w:val="Sub"/><w:basedOn w:val="Base"/></w:style>'
    )


def test_a_table_of_keys_and_values_has_no_column_names(tmp_path: Path) -> None:
    file = docx.Document()
    made = file.add_table(rows=0, cols=2, style="Table Grid")
    for key, value in (("Indication", "Suspected PE"), ("Delay", "25 s"), ("Volume", "60 mL")):
        cells = made.add_row().cells
        cells[0].text, cells[1].text = key, value
    file.save(str(tmp_path / "a.docx"))
    assert read_docx(tmp_path / "a.docx").text.split("\n\n") == [
        "| Indication | Suspected PE |",
        "| Delay | 25 s |",
        "| Volume | 60 mL |",
    ]


@pytest.mark.parametrize(
    "head",
    [
        row("Phase", "Delay", properties=HEADER),
        row("Phase", "Delay", look=BOLD),
        row("Phase", "Delay", shade=GREY),
        row("Phase", "Delay", shade='<w:shd w:val="pct20" w:fill="auto"/>'),
    ],
)
def test_a_row_that_is_marked_or_alone_set_off_names_the_columns(word: Word, head: str) -> None:
    assert word(table(head, *PHASES)) == NAMED


@pytest.mark.parametrize(
    "head",
    [
        row("Phase", "Delay"),
        row("Phase", "Delay", properties='<w:tblHeader w:val="0"/>'),
        row(cell("Phase", look=BOLD), cell("Delay")),
        row("Phase", "Delay", look='<w:b w:val="false"/>'),
        row("Phase", "Delay", shade='<w:shd w:val="clear" w:fill="FFFFFF"/>'),
    ],
)
def test_a_row_like_the_others_names_nothing(word: Word, head: str) -> None:
    assert word(table(head, *PHASES)) == BARE


def test_a_mark_on_a_later_row_names_nothing(word: Word) -> None:
    assert word(table(row("Phase", "Delay"), PHASES[0], row("Venous", "70 s", properties=HEADER))) == BARE


@pytest.mark.parametrize("look", ['<w:tblLook w:val="04A0"/>', '<w:tblLook w:val="0000" w:firstRow="1"/>'])
@pytest.mark.parametrize("properties", ["<w:rPr><w:b/></w:rPr>", f"<w:tcPr>{GREY}</w:tcPr>"])
def test_the_style_of_a_table_can_set_off_its_first_row(word: Word, look: str, properties: str) -> None:
    rows = row("Phase", "Delay"), *PHASES
    assert word(table(*rows, style="Sub", look=look), styles=firstly("Light Grid", properties)) == NAMED


@pytest.mark.parametrize(
    ("name", "properties", "look"),
    [
        ("Light Grid", BOLD, '<w:tblLook w:val="0480"/>'),
        ("Light Grid", BOLD, '<w:tblLook w:val="04A0" w:firstRow="0"/>'),
        ("Light Grid", BOLD, '<w:tblLook w:val="zz"/>'),
        ("Light Grid", BOLD, ""),
        ("Light Grid", "<w:i/>", '<w:tblLook w:val="04A0"/>'),
        ("Table Grid", BOLD, '<w:tblLook w:val="04A0"/>'),
    ],
)
def test_a_plain_style_or_an_unused_one_sets_off_nothing(word: Word, name: str, properties: str, look: str) -> None:
    styles = firstly(name, f"<w:rPr>{properties}</w:rPr>")
    assert word(table(row("Phase", "Delay"), *PHASES, style="Base", look=look), styles=styles) == BARE


def test_names_are_seen_where_a_style_makes_them_bold(word: Word) -> None:
    styles = '<w:style w:type="paragraph" w:styleId="Names"><w:name w:val="Names"/><w:rPr><w:b/></w:rPr></w:style>'
    names = [f"<w:tc>{par(name, style='Names')}</w:tc>" for name in ("Phase", "Delay")]
    assert word(table(row(*names), *PHASES), styles=styles) == NAMED


def test_traffic_lights_are_no_header(word: Word) -> None:
    shades = [f'<w:shd w:val="clear" w:fill="{fill}"/>' for fill in ("00FF00", "FFFF00", "FF0000")]
    said = [("Above 45", "Give it"), ("30 to 45", "Ask"), ("Below 30", "Do not")]
    rows = [row(*cells, shade=shade) for cells, shade in zip(said, shades, strict=True)]
    assert word(table(*rows)) == ["| Above 45 | Give it |", "| 30 to 45 | Ask |", "| Below 30 | Do not |"]


@pytest.mark.parametrize("other", [GREY, GREY.replace("D9D9D9", "EFEFEF")])
def test_shading_every_other_row_makes_no_header(word: Word, other: str) -> None:
    rows = row("Phase", "Delay", shade=GREY), PHASES[0], row("Venous", "70 s", shade=other)
    assert word(table(*rows)) == BARE


def test_a_title_in_the_first_cell_names_no_column(word: Word) -> None:
    rows = row("Liver CT", "", look=BOLD), *PHASES
    assert word(table(*rows)) == ["| Liver CT |  |", "| Arterial | 35 s |", "| Venous | 70 s |"]


@pytest.mark.parametrize("mark", ["", HEADER])
def test_a_second_header_further_down_leaves_all_rows_without_names(word: Word, mark: str) -> None:
    rows = row("Phase", "Delay", look=BOLD, properties=mark), PHASES[0]
    assert word(table(*rows, row("Weight", "Volume", look=BOLD), row("70 kg", "100 mL"))) == [
        "| Phase | Delay |",
        "| Arterial | 35 s |",
        "| Weight | Volume |",
        "| 70 kg | 100 mL |",
    ]


def test_two_header_rows_name_columns_together(word: Word) -> None:
    top = row(first_of_two("Phase", look=BOLD), across("Delay", look=BOLD))
    below = row(second_of_two, "Adult", "Child")
    assert word(table(top, below, row("Arterial", "35 s", "20 s"))) == [
        "| Phase | Delay | Delay |",
        "| Phase | Adult | Child |",
        "| Arterial | 35 s | 20 s |",
    ]
    bold = row(second_of_two, "Adult", "Child", look=BOLD)
    marked = top.replace("<w:trPr>", f"<w:trPr>{HEADER}")
    for rows in ((top, bold), (marked, below)):
        assert word(table(*rows, row("Arterial", "35 s", "20 s"))) == [
            "| Phase: Arterial | Delay, Adult: 35 s | Delay, Child: 20 s |"
        ]


def test_two_columns_below_one_name_stay_without_names(word: Word) -> None:
    top = row("Phase", across("Delay", look=BOLD), look=BOLD, properties=HEADER)
    assert word(table(top, row("", "Adult", "Child"), row("Arterial", "35 s", "20 s"))) == [
        "| Phase | Delay | Delay |",
        "|  | Adult | Child |",
        "| Arterial | 35 s | 20 s |",
    ]


def test_a_cell_below_parts_of_two_names_leaves_the_table_without_names(word: Word) -> None:
    rows = row("Adult", across("Child"), properties=HEADER), row(across("100 mL"), "2 mL/kg")
    assert word(table(*rows)) == ["| Adult | Child | Child |", "| 100 mL | 100 mL | 2 mL/kg |"]


# ---------------------------------------------------------------- which cell stands where


def test_a_band_across_the_table_is_said_in_the_rows_below(word: Word) -> None:
    rows = row("Phase", "Delay", look=BOLD), row(across("Adults")), PHASES[0], row(across("Children")), PHASES[1]
    assert word(table(*rows)) == [
        "| Adults |",
        "| Adults | Phase: Arterial | Delay: 35 s |",
        "| Children |",
        "| Children | Phase: Venous | Delay: 70 s |",
    ]


@pytest.mark.parametrize("mark", ["", HEADER])
def test_a_title_across_the_table_is_no_column_name(word: Word, mark: str) -> None:
    title = row(across("Liver CT", look=BOLD), properties=mark)
    assert word(table(title, row("Phase", "Delay", look=BOLD), *PHASES)) == [
        "| Liver CT |",
        "| Liver CT | Phase: Arterial | Delay: 35 s |",
        "| Liver CT | Phase: Venous | Delay: 70 s |",
    ]
    assert word(table(title, *PHASES)) == [
        "| Liver CT |",
        "| Liver CT | Arterial | 35 s |",
        "| Liver CT | Venous | 70 s |",
    ]


def test_a_table_of_one_column_has_one_cell_a_row(word: Word) -> None:
    assert word(table(row("Stop"), row("Call"))) == ["| Stop |", "| Call |"]


DOSES = row("Age", "Drug", "Dose", properties=HEADER)


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([row("B", "2 mg", properties='<w:gridBefore w:val="1"/>')], ["| Drug: B | Dose: 2 mg |"]),
        (
            [row(f"<w:sdt><w:sdtContent>{across('child')}</w:sdtContent></w:sdt>", "1 mg")],
            ["| Age: child | Drug: child | Dose: 1 mg |"],
        ),
        (
            [
                row(first_of_two("child"), "A", "1 mg"),
                row(f"<w:sdt><w:sdtContent>{second_of_two}</w:sdtContent></w:sdt>", "B", "2 mg"),
            ],
            ["| Age: child | Drug: A | Dose: 1 mg |", "| Age: child | Drug: B | Dose: 2 mg |"],
        ),
        (
            [row("child", "A", "1 mg"), f"<w:sdt><w:sdtContent>{row('adult', 'B', '5 mg')}</w:sdtContent></w:sdt>"],
            ["| Age: child | Drug: A | Dose: 1 mg |", "| Age: adult | Drug: B | Dose: 5 mg |"],
        ),
        (
            [row("child", "A", "1 mg"), row(cell("adult", "<w:vMerge/>"), "B", "5 mg")],  # merged with nothing
            ["| Age: child | Drug: A | Dose: 1 mg |", "| Age: adult | Drug: B | Dose: 5 mg |"],
        ),
        ([row(cell("child", '<w:gridSpan w:val="0"/>'), "A", "1 mg")], ["| Age: child | Drug: A | Dose: 1 mg |"]),
    ],
    ids=["shifted", "control spans", "control merged", "control repeats", "merged with nothing", "spans none"],
)
def test_cells_stand_under_their_own_names(word: Word, rows: list[str], wanted: list[str]) -> None:
    assert word(table(DOSES, *rows)) == wanted


def test_a_span_beyond_all_columns_adds_none(word: Word) -> None:
    wide = cell("A", '<w:gridSpan w:val="900000000"/>')
    assert word(table(row(wide, "B"), row("C", "D"))) == ["| A | A | B |", "| C | D |  |"]


def test_a_table_in_a_cell_keeps_its_rows_apart(word: Word) -> None:
    inner = table(row("50 kg", "60 mL"), row("70 kg", "80 mL"))
    rows = row("Phase", "Dose", properties=HEADER), row("Arterial", f"<w:tc><w:p/>{inner}<w:p/></w:tc>")
    assert word(table(*rows)) == ["| Phase: Arterial | Dose: 50 kg, 60 mL; 70 kg, 80 mL |"]


# ---------------------------------------------------------------- text boxes


def box(text: str, style: str = "") -> str:
    """Return a text box as Word writes it, twice."""
    held = f"<w:txbxContent>{par(text, style=style)}</w:txbxContent>"
    return (
        f'<w:r><mc:AlternateContent><mc:Choice Requires="wps"><w:drawing>{held}</w:drawing></mc:Choice>'
        f"<mc:Fallback><w:pict>{held}</w:pict></mc:Fallback></mc:AlternateContent></w:r>"
    )


def test_a_text_box_in_a_cell_is_said_once(word: Word) -> None:
    rows = row("Arterial", f"<w:tc>{par(box('not in children'), '60 mL')}</w:tc>")
    assert word(table(rows)) == ["| Arterial | 60 mL not in children |"]


def test_a_heading_in_a_text_box_does_not_take_the_text_after_it(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    body = par("Dose", style="H1"), par("Give it", box("Children", "H1"), " slowly."), par("Adults: 100 mL.")
    path.write_bytes(packed(parts("".join(body))))
    (found,) = chunk(read_docx(path))
    assert found.path == ("Dose",)
    assert found.text == "Give it slowly.\n\nChildren\n\nAdults: 100 mL."


# ---------------------------------------------------------------- numbers and signs


def test_superscripts_do_not_join_the_number_before_them(word: Word) -> None:
    styles = f'<w:style w:type="character" w:styleId="Up"><w:name w:val="Up"/><w:rPr>{SUPER}</w:rPr></w:style>'
    count = par(
        "Below 50 × 10", run("9", SUPER), "/L, 10", run("-", SUPER), run("3", SUPER), " eGFR 30", run("2 ", SUPER), "mL"
    )
    lifted = par("Wait 35", run("1", '<w:rStyle w:val="Up"/>'), " s, 20", run("2", '<w:position w:val="6"/>'), " s")
    plainly = par("H", run("2", '<w:vertAlign w:val="subscript"/>'), "O, 1", run("st", SUPER))
    assert word(count, lifted, plainly, styles=styles) == [
        "Below 50 × 10⁹/L, 10⁻³ eGFR 30² mL",
        "Wait 35¹ s, 20² s",
        "H2O, 1st",
    ]


def symbol(char: str, font: str = "Symbol") -> str:
    return f'<w:r><w:sym w:font="{font}" w:char="{char}"/></w:r>'


def test_symbols_are_read_as_shown(word: Word) -> None:
    said = [
        par("Dose 5 ", symbol("F06D"), "g if eGFR ", symbol("F0A3"), " 30 ", symbol("F0E0", "Wingdings"), " ask"),
        par("Dose 5 ", run("m", SYMBOL), "g, ", run("\uf0b3 30 ≤ 45%", SYMBOL), symbol("2265", "Arial"), "60"),
        par("Stop ", run("à", SYMBOL.replace("Symbol", "Wingdings")), " call"),
        par(
            '<w:r><mc:AlternateContent><mc:Choice Requires="w16se"/><mc:Fallback><w:t>⚠</w:t></mc:Fallback>'
            "</mc:AlternateContent></w:r>",
            " Stop",
        ),
    ]
    assert word(*said) == ["Dose 5 µg if eGFR ≤ 30 → ask", "Dose 5 µg, ≥ 30 ≤ 45%≥60", "Stop → call", "⚠ Stop"]


@pytest.mark.parametrize(
    "sign",
    [
        symbol("F041", "Webdings"),
        symbol("F0A3", "Arial"),
        symbol("zz"),
        symbol("D800", "Arial"),
        run("\uf0a3"),
        run("P", SYMBOL.replace("Symbol", "Wingdings 2")),
    ],
)
def test_symbols_that_cannot_be_told_are_refused(word: Word, sign: str) -> None:
    with pytest.raises(CorpusError, match=r"does not say what it is, in 'eGFR \ufffd'; retype it"):
        word(par("eGFR ", sign, " 30"))


def test_struck_out_words_are_marked_as_such(word: Word) -> None:
    assert word(par("Give ", run("50", STRUCK), run("0 mL", STRUCK), " 100 mL")) == ["Give [struck out: 500 mL] 100 mL"]


def test_simple_equations_are_text(word: Word) -> None:
    equation = "<m:oMath><m:r><m:t>2</m:t></m:r><m:r><m:t>×weight</m:t></m:r></m:oMath>"
    assert word(par("Volume = ", equation, " mL")) == ["Volume = 2×weight mL"]


# ---------------------------------------------------------------- notes, hidden text, contents, lists


def note(kind: str, key: str, *runs: str) -> str:
    return f'<w:{kind} w:id="{key}">{par(*runs)}</w:{kind}>'


def mark(kind: str, key: str) -> str:
    return f'<w:r><w:rPr>{SUPER}</w:rPr><w:{kind}Reference w:id="{key}"/></w:r>'


def test_notes_are_found_from_their_marks(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    body = par("Dose", style="H1"), par("Give 100 mL", mark("footnote", "7"), mark("endnote", "7"), " now.")
    notes = '<w:footnote w:type="separator" w:id="0"><w:p/></w:footnote>' + note("footnote", "7", "Not below eGFR 30.")
    ends = note("endnote", "7", "Local rule.") + note("endnote", "8", "No mark refers to this.")
    path.write_bytes(packed(parts("".join(body), notes=notes, ends=ends)))
    document = read_docx(path)
    assert document.text.split("\n\n") == [
        "# Dose",
        "Give 100 mL [footnote 1] [endnote 1] now.",
        "# Footnotes",
        "[footnote 1] Not below eGFR 30.",
        "# Endnotes",
        "[endnote 1] Local rule.",
    ]
    assert [passage.path for passage in chunk(document)] == [("Dose",), ("Footnotes",), ("Endnotes",)]


def test_hidden_text_is_left_out_however_it_is_hidden(word: Word) -> None:
    styles = "".join(
        f'<w:style w:type="{kind}" w:styleId="{key}"><w:name w:val="{key}"/>{based}<w:rPr>{look}</w:rPr></w:style>'
        for kind, key, based, look in [
            ("paragraph", "Base", "", HIDDEN),
            ("paragraph", "Old", '<w:basedOn w:val="Base"/>', ""),
            ("character", "Gone", "", HIDDEN),
        ]
    )
    said = [
        par("New dose 100 mL", run(", not 200 mL", HIDDEN), run(", not 300 mL", '<w:rStyle w:val="Gone"/>')),
        par("Old dose 500 mL", run(" shown", '<w:vanish w:val="0"/>'), style="Old"),
    ]
    assert word(*said, styles=styles) == ["New dose 100 mL", "shown"]


def test_a_table_of_contents_is_left_out(word: Word) -> None:
    styles = '<w:style w:type="paragraph" w:styleId="Verzeichnis1"><w:name w:val="toc 1"/></w:style>'
    said = par("Contrast 3", style="Verzeichnis1"), par("Dose 4", style="TOC2"), par("Contrast", style="H1"), par("x.")
    assert word(*said, styles=styles) == ["# Contrast", "x."]


def test_items_of_lists_are_marked(word: Word) -> None:
    styles = (
        '<w:style w:type="paragraph" w:styleId="Item"><w:name w:val="List Bullet"/>'
        '<w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
    )
    number = '<w:numPr><w:numId w:val="{}"/></w:numPr>'
    said = [
        par("One", style="Item"),
        par("Two", properties=number.format(2)),
        par("Three", style="Item", properties=number.format(0)),
        par("Four", style="H2", properties=number.format(2)),
    ]
    assert word(*said, styles=styles) == ["- One", "- Two", "Three", "## Four"]


@pytest.mark.parametrize("value", ["abc", "-3", "", "9" * 5000, "²"])
def test_an_outline_level_that_is_none_makes_no_heading(word: Word, value: str) -> None:
    assert word(par("x", properties=f'<w:outlineLvl w:val="{value}"/>')) == ["x"]


def test_styles_are_followed_to_what_they_are_based_on(word: Word) -> None:
    loop = '<w:style w:type="paragraph" w:styleId="Loop"><w:name w:val="Loop"/><w:basedOn w:val="Loop"/></w:style>'
    outline = '<w:outlineLvl w:val="2"/>'
    said = par("A", style="H1"), par("B", style="Mine"), par("C", properties=outline), par("D", style="Loop")
    assert word(*said, styles=loop) == ["# A", "## B", "### C", "D"]


def test_a_file_without_properties_is_titled_by_its_first_heading(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(packed(parts(par("CT liver", style="H1") + par("x"))))
    assert read_docx(path).title == "CT liver"  # python-docx says "Word Document"


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (par(f'<w:ins w:id="1">{run("50 mL")}</w:ins>'), "holds 1 tracked changes; accept or reject"),
        (table(row(cell("C", '<w:cellDel w:id="1"/>'), "D")), "holds 1 tracked changes"),
        (par("V = ", "<m:oMath><m:f><m:num/><m:den/></m:f></m:oMath>"), "holds equations"),
        (par("2×", "<m:oMath><m:d><m:e><m:r><m:t>w+5</m:t></m:r></m:e></m:d></m:oMath>"), "holds equations"),
        ("<m:oMathPara><m:oMath><m:r><m:t>V=3w</m:t></m:r></m:oMath></m:oMathPara>" + par("x"), "holds equations"),
        (par('<w:r><w:object><o:OLEObject ProgID="Equation.3"/></w:object></w:r>'), "holds equations"),
        (par("x") + '<w:altChunk r:id="r9"/>', "holds another file inside it"),
        (par("<w:r><w:fldChar><w:ffData><w:ddList/></w:ffData></w:fldChar></w:r>"), "lists of an old form"),
        (par(""), "holds no text"),
        (par(run("only hidden", HIDDEN)), "holds no text"),
    ],
)
def test_what_cannot_be_read_for_sure_is_refused(word: Word, body: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        word(body)


def test_changes_in_notes_are_refused(word: Word) -> None:
    notes = note("footnote", "1", "Not below ", f'<w:ins w:id="2">{run("30")}</w:ins>')
    with pytest.raises(CorpusError, match="holds 1 tracked changes"):
        word(par("x", mark("footnote", "1")), notes=notes)


def test_damaged_files_do_not_end_the_reading_of_a_folder(tmp_path: Path) -> None:
    made = parts(par("x"), notes=note("footnote", "1", "y"))
    (tmp_path / "good.docx").write_bytes(packed(made))
    (tmp_path / "notes.docx").write_bytes(packed({**made, "word/footnotes.xml": "<w:footnotes"}))
    (tmp_path / "styles.docx").write_bytes(packed({**made, "word/styles.xml": "<a"}))
    (tmp_path / "body.docx").write_bytes(packed({**made, "word/document.xml": f"<w:document {SPACES}/>"}))
    (tmp_path / "gzip.docx").write_bytes(b"\x1f\x8bx")
    corpus = read_folder(tmp_path)
    assert [document.id for document in corpus.documents] == ["good.docx"]
    failed = {failure.path.name: failure.error for failure in corpus.failures}
    assert "footnotes or endnotes are damaged" in failed["notes.docx"]
    assert all("not a Word file" in failed[f"{name}.docx"] for name in ("styles", "body"))
    assert "gzip data is cut off or damaged" in failed["gzip.docx"]


WHOLE = parts(
    par("Dose", style="Mine")
    + par("Adults", style="H1", properties='<w:outlineLvl w:val="1"/><w:numPr><w:numId w:val="1"/></w:numPr>')
    + par("Give ", run("5", SUPER), run("m", SYMBOL), symbol("F06D"), mark("footnote", "1"), box("box"))
    + table(
        row(first_of_two("Phase", look=BOLD), across("Delay", look=BOLD), properties=HEADER),
        row(second_of_two, "Adult", "Child", look=BOLD, shade=GREY, properties='<w:gridBefore w:val="0"/>'),
        row("Arterial", "35 s", f"<w:tc>{table(row('a', 'b'))}</w:tc>"),
        style="Sub",
    ),
    styles=firstly("Light Grid"),
    notes=note("footnote", "1", "Not below 30."),
)
VALUES = ["", "x", "-1", "0", "1", "²", "99999999999", "9" * 5000, "F0ZZ", "Sub", "Mine", "footnote"]


def reads_or_refuses(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.docx"
        path.write_bytes(content)
        with suppress(CorpusError):
            assert read_docx(path).text


def change(data: st.DataObject, root: Any) -> None:
    """Give an element another value or name, take it out, or put it elsewhere, once more or not."""
    every = list(root.iter("*"))
    one, other = (data.draw(st.sampled_from(every)) for _ in range(2))
    kind = data.draw(st.sampled_from(["value", "value", "name", "out", "move", "copy"]))
    if kind == "value" and one.attrib:
        one.set(data.draw(st.sampled_from(sorted(one.attrib))), data.draw(st.sampled_from(VALUES)))
    elif kind == "name":
        one.tag = other.tag
    elif one.getparent() is not None and kind == "out":
        one.getparent().remove(one)
    elif one not in other.iterancestors() and one is not other and one is not root:
        other.append(one if kind == "move" else deepcopy(one))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_changed_files_raise_nothing_but_corpus_errors(data: st.DataObject) -> None:
    made = dict(WHOLE)
    for name in data.draw(st.lists(st.sampled_from(sorted(WHOLE)) | st.just("word/document.xml"), max_size=6)):
        root = etree.fromstring(made[name])
        change(data, root)
        made[name] = etree.tostring(root, encoding="unicode")
    reads_or_refuses(packed(made))


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, len(packed(WHOLE)) - 1), new=st.binary(max_size=4), cut=st.booleans())
def test_damaged_bytes_raise_nothing_but_corpus_errors(at: int, new: bytes, cut: bool) -> None:
    content = packed(WHOLE)
    reads_or_refuses(content[:at] + new + (b"" if cut else content[at + len(new) :]))
