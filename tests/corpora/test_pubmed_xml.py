from __future__ import annotations

import gzip
import os
import re
import tracemalloc
from pathlib import Path

import pytest

from radrag.corpora import chunk, read_deletions, read_pubmed
from radrag.errors import CorpusError
from radrag.types import Document

DATA = Path(os.environ.get("RADRAG_DATA") or Path(__file__).parents[3] / "shared" / "data") / "pubmed_xml"
DOCTYPE = (
    '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January '
    '2025//EN" "https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">\n'
)


def article(
    body: str = "", *, pmid: str = "7", after: str = "", data: str = "", date: str = "<Year>2019</Year>"
) -> str:
    return f"""<PubmedArticle><MedlineCitation><PMID Version="2">{pmid}</PMID><Article><Journal><JournalIssue>
    <PubDate>{date}</PubDate></JournalIssue><Title>Radiology</Title></Journal>{body}</Article>{after}</MedlineCitation>
    <PubmedData>{data}</PubmedData></PubmedArticle>"""


def write(path: Path, *records: str) -> Path:
    data = f"{DOCTYPE}<PubmedArticleSet>{''.join(records)}</PubmedArticleSet>".encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def one(path: Path, record: str) -> Document:
    (document,) = read_pubmed(write(path / "a.xml", record))
    return document


@pytest.mark.parametrize("name", ["a.xml", "a.xml.gz"])
def test_a_structured_abstract(tmp_path: Path, name: str) -> None:
    path = write(
        tmp_path / name,
        article(
            """<ArticleTitle>The <i>in vivo</i> role of
            CO<sub>2</sub>, 10<sup>9</sup>/L and <sup>18</sup>F.</ArticleTitle>
            <ELocationID EIdType="pii">x</ELocationID><ELocationID EIdType="doi" ValidYN="Y">10.1/a</ELocationID>
            <Abstract><AbstractText>Start.</AbstractText>
            <AbstractText Label="METHODS" NlmCategory="METHODS">We <b>did <i>it</i></b>.</AbstractText>
            <AbstractText Label="UNASSIGNED">More.</AbstractText><AbstractText Label="EMPTY"/>
            <AbstractText Label=" RESULTS ">P&lt;.05.</AbstractText>
            <CopyrightInformation>(c) 2019</CopyrightInformation></Abstract>
            <Language>eng</Language><Language>ger</Language>
            <PublicationTypeList><PublicationType UI="D1">Journal Article</PublicationType></PublicationTypeList>""",
            after="""<MeshHeadingList><MeshHeading><DescriptorName>Lung</DescriptorName><QualifierName>injury
            </QualifierName></MeshHeading></MeshHeadingList>
            <OtherAbstract Type="Publisher" Language="fre"><AbstractText>Bonjour.</AbstractText></OtherAbstract>""",
        ),
    )
    (document,) = read_pubmed(path)
    assert document.id == "PMID:7"
    assert document.title == "The in vivo role of CO2, 10⁹/L and 18F."
    assert document.text == "Start.\n\nWe did it.\n\nMore.\n\nP<.05."
    assert [(s.path, document.text[s.start : s.end]) for s in document.sections] == [
        (("METHODS",), "We did it."),
        (("RESULTS",), "P<.05."),
    ]
    assert [(p.path, p.text) for p in chunk(document)] == [
        ((), "Start."),
        (("METHODS",), "We did it."),
        ((), "More."),
        (("RESULTS",), "P<.05."),
    ]
    assert document.metadata == {
        "pmid": "7",
        "pmid_version": 2,
        "retracted": False,
        "has_abstract": True,
        "year": 2019,
        "date": "2019",
        "journal": "Radiology",
        "doi": "10.1/a",
        "language": ["eng", "ger"],
        "publication_types": ["Journal Article"],
        "mesh": ["Lung"],
        "other_abstracts": ["Bonjour."],
        "other_abstract_languages": ["fre"],
        "copyright": "(c) 2019",
        "url": "https://pubmed.ncbi.nlm.nih.gov/7/",
    }


def test_a_translated_title_without_abstract(tmp_path: Path) -> None:
    document = one(
        tmp_path,
        article("<ArticleTitle>[Beta-blockers].</ArticleTitle><VernacularTitle>Bêta-bloquants.</VernacularTitle>"),
    )
    assert document.text == document.title == "[Beta-blockers]."
    assert (document.metadata["has_abstract"], document.metadata["vernacular_title"]) == (False, "Bêta-bloquants.")


@pytest.mark.parametrize("nothing", ["[Not Available].", "[In Process Citation]", ""])
def test_a_title_that_is_none_gives_way_to_the_vernacular_one(tmp_path: Path, nothing: str) -> None:
    vernacular = "<VernacularTitle>Bêta-bloquants.</VernacularTitle>"
    document = one(tmp_path, article(f"<ArticleTitle>{nothing}</ArticleTitle>{vernacular}"))
    assert document.text == document.title == "Bêta-bloquants."
    assert one(tmp_path, article(f"<ArticleTitle>{nothing}</ArticleTitle>")).title == nothing


OTHERS = """<OtherAbstract Type="Publisher" Language="fre"><AbstractText>Bonjour.</AbstractText></OtherAbstract>
<OtherAbstract Type="KIE"><AbstractText Label="AIM">Good</AbstractText><AbstractText>day.</AbstractText>
<CopyrightInformation>(c) KIE</CopyrightInformation></OtherAbstract>
<OtherAbstract Type="PIP" Language="eng"><AbstractText>Hello.</AbstractText></OtherAbstract>
<OtherAbstract Type="PIP" Language="ger"><AbstractText/></OtherAbstract>"""


def test_an_english_other_abstract_stands_in_for_a_missing_one(tmp_path: Path) -> None:
    for body in ("<ArticleTitle>T.</ArticleTitle>", "<Abstract><AbstractText> </AbstractText></Abstract>"):
        document = one(tmp_path, article(body, after=OTHERS))
        assert (document.text, document.metadata["has_abstract"]) == ("Good\n\nday.", True)
        assert [(s.path, s.start, s.end) for s in document.sections] == [(("AIM",), 0, 4)]
        assert document.metadata["copyright"] == "(c) KIE"
        assert document.metadata["other_abstracts"] == ["Bonjour.", "Hello."]
        assert document.metadata["other_abstract_languages"] == ["fre", "eng"]


def test_other_abstracts_stay_out_of_the_text(tmp_path: Path) -> None:
    own = "<Abstract><AbstractText>Own.</AbstractText></Abstract>"
    document = one(tmp_path, article(own, after=OTHERS))
    assert document.text == "Own."
    assert document.metadata["other_abstracts"] == ["Bonjour.", "Good\n\nday.", "Hello."]
    french = OTHERS.partition("\n")[0]
    document = one(tmp_path, article("<ArticleTitle>T.</ArticleTitle>", after=french))
    assert (document.text, document.metadata["has_abstract"]) == ("T.", False)


def test_identifiers_and_the_short_name_of_the_journal(tmp_path: Path) -> None:
    ids = "".join(
        f'<ArticleId IdType="{kind}">{value}</ArticleId>' for kind, value in (("pubmed", 7), ("pmc", "PMC12"))
    )
    record = article(data=f"<ArticleIdList>{ids}</ArticleIdList>").replace(
        "</Journal>", "<ISOAbbreviation>Radiol.</ISOAbbreviation></Journal>"
    )
    metadata = one(tmp_path, record).metadata
    assert (metadata["pmcid"], metadata["journal"], metadata["journal_abbreviation"]) == (
        "PMC12",
        "Radiology",
        "Radiol.",
    )


ARTICLE_DATE = '<ArticleDate DateType="Electronic"><Year>2001</Year><Month>02</Month><Day>03</Day></ArticleDate>'
HISTORY = """<History><PubMedPubDate PubStatus="entrez"><Year>2003</Year><Month>1</Month><Day>2</Day><Hour>0</Hour>
</PubMedPubDate><PubMedPubDate PubStatus="pubmed"><Year>2002</Year><Month>12</Month><Day>31</Day></PubMedPubDate>
</History>"""


@pytest.mark.parametrize(
    ("date", "body", "expected"),
    [
        ("<Year>2019</Year><Month>Aug</Month>", ARTICLE_DATE, "2019-08"),
        ("<Year>2019</Year><Month>08</Month><Day>5</Day>", ARTICLE_DATE, "2019-08-05"),
        ("<Year>2019</Year><Month>August</Month><Day>31</Day>", "", "2019-08-31"),
        ("<Year>2019</Year><Day>31</Day>", "", "2019"),
        ("<Year>2019</Year><Season>Spring</Season>", "", "2019"),
        ("<MedlineDate>1998 Dec-1999 Jan</MedlineDate>", ARTICLE_DATE, "1998-12"),
        ("<MedlineDate>1998 Nov 30-Dec 6</MedlineDate>", "", "1998-11-30"),
        ("<MedlineDate>1978 Sep-OCT</MedlineDate>", "", "1978-09"),
        ("<MedlineDate>Dec 1998</MedlineDate>", "", "1998-12"),
        ("<MedlineDate>Spring 1976</MedlineDate>", "", "1976"),
        ("<MedlineDate>1976 Spring-Summer</MedlineDate>", "", "1976"),
        ("<MedlineDate>1978-1979</MedlineDate>", "", "1978"),
        ("<MedlineDate>1978-1979 Jan</MedlineDate>", "", "1978"),
        ("<MedlineDate>2000 1st Quarter</MedlineDate>", "", "2000"),
        ("<MedlineDate>No. 12345</MedlineDate>", ARTICLE_DATE, "2001-02-03"),
        ("<MedlineDate>1999-2000 Winter</MedlineDate>", "", "1999"),
        ("<MedlineDate>2010 Jan.-Mar.</MedlineDate>", "", "2010-01"),
        ("<MedlineDate>2011 May 12 - Jun 1</MedlineDate>", "", "2011-05-12"),
        ("<MedlineDate>2002 Feb 30-Mar 2</MedlineDate>", "", "2002-02"),
        ("<Year>2001</Year><Month>Feb</Month><Day>29</Day>", "", "2001-02"),
        ("<Year>2004</Year><Month>Feb</Month><Day>29</Day>", "", "2004-02-29"),
        ("", ARTICLE_DATE, "2001-02-03"),
        ("", "", "2002-12-31"),
    ],
)
def test_every_form_of_date(tmp_path: Path, date: str, body: str, expected: str) -> None:
    metadata = one(tmp_path, article(body, date=date, data=HISTORY)).metadata
    assert (metadata["date"], metadata["year"]) == (expected, int(expected[:4]))


def test_no_date_at_all(tmp_path: Path) -> None:
    assert {"date", "year"} & one(tmp_path, article(date="")).metadata.keys() == set()


REFERENCES = """<ReferenceList><Reference><Citation>Other</Citation><ArticleIdList><ArticleId IdType="doi">10.1/other
</ArticleId></ArticleIdList></Reference></ReferenceList>"""


@pytest.mark.parametrize(
    ("body", "data", "doi"),
    [
        ("", '<ArticleIdList><ArticleId IdType="doi">10.1/own</ArticleId></ArticleIdList>' + REFERENCES, "10.1/own"),
        ("", REFERENCES, None),
        ('<ELocationID EIdType="doi" ValidYN="N">10.1/bad</ELocationID>', "", None),
    ],
)
def test_the_doi_is_never_that_of_a_reference(tmp_path: Path, body: str, data: str, doi: str | None) -> None:
    assert one(tmp_path, article(body, data=data)).metadata.get("doi") == doi


def links(*pairs: tuple[str, str]) -> str:
    items = "".join(
        f'<CommentsCorrections RefType="{kind}"><RefSource>J. 2020;1:2</RefSource>{target}</CommentsCorrections>'
        for kind, target in pairs
    )
    return f"<CommentsCorrectionsList>{items}</CommentsCorrectionsList>"


@pytest.mark.parametrize(
    ("pairs", "expected", "retracted"),
    [
        ([("RetractionIn", "<PMID>9</PMID>"), ("RetractionIn", "")], {"retraction_in": ["9", "J. 2020;1:2"]}, True),
        ([("RetractedandRepublishedIn", "<PMID>9</PMID>")], {"retracted_and_republished_in": ["9"]}, True),
        ([("RetractionOf", "<PMID>9</PMID>")], {"retraction_of": ["9"]}, False),
        ([("ExpressionOfConcernIn", "")], {"expression_of_concern_in": ["J. 2020;1:2"]}, False),
        ([("ErratumIn", ""), ("CommentIn", "")], {"erratum_in": ["J. 2020;1:2"]}, False),
        ([("PartialRetractionOf", "<PMID>9</PMID>")], {"partial_retraction_of": ["9"]}, False),
        ([("CorrectedandRepublishedIn", "<PMID>9</PMID>")], {"corrected_and_republished_in": ["9"]}, False),
    ],
)
def test_links_between_articles(
    tmp_path: Path, pairs: list[tuple[str, str]], expected: dict[str, list[str]], retracted: bool
) -> None:
    document = one(tmp_path, article(after=links(*pairs)))
    assert document.id == "PMID:7"
    assert document.retracted is retracted
    assert {k: v for k, v in document.metadata.items() if k.endswith(("_in", "_of"))} == expected


def test_a_retracted_publication_by_its_type(tmp_path: Path) -> None:
    kind = "<PublicationTypeList><PublicationType>Retracted Publication</PublicationType></PublicationTypeList>"
    assert one(tmp_path, article(kind)).retracted
    assert not one(tmp_path, article(kind.replace("Retracted", "Retraction of"))).retracted


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ("<Year>2026</Year><Month>03</Month><Day>01</Day>", "2026-03-01"),
        ("<Year>2026</Year><Month>3</Month><Day>1</Day>", "2026-03-01"),
        ("<Year>2026</Year><Month>03</Month>", None),
        ("<Year>2026</Year><Month>02</Month><Day>30</Day>", None),
        ("", None),
    ],
)
def test_when_a_record_was_revised(tmp_path: Path, parts: str, expected: str | None) -> None:
    revised = f"<DateRevised>{parts}</DateRevised>"
    assert one(tmp_path, article(after=revised)).metadata.get("revised") == expected
    assert (
        one(tmp_path, BOOK.replace("</BookDocument>", f"{revised}</BookDocument>")).metadata.get("revised") == expected
    )


UPDATE = "<DeleteCitation><PMID>1</PMID><PMID Version='2'>2</PMID></DeleteCitation>"


def test_a_damaged_pmid_to_delete_is_refused_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(
        "<PubmedArticleSet><DeleteCitation><PMID>1</PMID><PMID/><PMID>2</PMID><PMID>x</PMID><PMID>3</PMID>"
        "</DeleteCitation></PubmedArticleSet>"
    )
    with pytest.raises(CorpusError, match="record 1, field PMID: expected a PMID, a number, got ''"):
        list(read_pubmed(path, deletions=True))
    damaged: list[CorpusError] = []
    assert [one.id for one in read_pubmed(path, deletions=True, damaged=damaged)] == ["PMID:1", "PMID:2", "PMID:3"]
    assert [(error.record, error.field) for error in damaged] == [(1, "PMID"), (1, "PMID")]
    assert "got 'x'" in str(damaged[1])


def test_versions_and_deletions_come_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "u.xml.gz", article(), article("<ArticleTitle>New.</ArticleTitle>"), UPDATE)
    assert [(d.id, d.title) for d in read_pubmed(path)] == [("PMID:7", ""), ("PMID:7", "New.")]
    assert list(read_deletions(path)) == ["1", "2"]
    last = list(read_pubmed(path, deletions=True))[2:]
    assert [(d.id, d.kind, d.text, d.metadata["deleted"], d.metadata.get("pmid_version")) for d in last] == [
        ("PMID:1", "deletion", "", True, None),
        ("PMID:2", "deletion", "", True, 2),
    ]


BOOK = """<PubmedBookArticle><BookDocument><PMID Version="1">20301295</PMID><ArticleIdList>
<ArticleId IdType="bookaccession">NBK1116</ArticleId></ArticleIdList><Book><Publisher/>
<BookTitle>GeneReviews</BookTitle>
<PubDate><Year>1993</Year></PubDate></Book><ArticleTitle>Cystic <i>fibrosis</i></ArticleTitle><Language>eng</Language>
<PublicationType>Review</PublicationType><Abstract><AbstractText Label="DIAGNOSIS">Sweat test.</AbstractText></Abstract>
</BookDocument><PubmedBookData/></PubmedBookArticle>"""


def test_a_book_chapter(tmp_path: Path) -> None:
    document = one(tmp_path, BOOK)
    assert (document.id, document.title, document.text) == ("PMID:20301295", "Cystic fibrosis", "Sweat test.")
    assert [section.path for section in document.sections] == [("DIAGNOSIS",)]
    assert (document.metadata["book"], document.metadata["year"]) == ("GeneReviews", 1993)


@pytest.mark.parametrize(
    ("record", "field", "message"),
    [
        (article(pmid=""), "PMID", "expected a PMID, a number, got ''"),
        (article(pmid="x1"), "PMID", "got 'x1'"),
        (article().replace('<PMID Version="2">7</PMID>', links(("ErratumIn", "<PMID>9</PMID>"))), "PMID", "got ''"),
        (
            article().replace("Article>", "Particle>").replace("PubmedParticle", "PubmedArticle"),
            "Article",
            "no <Article>",
        ),
        (article().replace('"2"', '"two"'), "PMID Version", "got 'two'"),
        ("<DeleteCitation><PMID/></DeleteCitation>", "PMID", "expected a PMID"),
        ("<Surprise/>", "Surprise", "got <Surprise>"),
    ],
)
def test_damaged_records_are_named(tmp_path: Path, record: str, field: str, message: str) -> None:
    path = write(tmp_path / "a.xml", article(), record)
    documents = read_pubmed(path)
    assert next(documents).id == "PMID:7"
    with pytest.raises(CorpusError, match=message) as caught:
        list(documents)
    assert (caught.value.file, caught.value.record, caught.value.field) == (str(path), 2, field)


def test_truncated_gzip(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xml.gz", *[article(pmid=str(n), after=f"<x>{n**9}</x>") for n in range(3000)])
    path.write_bytes(path.read_bytes()[:-5000])
    read = []
    with pytest.raises(CorpusError, match=r"a\.xml\.gz, record \d+: the gzip data is cut off or damaged") as caught:
        read.extend(document.id for document in read_pubmed(path))
    assert caught.value.record == len(read) + 1 > 100


@pytest.mark.parametrize(
    ("damage", "record"), [(lambda data: data[:-5], 2), (lambda data: data.replace(b"<Title>", b"<Titel>", 1), 1)]
)
def test_broken_xml(tmp_path: Path, damage: object, record: int) -> None:
    path = write(tmp_path / "a.xml", article())
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(CorpusError, match="not well-formed XML") as caught:
        list(read_pubmed(path))
    assert (caught.value.file, caught.value.record) == (str(path), record)


BOMB = """<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>
<PubmedArticleSet>&b;</PubmedArticleSet>"""
EXTERNAL = """<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<PubmedArticleSet>&a;</PubmedArticleSet>"""


@pytest.mark.parametrize("content", [BOMB, EXTERNAL])
def test_entities_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.xml").write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match="declares XML entities"):
        list(read_pubmed(tmp_path / "a.xml"))


@pytest.mark.parametrize("content", ["<eFetchResult><ERROR>Bad id</ERROR></eFetchResult>", "<html></html>"])
def test_other_xml(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.xml").write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match="expected <PubmedArticleSet>"):
        list(read_pubmed(tmp_path / "a.xml"))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    body = f"<Abstract><AbstractText>{'word ' * 2000}</AbstractText></Abstract>"
    path = write(tmp_path / "big.xml", *[article(body, pmid=str(n + 1)) for n in range(1000)])
    assert path.stat().st_size > 10_000_000
    tracemalloc.start()
    assert sum(1 for _ in read_pubmed(path)) == 1000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000


FILES = sorted(DATA.glob("*.xml*")) if DATA.is_dir() else []


@pytest.mark.data
@pytest.mark.skipif(not FILES, reason=f"no development data in {DATA}; set RADRAG_DATA")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_official_files_against_a_plain_text_search(path: Path) -> None:
    raw = path.read_bytes()
    source = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    records = re.findall(r"<PubmedArticle>.*?</PubmedArticle>", source, re.DOTALL)
    documents = list(read_pubmed(path))
    assert len(documents) == len(records) > 0
    for document, record in zip(documents, records, strict=True):
        assert document.id == "PMID:" + re.findall(r"<PMID[^>]*>(\d+)<", record)[0]
        assert document.metadata["has_abstract"] == ("<AbstractText" in record)
        assert document.retracted == (">Retracted Publication<" in record)
        assert str(document.metadata["year"]) in record
        assert document.metadata.get("mesh", []) == [
            name.replace("&amp;", "&") for name in re.findall(r"<DescriptorName[^>]*>(.*?)<", record)
        ]
        labels = re.findall(r'<AbstractText[^>]*Label="([^"]*)"', record)
        assert [s.path[0] for s in document.sections] == [label.replace("&amp;", "&") for label in labels]
        assert document.text.strip() == document.text != ""
    deleted = re.findall(r"<DeleteCitation>.*?</DeleteCitation>", source, re.DOTALL)
    assert list(read_deletions(path)) == re.findall(r"<PMID[^>]*>(\d+)<", "".join(deleted))
