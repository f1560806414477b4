"""Answers as JSON, Markdown, HTML and BibTeX; other people's parsers say whether they are what they should be."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radrag.corpora.retractions import Flag, own_flags
from radrag.types import AlteredQuote, Answer, Citation, Claim, Hit, Passage, Verdict
from radrag.types.agreement import Agreement
from radrag.types.bibtex import bibtex_key, latex_escaped
from radrag.types.links import is_web_address, link_of
from radrag.types.markdown import escaped
from radrag.types.printing import NOTICE_LINKS

TEXT = "We compared scans. CT found <96%> of stones & more. It is cheap."
START = 100
QUOTE = "CT found <96%> of stones & more."
AT = START + TEXT.index(QUOTE)
CITATION = Citation(
    1, "PMID:111", 7, AT, AT + len(QUOTE), QUOTE, "CT_scans: 50% of $ & {all}?", ("Results",), "", 2018, ("corrected",)
)
HIT = Hit(Passage("PMID:111", START, START + len(TEXT), TEXT, ("Results",), CITATION.title, 7, {"journal": "J & R"}), 1)
OTHER = Hit(Passage("notes", 0, 9, "x < y\nz.", (), "Note <b>", 8), 0.5)
LOOK_UP = "look the notice up at the source before relying on this"
ANSWER = Answer(
    "Is CT <good> *now*?",
    (
        Claim("CT found <96%> of stones.", (CITATION, CITATION), True, 0.9, "supported", 0.98),
        Claim("It is # cheap.", (), False, 0.1, "contradicted", 0.2, ("negated",), (AlteredQuote("a", "b", CITATION),)),
    ),
    Verdict("yes", {"yes": 0.8, "no": 0.1, "maybe": 0.1}),
    evidence=(HIT, OTHER),
    confidence=0.7,
    unknown_citations=("[9]",),
    warnings=("1 of 2 passages <dropped>",),
    manifest={"k": 8, "where": None, "search": {"k1": 0.6}},
    searched="Is CT good for stones?",
)

words = st.text(max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
metadata = st.dictionaries(words, json_values, max_size=2)
chance = st.floats(0, 1)
small = st.integers(0, 10**6)
flags = st.lists(words, max_size=2).map(tuple)
citations = st.builds(Citation, small, words, small, small, small, words, words, flags, words, st.none() | small, flags)
quotes = st.builds(AlteredQuote, words, words, st.none() | citations)
claims = st.builds(
    Claim, words, st.lists(citations, max_size=2).map(tuple), st.booleans(), chance, words, st.none() | chance, flags,
    st.lists(quotes, max_size=1).map(tuple),
)  # fmt: skip
passages = st.builds(Passage, words, small, small, words, flags, words, small, metadata, flags)
hits = st.builds(Hit, passages, st.floats(allow_nan=False), st.none() | chance, st.none() | chance)
verdicts = st.builds(Verdict, st.sampled_from(["yes", "no", "maybe"]), st.dictionaries(words, chance, max_size=3))
answers = st.builds(
    Answer, words, st.lists(claims, max_size=2).map(tuple), st.none() | verdicts, st.booleans(), words, chance,
    st.lists(hits, max_size=2).map(tuple), flags, flags, metadata, words, words, words,
    st.none() | words | flags, words, st.none() | st.builds(Agreement, flags, flags, flags, flags),
)  # fmt: skip


@settings(max_examples=25)
@given(answers)
def test_an_answer_comes_back_from_json_as_it_was(answer: Answer) -> None:
    assert Answer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer
    assert Answer.from_dict(answer.to_dict()) == answer


@pytest.mark.parametrize(
    ("value", "line"), [("B", "Answer: B"), (("one <b>", "two"), "Answer: one <b>; two"), (None, "")]
)
def test_the_value_is_one_line_of_every_output(value: Any, line: str) -> None:
    answer = replace(ANSWER, verdict=None, form="list", value=value)
    back = Answer.from_dict(json.loads(json.dumps(answer.to_dict())))
    assert back.value == value
    assert [one for one in str(answer).splitlines() if one.startswith("Answer: ")] == [line] * bool(line)
    assert ("Answer: " in answer.to_markdown(), "Answer: " in answer.to_html()) == (bool(line), bool(line))
    assert f"**{escaped(line)}**" in answer.to_markdown() or not line
    assert f">{html.escape(line)}</p>" in answer.to_html() or not line


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="value: expected str"):
        Answer.from_dict({**ANSWER.to_dict(), "value": 3})


def test_frozen_tuples_come_back_as_tuples() -> None:
    back = Answer.from_dict(json.loads(json.dumps(ANSWER.to_dict())))
    assert back == ANSWER
    assert isinstance(back.claims[0].citations[0].flags, tuple)
    assert str(back) == str(ANSWER)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"claims": 3}, "claims: expected a list, got 3"),
        ({"confidence": "high"}, "confidence: expected float, got 'high'"),
        ({"confidence": True}, "confidence: expected float, got True"),
        ({"abstained": 1}, "abstained: expected bool, got 1"),
        ({"new": 1}, "Answer: unknown new"),
        ({"verdict": {"answer": "yes"}}, "probability missing"),
        ({"claims": [{**ANSWER.to_dict()["claims"][0], "citations": [{"key": 1}]}]}, r"claims\[0\].citations\[0\]"),
    ],
)
def test_what_is_not_an_answer_says_where(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Answer.from_dict({**ANSWER.to_dict(), **change})


def test_an_answer_needs_its_question() -> None:
    with pytest.raises(ValueError, match="Answer: question missing"):
        Answer.from_dict({})
    assert Answer.from_dict({"question": "Q?"}) == Answer("Q?")


def rendered(text: str) -> list[Any]:
    markdown_it = pytest.importorskip("markdown_it")
    return list(markdown_it.MarkdownIt("commonmark").enable("table").parse(text))


def inner(tokens: list[Any]) -> list[Any]:
    return [child for token in tokens for child in (token.children or [token])]


def plain(tokens: list[Any]) -> str:
    return "".join(
        " " if child.type in ("softbreak", "hardbreak") else child.content
        for token in tokens
        for child in token.children or ()
    )


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    | st.text(r"\`*_{}[]()#+-.!<>&|~1a :/=@", max_size=20)
)
def test_markdown_shows_any_text_as_it_is(text: str) -> None:
    tokens = rendered(f"- x {escaped(text)}")
    assert plain(tokens) == f"x {' '.join(text.split())}".strip().replace("\0", "\ufffd")
    alone = rendered(escaped(text))
    assert {token.type for token in alone} <= {"paragraph_open", "inline", "paragraph_close"}
    assert {child.type for child in inner(alone)} <= {"text", "text_special", "paragraph_open", "paragraph_close"}


def test_markdown_holds_the_whole_answer() -> None:
    page = ANSWER.to_markdown()
    tokens = rendered(page)
    shown = plain(tokens)
    for part in (ANSWER.question, ANSWER.searched, "Yes (probability 0.80)", QUOTE, CITATION.title, ANSWER.notice):
        assert part in shown
    assert f"(PMID:111, characters {CITATION.start} to {CITATION.end})" in shown
    assert "(contradicted by the source)" in shown
    assert "“a” is not a quote: the source has “b”" in shown
    assert "(source 1: CORRECTED)" in shown
    assert f"CORRECTED: {LOOK_UP}" in shown
    links = [child.attrs["href"] for child in inner(tokens) if child.type == "link_open"]
    assert links == ["https://pubmed.ncbi.nlm.nih.gov/111/"]
    assert "html" not in {child.type.split("_")[0] for child in inner(tokens)}


def test_an_abstention_says_why_and_marks_its_draft() -> None:
    answer = replace(ANSWER, abstained=True, reason="too *little*", verdict=None)
    assert "No answer: too *little*" in plain(rendered(answer.to_markdown()))
    assert "Drafted, and not to be relied on" in answer.to_markdown()
    assert "Drafted, and not to be relied on" in answer.to_html()
    assert "No answer: too *little*" in answer.to_html()


class Page(HTMLParser):
    """Reads a page back: text, tags with attributes, and the texts inside marks by their id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text, self.marks = "", {}
        self._mark: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag == "mark":
            self._mark = dict(attrs).get("id") or f"mark {len(self.marks)}"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self._mark = None if tag == "mark" else self._mark

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data
        if self._mark:
            self.marks[self._mark] = self.marks.get(self._mark, "") + data


def test_html_highlights_what_is_cited_and_links_to_it() -> None:
    page = Page(ANSWER.to_html())
    assert page.open == []
    assert page.marks == {"cited-1": QUOTE}
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == ["#cited-1", "https://pubmed.ncbi.nlm.nih.gov/111/", "#claim-1"]
    assert TEXT in page.text
    for part in (ANSWER.question, QUOTE, CITATION.title, "characters 119–151", "x < y\nz.", ANSWER.warnings[0], "[9]"):
        assert part in page.text
    assert (CITATION.start, CITATION.end) == (119, 151)


def test_html_loads_and_runs_nothing() -> None:
    text = ANSWER.to_html()
    page = Page(text)
    assert not {"script", "img", "link", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "src"]
    assert "url(" not in text
    assert "@import" not in text
    policy = [attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_overlapping_stretches_are_each_marked_once() -> None:
    whole = replace(CITATION, start=START, end=START + 18, quote=TEXT[:18])
    second = replace(CITATION, start=START + 3, end=START + 30, quote=TEXT[3:30])
    wrong = replace(CITATION, start=START + 40, end=START + 44, quote="not there")
    claim = Claim("x", (whole, second, wrong), True, 1.0)
    page = Page(replace(ANSWER, claims=(claim,)).to_html())
    assert "".join(page.marks.values()) == TEXT[:30] + "not there"
    assert TEXT in page.text
    hrefs = [attributes["href"] for tag, attributes in page.tags if tag == "a" and attributes["href"][0] == "#"]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert sorted({href[1:] for href in hrefs}) == ["cited-1", "cited-2", "cited-3", "claim-1"]
    assert sorted(set(ids) - {href[1:] for href in hrefs}) == ["found-1", "source-1"]  # what names a section


@settings(max_examples=25)
@given(answers)
def test_any_answer_becomes_a_page_whose_tags_are_ours(answer: Answer) -> None:
    page = Page(answer.to_html())
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    hrefs = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert all(href.startswith(("#cited-", "#claim-", "https://", "http://")) for href in hrefs)
    assert {href[1:] for href in hrefs if href[0] == "#"} <= set(ids)
    assert {one["aria-labelledby"] for tag, one in page.tags if tag == "section"} <= set(ids)
    answer.to_html().encode()


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "https://", "http://x y", "https://x\n", "data:text/html,x", "//x.org", "http://[", ""],
)
def test_an_unsafe_address_is_no_link(url: str) -> None:
    assert not is_web_address(url)
    odd = replace(CITATION, document_id="a", url=url)
    assert link_of(odd) == ""
    answer = replace(ANSWER, claims=(Claim("x", (odd,), True, 1.0),))
    assert [a["href"] for tag, a in Page(answer.to_html()).tags if tag == "a"] == ["#cited-1", "#claim-1"]
    assert "link_open" not in {child.type for child in inner(rendered(answer.to_markdown()))}


@pytest.mark.parametrize("url", ["https://a.org/x", 'https://a.org/"><script>', "https://a.org/)(<>\\[]"])
def test_a_web_address_is_linked_and_escaped(url: str) -> None:
    answer = replace(ANSWER, claims=(Claim("x", (replace(CITATION, url=url),), True, 1.0),))
    assert [a["href"] for tag, a in Page(answer.to_html()).tags if tag == "a"][1] == url
    links = [child for child in inner(rendered(answer.to_markdown())) if child.type == "link_open"]
    assert len(links) == 1
    assert "script" not in {tag for tag, _ in Page(answer.to_html()).tags}


def test_level_and_size_of_a_study_and_its_flags_stand_in_every_output() -> None:
    graded = replace(
        CITATION, title="Stones", flags=("expression of concern",), level="cohort, inferred", sample_size=121
    )
    answer = replace(ANSWER, claims=(Claim("x", (graded,), True, 1.0),))
    said = "2018. cohort, inferred, n = 121"
    warned = f"EXPRESSION OF CONCERN: {LOOK_UP}"
    for shown in (str(answer), plain(rendered(answer.to_markdown())), Page(answer.to_html()).text):
        assert said in " ".join(shown.split())
        assert warned in shown
    assert "note = {EXPRESSION OF CONCERN; cohort, inferred, n = 121; cited from PMID:111}" in answer.to_bibtex()


def test_a_flag_names_the_notice_of_its_record_and_links_it() -> None:
    record = {"erratum_in": ["222", "J Stones. 2019 <3>:4", "222"], "retraction_in": ["333"], "update_in": "444"}
    flagged = replace(CITATION, flags=("expression of concern", "corrected", "updated"))
    known = Hit(replace(HIT.passage, metadata=record), 1.0)
    answer = replace(ANSWER, claims=(Claim("x", (flagged,), True, 1.0),), evidence=(OTHER, known))
    lines = [
        f"EXPRESSION OF CONCERN: {LOOK_UP}",
        "CORRECTED (PMID:222, J Stones. 2019 <3>:4): read those notices before relying on this",
        f"UPDATED: {LOOK_UP}",
    ]
    page, tokens = Page(answer.to_html()), rendered(answer.to_markdown())
    for shown in (" ".join(str(answer).split()), plain(tokens), page.text):
        assert all(line in shown for line in lines)
        assert "333" not in shown
        assert "source 1: EXPRESSION OF CONCERN, CORRECTED, UPDATED" in shown
    linked = {one.attrs["href"] for one in inner(tokens) if one.type == "link_open"}
    assert linked == {"https://pubmed.ncbi.nlm.nih.gov/111/", "https://pubmed.ncbi.nlm.nih.gov/222/"}
    assert linked <= {one["href"] for tag, one in page.tags if tag == "a"}
    one = replace(answer, evidence=(Hit(replace(HIT.passage, metadata={"erratum_in": ["222"]}), 1.0),))
    assert "CORRECTED (PMID:222): read that notice before relying on this" in str(one)


def test_a_flag_is_shown_as_it_is() -> None:
    odd = replace(CITATION, flags=("<i>*odd*",))
    answer = replace(ANSWER, claims=(Claim("x", (odd,), True, 1.0),))
    for shown in (plain(rendered(answer.to_markdown())), Page(answer.to_html()).text):
        assert "(source 1: <I>*ODD*)" in shown
        assert f"<I>*ODD*: {LOOK_UP}" in shown


def test_every_flag_of_a_record_knows_where_its_notice_is_named() -> None:
    for flag, names in NOTICE_LINKS.items():
        assert [own_flags({name: ["1"]}) for name in names] == [(flag,)] * len(names)
    assert set(NOTICE_LINKS) == {flag.value for flag in Flag}
    assert {flag for flag, names in NOTICE_LINKS.items() if not names} == {Flag.RETRACTION_NOTICE, Flag.CONCERN_NOTICE}


def test_warnings_stand_before_the_claims_and_sources_in_every_output() -> None:
    answer = replace(ANSWER, warnings=("The patient is <pregnant>; the source speaks of men.",))
    for shown in (str(answer), plain(rendered(answer.to_markdown())), Page(answer.to_html()).text):
        assert shown.index("The patient is <pregnant>") < shown.index("CT found <96%> of stones. [1]".split(" [")[0])
        assert shown.index("The patient is <pregnant>") < shown.index("Sources")
        assert "Note: " not in shown
    assert '<p class="differ">The patient is &lt;pregnant&gt;' in answer.to_html()
    none = replace(answer, abstained=True, reason="x", verdict=None)
    text = Page(none.to_html()).text
    assert text.index("The patient is") < text.index("Drafted, and not") < text.index("CT found")


def test_every_source_is_named_and_leads_back_to_what_it_is_cited_for() -> None:
    other = replace(CITATION, key=2, document_id="PMID:222", passage_id=9)
    texts = (Claim("one", (CITATION,), True, 1.0), Claim("two", (other, CITATION), True, 1.0))
    found = Hit(replace(OTHER.passage, document_id="PMID:333", title="Found"), 0.5)
    page = replace(ANSWER, claims=texts, evidence=(HIT, found)).to_html()
    sources = re.findall(r'<section class="source" aria-labelledby="([^"]+)">(.+?)</section>', page, re.DOTALL)
    assert [name for name, _ in sources] == ["source-1", "source-2", "found-1"]
    assert all(f'<h3 id="{name}">' in inside for name, inside in sources)
    assert [re.findall(r"#(claim-\d)", inside) for _, inside in sources] == [["claim-1", "claim-2"], ["claim-2"], []]
    assert re.findall(r'<li id="(claim-\d)"', page) == ["claim-1", "claim-2"]
    assert 'href="https://pubmed.ncbi.nlm.nih.gov/333/"' in sources[2][1]


def test_documents_that_disagree_are_linked() -> None:
    told = Agreement(("PMID:222",), ("PMID:123456789",), (), ("Known to conflict: A? [PMID:5: CORRECTED]",))
    links = [one["href"] for tag, one in Page(replace(ANSWER, agreement=told).to_html()).tags if tag == "a"]
    assert links[:2] == ["https://pubmed.ncbi.nlm.nih.gov/5/", "https://pubmed.ncbi.nlm.nih.gov/222/"]
    assert not any("12345678" in link for link in links)


def test_an_answer_without_sources_claims_none() -> None:
    none = Answer("Q?", abstained=True, reason="x")
    for shown in (str(none), none.to_markdown(), none.to_html()):
        assert "Machine-made" in shown
        assert "cited" not in Page(shown).text


def test_what_sources_are_known_to_disagree_on_is_shown_and_escaped() -> None:
    told = Agreement(("PMID:111",), ("b*c",), (), ("Known to conflict: <A> *better*?",))
    answer = replace(ANSWER, agreement=told)
    rules = "Read by rules, so check the sources: 1 reports an effect [1], 1 reports none or harm [b*c]"
    for shown in (str(answer), plain(rendered(answer.to_markdown())), Page(answer.to_html()).text):
        assert told.known[0] in shown
        assert rules in " ".join(shown.split())
    none = replace(answer, abstained=True, reason="x")
    for shown in (str(none), none.to_markdown(), none.to_html()):
        assert "Known to conflict" not in shown
    assert "Read by rules" not in replace(answer, agreement=replace(told, known=())).to_html()


def test_bibtex_of_what_is_cited_by_hand() -> None:
    assert ANSWER.to_bibtex() == (
        "@article{PMID111,\n"
        "  title = {{CT\\_scans: 50\\% of \\$ \\& \\{all\\}?}},\n"
        "  journal = {J \\& R},\n"
        "  year = {2018},\n"
        "  pmid = {111},\n"
        "  url = {https://pubmed.ncbi.nlm.nih.gov/111/},\n"
        "  note = {CORRECTED; cited from PMID:111},\n"
        "}\n"
    )
    assert Answer("Q?").to_bibtex() == ""


def test_bibtex_names_authors_and_each_document_once() -> None:
    known = Hit(replace(HIT.passage, metadata={"authors": ["Ng A", "R & D Group"], "doi": "10.1/a_b"}), 1.0)
    second = replace(CITATION, key=2, document_id="Säule/7", title="", flags=(), url="https://a.org/{x}_%20")
    claim = Claim("x", (second, CITATION, CITATION), True, 1.0)
    made = replace(ANSWER, claims=(claim,), evidence=(known,)).to_bibtex()
    assert re.findall(r"^@(\w+)\{(.+),$", made, re.MULTILINE) == [
        ("misc", "PMID111"),
        ("misc", bibtex_key("Säule/7")),
    ]
    assert "author = {{Ng A} and {R \\& D Group}}" in made
    assert "doi = {10.1/a\\_b}" in made
    assert "url = {https://a.org/%7Bx%7D_%20}" in made
    assert bibtex_key("Säule/7").startswith("Saule-7-")


@given(st.lists(words, unique=True, min_size=2, max_size=8))
def test_bibtex_keys_are_stable_distinct_and_plain(ids: list[str]) -> None:
    keys = [bibtex_key(one) for one in ids]
    assert len(set(keys)) == len(keys)
    assert keys == [bibtex_key(one) for one in ids]
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", key) for key in keys)
    assert bibtex_key("PMID111") != bibtex_key("PMID:111") == "PMID111"


@given(st.text(max_size=40))
def test_escaped_latex_has_balanced_braces_and_no_bare_special(text: str) -> None:
    made = latex_escaped(text)
    depth = 0
    for symbol in re.findall(r"\\[A-Za-z]+|\\.|.", made):
        depth += (symbol == "{") - (symbol == "}")
        assert depth >= 0
        assert symbol not in tuple("$&#%_~^")
    assert depth == 0
