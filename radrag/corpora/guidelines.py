"""Guidelines as Markdown files with YAML front matter, and plain text files."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Hashable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml

from radrag.corpora.files import whole_text
from radrag.errors import CorpusError
from radrag.types import Document, Section

_FRONT = re.compile(r"---[ \t]*\n(?P<yaml>.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_HEADING = re.compile(r" {0,3}(?P<marks>#{1,6})(?:[ \t]+(?P<title>.*?))?(?:[ \t]+#+)?[ \t]*\n?")
_FENCE = re.compile(r" {0,3}(?P<mark>`{3,}|~{3,})(?P<info>[^\n]*)\n?")


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, which can grow without bound, and without keys given twice."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise yaml.YAMLError(f"a key is given twice among {[key.value for key, _ in node.value]}")
        return mapping


def plain_yaml(text: str) -> Any:
    """Read YAML without aliases and without keys given twice.

    Raises:
        ValueError: If it is not such YAML.
    """
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def _json_value(value: Any, path: Path, field: str) -> Any:
    """Return a YAML value as a JSON value; dates become ISO strings."""
    if value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, list):
        return [_json_value(item, path, field) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _json_value(item, path, f"{field}.{key}") for key, item in value.items()}
    raise CorpusError(
        f"expected strings, numbers, dates, lists and mappings, got {value!r:.60}", file=path, field=field
    )


def _front_matter(text: str, path: Path) -> tuple[dict[str, Any], str]:
    """Return the front matter and the body after it."""
    if not re.match(r"---[ \t]*(?:\n|\Z)", text):
        return {}, text
    found = _FRONT.match(text)
    if found is None:
        raise CorpusError("the front matter that begins with --- has no closing ---", file=path, record=1)
    try:
        values = plain_yaml(found["yaml"])
    except ValueError as error:
        raise CorpusError(f"the front matter is not YAML: {error}", file=path, record=1) from error
    if values is None:
        values = {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise CorpusError(f"the front matter must be a mapping with names, got {values!r:.60}", file=path, record=1)
    return {key: _json_value(value, path, key) for key, value in values.items()}, text[found.end() :]


def _headings(text: str) -> Iterator[tuple[int, str, int, int]]:
    """Yield level, title, start and end of every ATX heading line outside code fences."""
    fence = ""
    for line in _LINE.finditer(text):
        mark = _FENCE.fullmatch(line[0])
        if fence:
            closes = mark is not None and mark["mark"].startswith(fence) and not mark["info"].strip()
            fence = "" if closes else fence
        elif mark is not None and not (mark["mark"][0] == "`" and "`" in mark["info"]):
            fence = mark["mark"]
        elif heading := _HEADING.fullmatch(line[0]):
            yield len(heading["marks"]), heading["title"] or "", line.start(), line.end()


def _sections(text: str) -> Iterator[Section]:
    """Yield what stands between two headings, under the headings above it; what is empty makes no section."""
    found = list(_headings(text))
    above: list[tuple[int, str]] = []
    for (level, title, _, start), following in zip_longest(found, found[1:]):
        end = following[2] if following else len(text)
        above = [*((depth, name) for depth, name in above if depth < level), (level, title)]
        body = text[start:end]
        first, last = start + len(body) - len(body.lstrip()), start + len(body.rstrip())
        if first < last:
            yield Section(tuple(name for _, name in above), first, last)


def _own_name(values: dict[str, Any], field: str, default: str, path: Path) -> str:
    value = values.pop(field, default)
    if not isinstance(value, str) or (default and not value.strip()):
        raise CorpusError(f"expected a string, got {value!r:.60}; quote it", file=path, field=field)
    return value


def _markdown_document(path: Path) -> Document:
    values, text = _front_matter(whole_text(path), path)
    title = next((title for level, title, _, _ in _headings(text) if level == 1), "")
    return Document(
        id=_own_name(values, "id", path.stem, path),
        text=text,
        title=_own_name(values, "title", title, path),
        kind="guideline",
        sections=tuple(_sections(text)),
        metadata=values,
    )


def _files(path: Path, suffix: str) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.glob(f"*{suffix}") if file.name != "README.md")
    if not found:
        raise CorpusError(f"the folder holds no {suffix} files; check the path", file=path)
    return found


def read_markdown(path: str | Path) -> Iterator[Document]:
    r"""Read guidelines from a Markdown file, or from every ``*.md`` of a folder but README.md, sorted by name.

    The text is what follows the front matter, unchanged but for line ends, which become ``\n``. Sections come from ATX
    headings (``## Safety``) outside code fences: each is what stands between its heading and the next, with all
    headings above it as path. Empty ones make no section.

    Args:
        path: A UTF-8 file or a folder. The front matter may give ``id`` (else the file's stem) and ``title`` (else the
            first level-1 heading); everything else in it becomes metadata.

    Yields:
        Documents of kind ``"guideline"``.

    Raises:
        CorpusError: If a file cannot be read, its front matter is not a YAML mapping of JSON values and dates, an id
            occurs twice, or the folder holds no Markdown.
    """
    seen: dict[str, Path] = {}
    for file in _files(Path(path), ".md"):
        document = _markdown_document(file)
        if document.id in seen:
            raise CorpusError(
                f"the id {document.id!r} is used by {seen[document.id]} already; ids must be unique",
                file=file,
                field="id",
            )
        seen[document.id] = file
        yield document


def read_text(path: str | Path) -> Iterator[Document]:
    r"""Read a plain text file as one document, or every ``*.txt`` of a folder, sorted by name.

    Args:
        path: A UTF-8 file or a folder. Line ends become ``\n``; the id is the file's stem.

    Yields:
        Documents of kind ``"text"``.

    Raises:
        CorpusError: If a file cannot be read, or the folder holds no text file.
    """
    for file in _files(Path(path), ".txt"):
        yield Document(id=file.stem, text=whole_text(file))
