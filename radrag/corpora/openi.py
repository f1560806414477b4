"""Chest x-ray reports of Indiana University in the XML of Open-i.

Source: Demner-Fushman et al., "Preparing a collection of radiology examinations for distribution and retrieval", JAMIA
23(2), 2016. A file is an ``<eCitation>`` with the report as ``AbstractText`` elements, each with a ``Label``, the MeSH
codes of human coders (``major``) and of a program (``automatic``), and the images as ``parentImage``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from radrag.corpora.files import file_bytes
from radrag.errors import CorpusError
from radrag.types import Document, Section

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def read_openi(path: str | Path) -> Document:
    """Read one report.

    Args:
        path: An XML file of the collection, such as ``ecgen-radiology/1.xml``.

    Returns:
        A document of kind ``"note"``, id ``"openi:<uId>"``, its sections named in lower case (``comparison``,
        ``indication``, ``findings``, ``impression``), headings in the text. Metadata: ``group`` and ``uid``, ``mesh``
        (the coders', the usual gold standard: never a feature), ``mesh_automatic``, ``images`` (id, caption and url of
        each), ``modality`` ``"XR"``, and ``empty`` for the names of sections without text.

    Raises:
        CorpusError: If it is not such a file, or holds no text at all.
    """
    path = Path(path)
    root = _root(path)
    parts, empty = [], []
    for part in root.iterfind(".//Abstract/AbstractText"):
        name, words = part.get("Label", "").strip(), " ".join("".join(part.itertext()).split())
        if words:
            parts.append((name, words))
        else:
            empty.append(name.lower())
    if not parts:
        raise CorpusError("the report has no text; leave the file out", file=path)
    text, sections = _joined(parts)
    uid = root.find("uId")
    name = (uid.get("id", "") if uid is not None else "") or path.stem
    metadata: dict[str, Any] = {
        "source": "Open-i",
        "group": name,
        "uid": name,
        "modality": "XR",
        "mesh": _texts(root, ".//MeSH/major"),
        "mesh_automatic": _texts(root, ".//MeSH/automatic"),
        "images": [_image(one) for one in root.iterfind("parentImage")],
        "empty": empty,
    }
    # Every report has the name of the collection as its title, which says nothing.
    return Document(f"openi:{name}", text, kind="note", sections=sections, metadata=metadata)


def read_openi_folder(folder: str | Path) -> Iterator[Document]:
    """Read all ``.xml`` files of a folder, in the order of their numbers, one at a time.

    Raises:
        CorpusError: If there are none, one is not such a file, or an id occurs twice.
    """
    paths = sorted(Path(folder).glob("*.xml"), key=lambda path: (len(path.stem), path.stem))
    if not paths:
        raise CorpusError("holds no .xml files; give the folder of reports of Open-i's archive", file=folder)
    seen: dict[str, Path] = {}
    for path in paths:
        document = read_openi(path)
        if document.id in seen:
            raise CorpusError(f"the id {document.id!r} is that of {seen[document.id].name} already", file=path)
        seen[document.id] = path
        yield document


def _root(path: Path) -> Element:
    try:
        root: Element = fromstring(file_bytes(path))
    except DefusedXmlException as error:
        raise CorpusError(f"declares entities ({error}), which are refused; remove them", file=path) from error
    except SyntaxError as error:
        raise CorpusError(f"not valid XML: {error}", file=path) from error
    if root.tag != "eCitation":
        raise CorpusError(f"expected <eCitation>, got <{root.tag}>; is it a report of Open-i?", file=path)
    return root


def _joined(parts: list[tuple[str, str]]) -> tuple[str, tuple[Section, ...]]:
    """Return the report as one text with a line each, ``FINDINGS: ...``, and where the sections stand in it."""
    text, sections = "", []
    for name, words in parts:
        text += ("\n" if text else "") + (f"{name.upper()}: " if name else "")
        sections.append(Section((name.lower(),) if name else (), len(text), len(text) + len(words)))
        text += words
    return text, tuple(sections)


def _texts(root: Element, where: str) -> list[str]:
    found = (" ".join("".join(one.itertext()).split()) for one in root.iterfind(where))
    return [text for text in found if text]


def _image(one: Element) -> dict[str, str]:
    caption, url = one.find("caption"), one.find("panel/url")
    return {
        "id": one.get("id", ""),
        "caption": "" if caption is None else " ".join("".join(caption.itertext()).split()),
        "url": "" if url is None or url.text is None else url.text.strip(),
    }
