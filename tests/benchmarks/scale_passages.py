"""Any number of passages like PubMed's records, made by resampling real sentences; a feeder for retrieval_scale.py.

Each is a document of six to eight sentences, most of them of one abstract of the pool and of one of its sixteen
nearest, one from anywhere, with a title and metadata as PubMed has them; one in 2,000 is retracted. Its vector is the
one that the shipped encoder would give it, to float16: that encoder averages tokens, so a passage's vector is the mean
of its sentences' vectors, weighted by their tokens. Passage ``n`` is the same in every run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from common import CACHE, records
from numpy.typing import NDArray

from radrag.corpora.sentences import split_sentences
from radrag.indexes.encoders import StaticEncoder

BLOCK = 1024
MOST_WORDS = 280  # below the 300 at which a text becomes two passages
RETRACTED_EVERY = 2_000
_NEAR = 16
_SEED = 0


@dataclass(frozen=True)
class Pool:
    """Sentences of the pool's abstracts.

    Attributes:
        sentences: All sentences, abstract by abstract; the titles last.
        vectors: float32 ``[n, dim]``, the mean of each sentence's tokens.
        tokens: float32 ``[n]``, how many those are.
        ends: int64 ``[a]``, where each abstract's sentences end.
        near: int32 ``[a, 16]``, the abstracts most like each.
        titles: int64 ``[a]``, the sentence that is each abstract's title.
        words: int64 ``[n]``, words of each sentence.
    """

    sentences: list[str]
    vectors: NDArray[np.float32]
    tokens: NDArray[np.float32]
    ends: NDArray[np.int64]
    near: NDArray[np.int32]
    titles: NDArray[np.int64]
    words: NDArray[np.int64]


def load_pool(quick: bool) -> Pool:
    """Return the pool, made at the first call."""
    made_with = StaticEncoder().fingerprint.replace(":", "-")
    folder = CACHE / f"scale-pool-{made_with}{'-quick' if quick else ''}"
    arrays = {name: folder / f"{name}.npy" for name in ("vectors", "tokens", "ends", "near", "titles", "words")}
    if not (folder / "sentences.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        made = _make_pool(quick)
        for name, path in arrays.items():
            np.save(path, getattr(made, name))
        (folder / "sentences.json").write_text(json.dumps(made.sentences))
    kept = {name: np.load(path, allow_pickle=False) for name, path in arrays.items()}
    return Pool(json.loads((folder / "sentences.json").read_text()), **kept)


def blocks(pool: Pool, start: int, stop: int) -> Iterator[tuple[list[list[Any]], NDArray[np.float16]]]:
    """Yield the passages from ``start`` to ``stop``: id, title, text and metadata of each, and their vectors."""
    for number in range(start // BLOCK, -(-stop // BLOCK)):
        low = number * BLOCK
        part = slice(max(0, start - low), min(BLOCK, stop - low))
        rng = np.random.default_rng([_SEED, number])
        chosen = [_draw(pool, rng) for _ in range(BLOCK)][part]
        facts = _metadata(low, rng)[part]
        texts = [
            [f"PMID:{fact['pmid']}", pool.sentences[drawn[0]], " ".join(pool.sentences[i] for i in drawn[1:]), fact]
            for drawn, fact in zip(chosen, facts, strict=True)
        ]
        yield texts, np.stack([_vector(pool, drawn) for drawn in chosen]).astype(np.float16)


def feed(stream: BinaryIO, pool: Pool, start: int, stop: int) -> None:
    """Write passages to a stream, to be read by ``read_feed``."""
    for texts, vectors in blocks(pool, start, stop):
        stream.write(json.dumps(texts).encode() + b"\n" + vectors.tobytes())
    stream.flush()


def read_feed(stream: BinaryIO, dim: int) -> Iterator[tuple[list[list[Any]], NDArray[np.float16]]]:
    """Yield what ``feed`` wrote, a block at a time."""
    while line := stream.readline():
        texts = json.loads(line)
        yield texts, np.frombuffer(stream.read(len(texts) * dim * 2), dtype=np.float16).reshape(-1, dim)


def _draw(pool: Pool, rng: np.random.Generator) -> list[int]:
    """Return a title's and six to eight sentences' numbers, or fewer if they are long."""
    first = int(rng.integers(len(pool.ends)))
    second = int(pool.near[first, rng.integers(_NEAR)])
    count = int(rng.integers(6, 9))
    sizes = {first: count // 2, second: count - count // 2 - 1}
    own = [_some(pool, abstract, size, rng) for abstract, size in sizes.items()]
    drawn = [*sorted({int(number) for part in own for number in part}), int(rng.integers(pool.ends[-1]))]
    kept, words = [int(pool.titles[first])], 0
    for number in drawn:
        words += int(pool.words[number])
        if words <= MOST_WORDS or len(kept) == 1:
            kept.append(number)
    return kept


def _some(pool: Pool, abstract: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    low = int(pool.ends[abstract - 1]) if abstract else 0
    return low + (rng.random(size) * (pool.ends[abstract] - low)).astype(np.int64)


def _vector(pool: Pool, drawn: list[int]) -> NDArray[np.float32]:
    vector = pool.tokens[drawn] @ pool.vectors[drawn]
    return np.asarray(vector / (np.linalg.norm(vector) or 1.0), dtype=np.float32)


def _metadata(low: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return metadata as ``read_pubmed`` gives it, with frequencies that fall as those of journals and headings do."""
    years = 2024 - np.minimum(rng.exponential(15, BLOCK).astype(int), 60)
    journals = np.minimum(rng.zipf(1.3, BLOCK), 5_000)
    mesh = np.minimum(rng.zipf(1.3, (BLOCK, 10)), 25_000)
    kinds = rng.choice(["Review", "Randomized Controlled Trial", "Case Reports", "Comparative Study"], BLOCK)
    facts = []
    for place in range(BLOCK):
        number = low + place
        types = ["Journal Article", *([str(kinds[place])] if place % 3 == 0 else [])]
        if number % RETRACTED_EVERY == RETRACTED_EVERY - 1:
            types.append("Retracted Publication")
        facts.append(
            {
                "pmid": str(10_000_000 + number), "pmid_version": 1, "doi": f"10.1000/scale.{number}",
                "year": int(years[place]), "journal": f"Journal {journals[place]}", "language": "eng",
                "publication_types": types, "mesh": sorted({f"Heading {one}" for one in mesh[place]}),
                "has_abstract": True,
            }
        )  # fmt: skip
    return facts


def _make_pool(quick: bool) -> Pool:
    sentences: list[str] = []
    ends, titles = [], []
    for number, record in enumerate(records("abstracts_pool.jsonl.gz")):
        if record["kind"] != "abstract" or (quick and number % 12):
            continue
        cut = [record["text"][a:b] for a, b in split_sentences(record["text"])]
        cut = [one for one in cut if len(one.split()) <= MOST_WORDS]
        if len(cut) >= 3:
            titles.append(record["title"] or cut[0])
            sentences += cut
            ends.append(len(sentences))
    at = np.asarray(ends)
    model = StaticEncoder()._model
    every = sentences + titles
    vectors = model.encode(every, max_length=None, normalize=False, use_multiprocessing=False).astype(np.float32)
    tokens = np.asarray([len(ids) for ids in model.tokenize(every)], dtype=np.float32)
    weighed = np.add.reduceat(vectors[: len(sentences)] * tokens[: len(sentences), None], np.r_[0, at[:-1]])
    weighed /= np.linalg.norm(weighed, axis=1, keepdims=True)
    words = np.asarray([len(one.split()) for one in every])
    return Pool(every, vectors, tokens, at, _nearest(weighed), np.arange(len(at)) + len(sentences), words)


def _nearest(vectors: NDArray[np.float32]) -> NDArray[np.int32]:
    near = np.empty((len(vectors), _NEAR), dtype=np.int32)
    for start in range(0, len(vectors), 512):
        scores = vectors[start : start + 512] @ vectors.T
        scores[np.arange(len(scores)), start + np.arange(len(scores))] = -1
        near[start : start + 512] = np.argpartition(scores, -_NEAR, axis=1)[:, -_NEAR:]
    return near


if __name__ == "__main__":
    feed(sys.stdout.buffer, load_pool(sys.argv[1] == "quick"), int(sys.argv[2]), int(sys.argv[3]))
