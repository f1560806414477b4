"""Parts of reports in the forms in which headings come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.corpora import load_reports
from radrag.labelling.findings import Role, join_sections, split_report


def read(text: str) -> list[tuple[str, str]]:
    return [(part.name, text[part.start : part.end].strip()) for part in split_report(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Findings: Clear.\nImpression: Normal.", "findings=Clear. impression=Normal."),
        ("FINDINGS\nClear.\nCONCLUSION\nNormal.", "findings=Clear. impression=Normal."),
        ("## Findings\nClear.\n**Impression:** Normal.", "findings=Clear. impression=Normal."),
        ("Chest pain FINDINGS: Clear. IMPRESSION: Normal.", "=Chest pain findings=Clear. impression=Normal."),
        (
            "CLINICAL HISTORY: Cough.\nCOMPARISON: No.\nReport: Clear.",
            "indication=Cough. comparison=No. findings=Clear.",
        ),
        ("REASON FOR EXAM: Cough.\nTechnique: PA.\nOpinion: Ok.", "indication=Cough. technique=PA. impression=Ok."),
        ("Cardiomegaly. No effusion.", "=Cardiomegaly. No effusion."),
        ("FINDINGS: LUNGS: Clear.\nHEART: Normal.", "findings=LUNGS: Clear.\nHEART: Normal."),
    ],
)
def test_headings_are_found(text: str, expected: str) -> None:
    assert " ".join(f"{name}={body}" for name, body in read(text)) == expected


def test_shipped_reports_are_cut_as_labelled() -> None:
    for report in load_reports():
        expected = [(part.path[0], report.text[part.start : part.end].strip()) for part in report.sections]
        wanted = [one for one in expected if one[0] in ("findings", "impression", "comparison", "indication")]
        assert [
            one for one in read(report.text) if one[0] in ("findings", "impression", "comparison", "indication")
        ] == wanted


def test_sections_are_joined_with_offsets() -> None:
    text, parts = join_sections(
        {"Clinical history": "Cough", "findings": "Clear.", "impression": " ", "Addendum": "None."}
    )
    assert [(part.name, part.role, text[part.start : part.end]) for part in parts] == [
        ("indication", Role.ASIDE, "Cough"),
        ("findings", Role.FINDINGS, "Clear."),
        ("addendum", Role.FINDINGS, "None."),
    ]
    with pytest.raises(ValueError, match="no section"):
        join_sections({"findings": " "})
    with pytest.raises(TypeError, match="must be text"):
        join_sections({"findings": None})  # type: ignore[dict-item]


@given(st.text(alphabet="FINDGS:impresonIMPRE.\n x", max_size=80))
def test_parts_are_in_order_and_never_overlap(text: str) -> None:
    last = 0
    for part in split_report(text):
        assert last <= part.start < part.end <= len(text)
        last = part.end
