"""One bit of one file is flipped; the index must notice, or answer as before. It must never answer wrongly."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from faults_documents import CHUNKING, WordEncoder, make_document, small_ann, unique_word

from radrag.errors import RadragError
from radrag.indexes.embedding_cache import CachedEncoder
from radrag.indexes.filters import Range
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Document, Notice, Passage

OUTCOMES = ("on open", "on search or read", "by verify", "harmless", "WRONG", "UNNOTICED", "CRASHED")
_PAGE = 4096
_SECONDS = 30


@dataclass(frozen=True)
class Outcome:
    """What became of a flip.

    Attributes:
        file: The file, segments by the name of the file in them.
        offset: Byte that was altered.
        bit: Its bit.
        kind: One of ``OUTCOMES``.
        detail: The error, or what was wrong.
        bare: The type of an error that is none of this library's, or "".
        leaked: Whether a filter let a passage through that does not match, before anything was noticed.
    """

    file: str
    offset: int
    bit: int
    kind: str
    detail: str
    bare: str = ""
    leaked: bool = False


def build(folder: Path, log: bool) -> None:
    """Make an index with everything in it: segments with and without ``ann.faiss``, the dead, the retracted, notices.

    Args:
        folder: Gets ``index``.
        log: Whether the last changes stay in SQLite's write-ahead log, as after a crash.
    """
    with small_ann():
        index = HybridIndex.create(folder / "live", encoder=WordEncoder(), chunking=CHUNKING)
        index.add(make_document(number, 0) for number in range(40))
        index.delete([f"PMID:{number}" for number in (3, 12)])
        index.add([make_document(number, 0) for number in range(40, 43)])
        index.set_note("files", {"pubmed26n0001": 1})
        if log:
            index.close()
            index = HybridIndex.open(folder / "live", encoder=WordEncoder())
        index.set_notices("outside", [Notice("doi:10.1/a5", "retracted", "x"), Notice("PMID:6", "corrected", "y")])
        index.update([make_document(20, 1)])
        if not log:
            index.close()
        shutil.copytree(folder / "live", folder / "index")
        index.close()
    for name in ("writer.lock", "store.sqlite-shm"):
        (folder / "index" / name).unlink(missing_ok=True)
    for path in (folder / "index").glob("embeddings.sqlite-*"):
        path.unlink()


def flip_all(folder: Path, per_file: int, seed: int = 0, only: Sequence[str] | None = None) -> list[Outcome]:
    """Flip bits of every file of ``folder / "index"``, one at a time, in a copy."""
    outcomes = []
    with small_ann():
        shutil.copytree(folder / "index", folder / "untouched")  # whoever closes an index last empties its log
        truth = in_fork(lambda: observe(folder / "untouched", None))
        if isinstance(truth, str):
            raise SystemExit(f"the index cannot be read before anything was flipped: {truth}")
        shutil.rmtree(folder / "live", ignore_errors=True)
        for path in sorted(path for path in (folder / "index").rglob("*") if path.is_file()):
            file = path.relative_to(folder / "index")
            if path.stat().st_size == 0 or (only is not None and path.name not in only):
                continue
            name = "/".join(file.parts[2 * (file.parts[0] == "segments") :])
            for offset, bit in _places(path.read_bytes(), per_file, [seed, len(outcomes)]):
                outcome = _flip(folder / "index", file, offset, bit, truth)
                outcomes.append(replace(outcome, file=name))
    return outcomes


def _places(content: bytes, count: int, seed: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Draw bits; in SQLite files a quarter of them in the first bytes of pages, and as many pages as there are."""
    rng = np.random.default_rng(seed)
    if content.startswith(b"SQLite format 3"):
        for page in range(0, len(content), _PAGE):
            yield page + int(rng.integers(8)), int(rng.integers(8))
            yield page + int(rng.integers(8, 120)), int(rng.integers(8))
            yield from ((page + int(rng.integers(_PAGE)), int(rng.integers(8))) for _ in range(3))
        used = [n for n, byte in enumerate(content) if byte]
        yield from ((int(rng.choice(used)), int(rng.integers(8))) for _ in range(count))
        yield from ((offset, int(rng.integers(8))) for offset in range(16, 100, 2))
        return
    places = rng.permutation(len(content) * 8)[:count].tolist()
    yield from ((place // 8, place % 8) for place in places)


def _flip(folder: Path, file: Path, offset: int, bit: int, truth: Any) -> Outcome:
    with tempfile.TemporaryDirectory(dir=folder.parent) as copied:
        copy = Path(copied) / "index"
        shutil.copytree(folder, copy)
        content = bytearray((copy / file).read_bytes())
        content[offset] ^= 1 << bit
        (copy / file).write_bytes(content)
        result = in_fork(lambda: judge(copy, truth))
    if isinstance(result, str):
        return Outcome("", offset, bit, "CRASHED", result)
    return Outcome("", offset, bit, *result)


def in_fork(work: Any) -> Any:
    """Return what a function returns in a process of its own, or in words how that ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(_SECONDS)
        os.close(reading)
        try:
            answer = json.dumps(work()).encode()
        except BaseException as error:
            answer = json.dumps(f"{error!r}").encode()
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
    return json.loads(answer)


def judge(folder: Path, truth: Any) -> tuple[str, str, str, bool]:
    """Return what became of a damaged index, given its answers before: the last four attributes of ``Outcome``."""
    stage: list[str] = ["on open"]
    try:
        found = observe(folder, stage)
    except Exception as error:
        bare = "" if isinstance(error, RadragError) else type(error).__name__
        return ("WRONG" if stage[-1] == "WRONG" else stage[0]), str(error), bare, "leaked" in stage
    leaked = found["leaked"]
    if found["verify"]:
        return "by verify", found["verify"][0], "", leaked
    same = all(found[key] == truth[key] for key in ("results", "documents", "note"))
    same &= found["cached"] in (truth["cached"], None)  # a cache that is lost is made anew
    return ("harmless" if same else "UNNOTICED"), "", "", leaked


class _WrongError(Exception):
    """A wrong answer was given."""


def observe(folder: Path, stage: list[str] | None) -> dict[str, Any]:
    """Use an index in every way; with ``stage``, compare each passage with the truth at once."""
    texts = [part.search_text for number in range(5) for part in CHUNKING.passages(make_document(number, 0))]
    with HybridIndex.open(folder, encoder=WordEncoder()) as index:
        if stage is not None:
            stage[0] = "on search or read"
        results, leaked = [], False
        for options in _searches():
            found = index.search(options["queries"], **options["options"])
            for hits in found:
                leaked |= _check_hits(hits, options["options"], stage)
            results.append([[[h.passage.id, h.score, h.lexical, h.dense] for h in hits] for hits in found])
        documents = []
        for document in index.documents():
            documents.append(document.id)
            if document != _document(int(document.id.removeprefix("PMID:"))):
                _wrong(f"{document.id} is not what was added", stage)
        cached = None
        if (folder / "embeddings.sqlite").is_file():
            cached = CachedEncoder(WordEncoder(), folder / "embeddings.sqlite").encode(texts, "passage").tolist()
            if cached != WordEncoder().encode(texts, "passage").tolist():
                _wrong("a vector from the cache is not the encoder's", stage)
        note, problems = index.get_note("files"), index.verify()
    return {
        "results": results, "documents": documents, "cached": cached, "note": note, "verify": problems,
        "leaked": leaked,
    }  # fmt: skip


def _searches() -> Iterator[dict[str, Any]]:
    queries = ["common", "chest nodule", "renal stone contrast", f"{unique_word(5, 0)} {unique_word(20, 1)}"]
    for mode in ("hybrid", "lexical", "dense"):
        for retracted in (False, True):
            for where in (None, {"year": Range(2003, 2008)}, {"mesh": ["liver", "renal"]}, {"doi": "10.1/A5"}):
                options = {"k": 100, "mode": mode, "include_retracted": retracted, "where": where}
                yield {"queries": queries, "options": options}


_RETRACTED = {4, 5, 8, 13, 17, 22, 26, 31, 35, 40}
_NOTICES = {7, 16, 25, 34}


def _check_hits(hits: Sequence[Any], options: dict[str, Any], stage: list[str] | None) -> bool:
    """Compare passages with the documents they were cut from; return whether the filter leaked."""
    leaked = False
    for hit in hits:
        passage = hit.passage
        number = int(passage.document_id.removeprefix("PMID:"))
        document = _document(number)
        flags = ("retracted",) if number in _RETRACTED else ("corrected",) if number == 6 else ()
        flags = ("retraction notice",) if number in _NOTICES else flags
        stated = {**document.metadata, **({"retracted": True} if number in _RETRACTED else {})}
        cut = replace(passage, id=-1, flags=(), metadata=document.metadata)
        if cut not in _parts(document.id) or (passage.flags, passage.metadata) != (flags, stated):
            _wrong(f"passage {passage} is not one of {document.id}", stage)
        if number in _RETRACTED | _NOTICES and not options["include_retracted"]:
            _wrong(f"{document.id} is no evidence and was found", stage)
        leaked |= not _admitted(document.metadata, options["where"])
    if leaked and stage is not None:
        stage.append("leaked")
    return leaked


@cache
def _document(number: int) -> Document:
    return make_document(number, 1 if number == 20 else 0)


@cache
def _parts(name: str) -> list[Passage]:
    return list(CHUNKING.passages(_document(int(name.removeprefix("PMID:")))))


def _admitted(metadata: Any, where: Any) -> bool:
    if where is None:
        return True
    if "year" in where:
        return bool(2003 <= metadata["year"] <= 2008)
    return bool(set(metadata["mesh"]) & {"liver", "renal"}) if "mesh" in where else metadata["doi"] == "10.1/A5"


def _wrong(message: str, stage: list[str] | None) -> None:
    if stage is not None:
        stage.append("WRONG")
    raise _WrongError(message)


def tally(outcomes: Sequence[Outcome]) -> list[list[Any]]:
    """Return a row a file: the file, how many flips, how many of each outcome, filter leaks, bare errors."""
    rows = []
    for file in sorted({outcome.file for outcome in outcomes}):
        some = [outcome for outcome in outcomes if outcome.file == file]
        counts = Counter(outcome.kind for outcome in some)
        bare = sum(bool(outcome.bare) for outcome in some)
        rows.append([file, len(some), *(counts[kind] for kind in OUTCOMES), sum(one.leaked for one in some), bare])
    return rows
