"""Reports in Open-i's XML, made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from radrag.corpora.openi import read_openi, read_openi_folder
from radrag.errors import CorpusError

REPORT = """<?xml version="1.0" encoding="utf-8"?>
{head}<eCitation>
   <meta type="rr"/>
   <uId id="{uid}"/>
   <pmcId id="9"/>
   <articleType>XR</articleType>
   <title>Made-up Chest X-ray Collection</title>
   <MedlineCitation Owner="Indiana University" Status="supplied by publisher">
      <Article PubModel="Electronic">
         <Journal><ArticleTitle>Made-up Chest X-ray Collection</ArticleTitle></Journal>
         <ArticleTitle>Chest, 2 views</ArticleTitle>
         <Abstract>
            <AbstractText Label="COMPARISON"/>
            <AbstractText Label="INDICATION">Cough &amp; fever, XXXX</AbstractText>
            <AbstractText Label="FINDINGS">Heart size
               normal. <i>No</i> effusion.</AbstractText>
            <AbstractText Label="IMPRESSION">Clear lungs.</AbstractText>
         </Abstract>
      </Article>
   </MedlineCitation>
   <MeSH><major>normal</major><major>Nodule/lung/upper lobe</major><automatic>effusion</automatic></MeSH>
   <parentImage id="CXR1_1_IM-0001-3001">
      <figureId>F1</figureId><caption>Xray Chest PA and Lateral</caption>
      <panel type="single"><url>/hadoop/storage/CXR1.jpg</url></panel>
   </parentImage>
   <parentImage id="CXR1_1_IM-0001-4001"/>
</eCitation>
"""


def write(path: Path, head: str = "", uid: str = "CXR1", text: str = REPORT) -> Path:
    path.write_text(text.format(head=head, uid=uid), "utf-8")
    return path


def test_a_report(tmp_path: Path) -> None:
    document = read_openi(write(tmp_path / "1.xml"))
    assert document.id == "openi:CXR1"
    assert document.title == ""
    assert document.text == (
        "INDICATION: Cough & fever, XXXX\nFINDINGS: Heart size normal. No effusion.\nIMPRESSION: Clear lungs."
    )
    assert [(part.path, document.text[part.start : part.end]) for part in document.sections] == [
        (("indication",), "Cough & fever, XXXX"),
        (("findings",), "Heart size normal. No effusion."),
        (("impression",), "Clear lungs."),
    ]
    assert document.metadata["mesh"] == ["normal", "Nodule/lung/upper lobe"]
    assert document.metadata["mesh_automatic"] == ["effusion"]
    assert document.metadata["empty"] == ["comparison"]
    assert document.metadata["group"] == "CXR1"
    assert document.metadata["images"] == [
        {"id": "CXR1_1_IM-0001-3001", "caption": "Xray Chest PA and Lateral", "url": "/hadoop/storage/CXR1.jpg"},
        {"id": "CXR1_1_IM-0001-4001", "caption": "", "url": ""},
    ]
    # The gold standard is nowhere in what is read or searched.
    assert "Nodule" not in document.text + document.title


def test_folder_by_number(tmp_path: Path) -> None:
    for number in (10, 9, 100):
        write(tmp_path / f"{number}.xml", uid=f"CXR{number}")
    assert [one.id for one in read_openi_folder(tmp_path)] == ["openi:CXR9", "openi:CXR10", "openi:CXR100"]
    write(tmp_path / "11.xml", uid="CXR9")
    with pytest.raises(CorpusError, match=r"that of 9\.xml already"):
        list(read_openi_folder(tmp_path))
    with pytest.raises(CorpusError, match=r"no \.xml files"):
        list(read_openi_folder(tmp_path / "none"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<eCitation><uId id='1'/></eCitation>", "no text"),
        ("<report/>", "expected <eCitation>"),
        ("<eCitation>", "not valid XML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_openi(write(tmp_path / "1.xml", text=text))


def test_entities_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    with pytest.raises(CorpusError, match="declares entities"):
        read_openi(write(tmp_path / "1.xml", head=bomb))
