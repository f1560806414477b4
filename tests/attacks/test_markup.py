"""Hostile markup in an answer or a report becomes text: the page has the elements of a harmless one and no others."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hostile import ATTACKS

from radrag.evaluation import compare
from radrag.evaluation.comparison import Comparison
from radrag.types import (
    AlteredQuote,
    Answer,
    Citation,
    Claim,
    GoldSpan,
    Hit,
    LabelledNote,
    LabelResult,
    Passage,
    Question,
)

_DATA = json.loads((Path(__file__).parent / "data" / "markup.json").read_text(encoding="utf-8"))
MORE, URLS = _DATA["texts"], _DATA["addresses"]
TEXTS = [attack["text"] for attack in ATTACKS] + MORE
PLAIN = "Low-dose CT detected 96% of stones."
PAGE = "https://pubmed.ncbi.nlm.nih.gov/7/"
LINKS = re.compile(r"#(?:cited|claim)-\d+")


def answer(**hostile: str) -> Answer:
    """Return an answer with a text of one's choice in some of its places; the others are harmless."""

    def text(place: str) -> str:
        return hostile.get(place, PLAIN)

    passage = Passage(text("document"), 5, 5 + len(text("passage")), text("passage"), (text("path"),), text("title"), 3)
    other = Passage(
        "other", 0, len(text("uncited")), text("uncited"), (), text("other title"), 4, flags=(text("flag"),)
    )
    within = Citation(
        1, text("document"), 3, 5, 5 + len(text("passage")), text("passage"), text("title"), (text("path"),),
        text("url") if "url" in hostile else PAGE, 2019, (text("flag"),), text("level"), 12,
    )  # fmt: skip
    apart = replace(within, start=900, end=900 + len(text("quote")), quote=text("quote"))
    altered = AlteredQuote(text("altered"), text("found"), within)
    claims = (
        Claim(text("claim"), (within, apart), True, 0.9, altered=(altered,)),
        Claim(text("unsupported"), (), False, 0.1, verdict="contradicted"),
    )
    return Answer(
        text("question"), claims, evidence=(Hit(passage, 1.0), Hit(other, 0.5)),
        unknown_citations=(text("unknown"),), warnings=(text("warning"),), searched=text("searched"), form="list",
        value=(text("value"), PLAIN), unread=text("unread"), notice=text("notice"),
    )  # fmt: skip


PLACES = (
    "question", "searched", "claim", "unsupported", "passage", "title", "path", "quote", "altered", "found", "document",
    "uncited", "other title", "flag", "level", "unknown", "warning", "value", "unread", "notice",
)  # fmt: skip
ABSTENTION = "Not enough."


class Elements(HTMLParser):
    """The elements of a page: tag, attributes with their values, and what stands in title and style."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, tuple[tuple[str, str], ...]]] = []
        self.links: list[str] = []
        self.comments: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple((name, "" if name == "href" else value or "") for name, value in attrs)))
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}", ()))

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_decl(self, decl: str) -> None:
        self.comments.append(decl)

    def handle_pi(self, data: str) -> None:
        self.comments.append(data)

    unknown_decl = handle_pi


HARMLESS = Elements(answer().to_html())


def by_lxml(page: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return the elements as a second parser, which repairs as browsers do, sees them."""
    html = pytest.importorskip("lxml.html")
    return [(str(one.tag), tuple(one.attrib)) for one in html.document_fromstring(page.encode()).iter()]


def test_the_harmless_answer_fills_every_place() -> None:
    for place in PLACES:
        made = answer(**{place: "Zymosan"})
        assert "zymosan" in made.to_html().casefold() or place == "unread", place
    assert HARMLESS.comments == ["doctype html"]
    assert len(HARMLESS.found) > 60


@pytest.mark.parametrize("text", TEXTS)
def test_an_answer_is_a_page_of_the_same_elements(text: str) -> None:
    shown = text if text.strip() else "x"
    for places in (PLACES[::2], PLACES[1::2]):
        page = answer(**dict.fromkeys(places, shown)).to_html()
        made = Elements(page)
        assert made.found == HARMLESS.found, places
        assert made.comments == HARMLESS.comments
        assert {link for link in made.links if not LINKS.fullmatch(link)} == {PAGE}
    assert by_lxml(page) == by_lxml(answer().to_html())


@pytest.mark.parametrize("text", TEXTS[::3])
def test_an_abstention_too(text: str) -> None:
    def page(said: str) -> Elements:
        kept = answer(**dict.fromkeys(PLACES, said))
        return Elements(replace(kept, abstained=True, reason=said, value=None).to_html())

    assert page(text if text.strip() else "x").found == page(PLAIN).found


@pytest.mark.parametrize("url", [*URLS, *MORE])
def test_an_address_is_a_safe_link_or_none(url: str) -> None:
    made = Elements(answer(url=url).to_html())
    outside = {link for link in made.links if not LINKS.fullmatch(link)}
    assert all(re.match(r"https?://[\w.-]+", link) for link in outside)
    bare = [one for one in made.found if one[0] not in ("a", "/a")]
    assert bare == [one for one in HARMLESS.found if one[0] not in ("a", "/a")]
    for tag, attributes in made.found:
        names = [name for name, _ in attributes]
        assert tag != "a" or names in (["href"], ["href", "rel"])
    safe = url.startswith(("https://a.example/", "https://evil.example/?"))
    assert outside == ({url} if safe and " " not in url else set())


def rendered(text: str) -> list[tuple[str, Any]]:
    """Return what a Markdown renderer with all that is common switched on makes of a text: kinds, and links."""
    markdown_it = pytest.importorskip("markdown_it")
    reader = markdown_it.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = [child for token in reader.parse(text) for child in (token, *(token.children or ()))]
    kinds = [token for token in tokens if token.type not in ("text", "text_special", "softbreak", "inline")]
    return [(token.type, token.tag) for token in kinds]


@pytest.mark.parametrize("text", TEXTS)
def test_an_answer_in_markdown_has_the_same_elements(text: str) -> None:
    shown = text.replace("\ud800", "") if text.strip() else "x"
    plain = answer().to_markdown()
    for places in (PLACES[::2], PLACES[1::2]):
        page = answer(**dict.fromkeys(places, shown)).to_markdown()
        assert rendered(page) == rendered(plain), places
        assert not re.search(r"(?<!\\)(?:<(?!https://pubmed)|!\[)", page)
        assert re.findall(r"https?://", page) == re.findall(r"https?://", plain)  # what a dialect would make a link of


@pytest.mark.parametrize("url", URLS)
def test_an_address_in_markdown_is_a_safe_link_or_none(url: str) -> None:
    page = answer(url=url).to_markdown()
    links = re.findall(r"\]\(<([^>]*)>\)", page)
    assert len(links) <= 1
    assert all(link.startswith("https://a.example/") for link in links)
    bare = [one for one in rendered(answer().to_markdown()) if "link" not in one[0]]
    assert [one for one in rendered(page) if "link" not in one[0]] == bare


def test_json_and_bibtex_hold_texts_as_texts() -> None:
    for text in TEXTS:
        kept = answer(**dict.fromkeys(PLACES, text.replace("\ud800", "")))
        assert Answer.from_dict(json.loads(json.dumps(kept.to_dict()))) == kept
        entry = kept.to_bibtex()
        assert len(re.findall(r"^@", entry, re.MULTILINE)) == 1
        assert len(re.findall(r"^  \w+ = \{.*\},$", entry, re.MULTILINE)) == entry.count("\n") - 2


class Given:
    """Gives outputs in order."""

    def __init__(self, outputs: list[Any], said: str) -> None:
        self.outputs, self.manifest = outputs, {said: said}

    def batch(self, texts: list[str]) -> list[Any]:
        return self.outputs


def compared(texts: list[str]) -> Comparison:
    """Compare two systems on a question for each text, in every word of which the text stands."""
    items = [
        Question(f"q{n} {text}", f"{n} {text}", "yesno", "yes", text, (GoldSpan(f"{n} {text}", 0, 1, text),))
        for n, text in enumerate(texts)
    ]
    ours = [replace(answer(**dict.fromkeys(PLACES, text)), question=text) for text in texts]
    theirs = [replace(one, abstained=n % 3 == 1, reason=texts[n]) for n, one in enumerate(ours)]
    said = " ".join(texts)
    names = (said, f"no {said}")
    return compare(Given(ours, said), Given(theirs, said), items, names=names, groups=None, slices={said: texts})


def labelled(texts: list[str]) -> Comparison:
    """Compare two labellers on a note for each text, of a label called so."""
    items = [LabelledNote(f"n{n} {text}", f"{n} {text}", text) for n, text in enumerate(texts)]
    result = [LabelResult(text, text, 0.9, ((text, 0.9), ("b", 0.1)), (text,), warnings=(text,)) for text in texts]
    other = [replace(one, label="b") for one in result]
    said = " ".join(texts)
    names = (said, f"no {said}")
    return compare(Given(result, said), Given(other, said), items, names=names, groups=None, slices={said: texts})


@pytest.mark.parametrize("made", [compared, labelled])
def test_a_report_is_a_page_of_the_same_elements(made: Callable[[list[str]], Comparison]) -> None:
    def kinds(page: str) -> set[tuple[str, tuple[str, ...]]]:
        return {(tag, tuple(name for name, _ in attributes)) for tag, attributes in Elements(page).found}

    def outside(page: str) -> set[str]:
        return {link for link in Elements(page).links if not link.startswith("#")}

    texts = [text.replace("\ud800", "") if text.strip() else "x" for text in TEXTS[::2] + MORE[1::2]]
    plain = made([f"{PLAIN} {n}" for n in range(len(texts))]).to_html(title=PLAIN)
    page = made(texts).to_html(title=" ".join(texts), cases=len(texts))
    assert outside(plain) <= {PAGE}
    assert outside(page) <= {PAGE}
    assert kinds(page) <= kinds(plain)
    assert Elements(page).comments == ["doctype html"]
    policy = [dict(attributes) for tag, attributes in Elements(page).found if tag == "meta"]
    assert "default-src 'none'" in next(one["content"] for one in policy if "http-equiv" in one)


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
WATCH = """
return {title: document.title, handlers: [...document.querySelectorAll('*')].flatMap(one =>
          [...one.attributes].map(a => a.name)).filter(name => name.startsWith('on')),
        foreign: document.querySelectorAll('script, iframe, img, object, embed, form, input, base, link').length,
        fetched: performance.getEntriesByType('resource').map(one => one.name), path: location.pathname}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # chromium has no sandbox for the superuser, as in a container
    options.set_capability("unhandledPromptBehavior", "ignore")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no chromium with its chromedriver")
@pytest.mark.parametrize("policy", [True, False])
def test_a_browser_runs_and_fetches_nothing(browser: Any, tmp_path: Path, policy: bool) -> None:
    """All attacks at once, with the page's policy and, to see that escaping alone holds, without it."""
    whole = "\n".join(text.replace("\ud800", "") for text in TEXTS)
    pages = {
        "answer": answer(**dict.fromkeys(PLACES, whole), url=URLS[0]).to_html(),
        "report": compared([whole, whole]).to_html(),
    }
    for name, page in pages.items():
        if not policy:
            page, cut = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
            assert cut == 1
        file = tmp_path / f"{name}.html"
        file.write_text(page, encoding="utf-8")
        browser.get(file.as_uri())
        seen = browser.execute_script(WATCH)  # raises where a dialogue is open
        assert (seen["handlers"], seen["foreign"], seen["fetched"]) == ([], 0, [])
        assert seen["path"] == file.as_posix()
        for link in browser.find_elements("css selector", "main a[href^='#']")[:3]:
            browser.execute_script("arguments[0].click()", link)
        assert browser.execute_script(WATCH)["fetched"] == []
    file.write_text("<title>x</title><img src=x onerror='document.title=1'><script>alert(1)</script>", encoding="utf-8")
    browser.get(file.as_uri())
    assert browser.switch_to.alert.text == "1"  # the watch is worth its name: here a dialogue opens
    browser.switch_to.alert.dismiss()
