"""The text of an element of a PubMed record, without markup that plain text lacks, and with numbers that stay theirs.

PubMed has ``i``, ``b``, ``u``, ``sub``, ``sup``, ``DispFormula`` and MathML (https://www.w3.org/TR/MathML3/chapter3.html)
inside titles and abstracts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from xml.etree.ElementTree import Element

_SUPERSCRIPTS = str.maketrans("0123456789+-−–‐", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻⁻")
_EXPONENT = re.compile(r"[+\-−–‐]?[0-9]+[+\-−]?|[+\-−]+")
_NUMBER = re.compile(r"[+\-−–‐~]*\s*[.\d]")
_WORD = re.compile(r"[\w.]+")
_TEN = re.compile(r"(?:(?P<times>(?:(?<![^\W\d_])[xX]|[×·∙•⋅*])\s*)|(?<![\w.,]))10\s+$")
_BARE = re.compile(r"(?:(?<![^\W\d_])[xX]|(?<!\w))[\d.,]*\d$")  # a number that is part of no name, as 25 of CD25 is
_ENDING = re.compile(r"[_^]\w+$")
_ORDINALS = frozenset({"st", "nd", "rd", "th", "o"})  # o is a degree too, as it is written
_PLAIN = re.compile(r"[+\-−–‐]?[0-9]{1,3}")
_NEAR = 40  # characters that tell what stands before
_BACK = "\b"  # takes back the space before it; no XML text holds this character
_MATH = "{http://www.w3.org/1998/Math/MathML}"


def flat(element: Element | None) -> str:
    """Return the text of an element without markup, each run of white space as one space; "" for no element."""
    if element is None:
        return ""
    text = " ".join("".join(_pieces(element)).split())
    return text.replace(f" {_BACK}", "").replace(_BACK, "")


def _pieces(element: Element, before: str = "") -> Iterator[str]:
    """Yield the text inside an element; a power of ten keeps its height, so that 10<sup>9</sup> does not become 109."""
    yield (text := element.text or "")
    last = (before + text)[-_NEAR:]
    goes_on = False
    for child in element:
        tail = child.tail or ""
        if child.tag.startswith(_MATH):
            inner = _math(child, last, tail)
        else:
            inner = "".join(_pieces(child, last))
        if child.tag == "sup":
            inner = _raised(last, inner, tail)
        elif child.tag == "sub" and not goes_on:
            inner = f"{_gap(last, inner)}{inner}"
        goes_on = child.tag == "sub" and not tail
        if _is_high(child):
            tail = _apart(inner, tail)
        yield inner
        yield tail
        last = (last + inner + tail)[-_NEAR:]


def _apart(text: str, after: str) -> str:
    """Return what follows a text, after a space if the two would otherwise be read as one number."""
    ends = text[-1:].isdigit() or _ENDING.search(text[-_NEAR:])
    return f" {after}" if ends and after[:1].isdecimal() else after


def _gap(before: str, text: str) -> str:
    """Return what keeps a text that stands lower from lengthening the number before it."""
    if not before[-1:].isdigit():
        return ""
    return "_" if _is_number(text.strip()) or (text.strip()[:1].isalpha() and _BARE.search(before)) else ""


def _is_number(text: str) -> bool:
    return bool(_NUMBER.match(text)) or text[:1].isnumeric()


def _is_high(element: Element) -> bool:
    """Return whether what an element ends with is raised, lowered or a fraction."""
    if element.tag.removeprefix(_MATH) in _HIGH:
        return True
    children = [child for child in element if isinstance(child.tag, str)]
    return bool(children) and not (children[-1].tail or "").strip() and _is_high(children[-1])


def _raised(before: str, text: str, after: str) -> str:
    """Return what stands raised between other text: as it is, unless it would lengthen a number.

    After ``10`` and a space it is a power too, but for what may be the mass of an isotope: ``10 <sup>18</sup>F``.
    """
    compact = "".join(text.split())
    if (ten := _TEN.search(before)) and _PLAIN.fullmatch(compact):
        power = ten["times"] or not compact[0].isdigit() or not after[:1].isalpha()
        return f"{_BACK}{compact.translate(_SUPERSCRIPTS)}" if power else text
    if not before[-1:].isdigit() and before[-1:] not in ("⁺", "⁻"):
        return text
    if _EXPONENT.fullmatch(compact):
        return compact.translate(_SUPERSCRIPTS)
    if _is_number(text.strip()):
        return f"^({text.strip()})"
    letters = compact[:1].isascii() and compact[:1].isalpha() and compact not in _ORDINALS
    return f"^{text.strip()}" if letters and _BARE.search(before) else text


def _math(element: Element, before: str = "", after: str = "") -> str:
    """Return MathML as a line of text; the space between its elements means nothing."""
    name = element.tag.removeprefix(_MATH)
    children = [child for child in element if isinstance(child.tag, str)]
    if name in _SCRIPTS:
        parts = [_math(child, "" if place else before) for place, child in enumerate(children)]
        return _SCRIPTS[name](parts, before, after)
    if name in _LAYOUTS:
        parts = [_row(children, "", "", "")] if name == "msqrt" else list(map(_math, children))
        return _apart(before, _LAYOUTS[name](parts))
    return _row(children, (element.text or "").strip(), before, after)


def _row(children: Sequence[Element], text: str, before: str, after: str) -> str:
    """Return text and elements in line; what has a height or a stroke lengthens no number."""
    line, set_apart = text, False
    for child, later in zip_longest(children, children[1:]):
        follows = after if later is None else "".join(later.itertext()).strip()
        part = _math(child, (before + line[-_NEAR:])[-_NEAR:], follows)
        line += _apart(line, part) if set_apart else part
        set_apart = _is_high(child)
    return line


def _grouped(text: str) -> str:
    return text if _WORD.fullmatch(text) else f"({text})"


def _lowered(parts: Sequence[str], before: str, after: str) -> str:
    """Return a base and what stands below it; a number below a number is set apart."""
    del after
    line = "".join(parts[:1])
    for part in parts[1:]:
        line += f"{_gap(before + line, part)}{part}"
    return line


def _power(parts: Sequence[str], before: str, after: str) -> str:
    """Return a base and what stands above it; where the base is empty, as often, the text before it is the base."""
    *base, raised = parts or ("",)
    below = _lowered(base, before, "")
    return f"{below}{_raised(before + below, raised, after)}"


def _under_over(marks: str) -> Callable[[Sequence[str], str, str], str]:
    """Return what writes a base with what stands under and over it, each after its mark; accents need none."""

    def written(parts: Sequence[str], before: str, after: str) -> str:
        del before, after
        line = "".join(parts[:1])
        for mark, part in zip_longest(marks, parts[1:], fillvalue=""):
            line += f"{mark or '_'}{_grouped(part)}" if re.search(r"\w", part) else part
        return line

    return written


_SCRIPTS: dict[str, Callable[[Sequence[str], str, str], str]] = {
    "msup": _power,
    "msubsup": _power,
    "msub": _lowered,
    "mmultiscripts": lambda parts, *around: _power(parts, *around) if len(parts) == 3 else _lowered(parts, *around),
    "munder": _under_over("_"),
    "mover": _under_over("^"),
    "munderover": _under_over("_^"),
}
_LAYOUTS: dict[str, Callable[[Sequence[str]], str]] = {
    "mfrac": lambda parts: "/".join(map(_grouped, parts)),
    "msqrt": lambda parts: f"√{_grouped(''.join(parts))}",
    "mroot": lambda parts: f"{_grouped(parts[0])}^(1/{parts[1]})" if len(parts) == 2 else "".join(parts),
    "mfenced": lambda parts: f"({','.join(parts)})",
    "mtr": " ".join,
    "mtable": "; ".join,
    "mspace": lambda parts: " ",
    "annotation": lambda parts: "",
    "annotation-xml": lambda parts: "",
}
_HIGH = frozenset({"sub", "sup", "mfrac", "mroot", *_SCRIPTS})
