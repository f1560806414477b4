"""What an index was made with, and whether it can be opened with what is at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from radrag.corpora import Chunking
from radrag.errors import IndexCorruptError, IndexMismatchError
from radrag.indexes.bm25 import ENGINES
from radrag.indexes.encoders import load_encoder
from radrag.indexes.searcher import SearchSettings
from radrag.indexes.tokens import fingerprint as tokenizer_fingerprint
from radrag.protocols import Encoder

FORMAT = 2


def make_settings(name: str | None, encoder: Encoder, chunking: Chunking, search: SearchSettings) -> dict[str, Any]:
    """Return the settings that an index keeps (JSON values).

    Args:
        name: What the encoder can be loaded by; None if it was given as an object.
        encoder: The encoder itself.
        chunking: How documents are cut.
        search: How it searches.
    """
    return {
        "format": FORMAT,
        "encoder": name,
        "encoder_fingerprint": encoder.fingerprint,
        "dim": encoder.dim,
        "tokenizer": tokenizer_fingerprint(),
        "chunking": asdict(chunking),
        "search": asdict(search),
    }


def default_weight(encoder: Encoder) -> float:
    """Weight of the vectors against the words.

    From ``tests/benchmarks/retrieval_quality.py --sweep`` on BioASQ 7b-8b and PubMedQA development questions, and for
    static encoders the shipped questions; MiniLM's .55 stands for all encoders that are not static.
    """
    return 0.4 if encoder.fingerprint.startswith("static:") else 0.55


def check_settings(folder: Path, settings: Mapping[str, Any] | None, encoder: str | Path | Encoder | None) -> Encoder:
    """Refuse what this version cannot read; return the encoder that the index was made with.

    Args:
        folder: The index, for messages.
        settings: What it keeps; None if it keeps nothing.
        encoder: The encoder to use, or None for the one that the settings name.
    """
    if settings is None:
        raise IndexCorruptError(f"{folder} was never finished; delete the folder and build the index again")
    if settings["format"] != FORMAT:
        raise IndexMismatchError(
            f"{folder} has format {settings['format']}, this version reads {FORMAT}; build the index again"
        )
    if settings["tokenizer"] != tokenizer_fingerprint():
        raise IndexMismatchError(
            f"{folder} was made with tokenizer {settings['tokenizer']}, this version has {tokenizer_fingerprint()}; "
            "build the index again"
        )
    if settings["search"]["lexical"] not in ENGINES:
        raise IndexMismatchError(
            f"{folder} wants the lexical engine {settings['search']['lexical']!r}, which is unknown"
        )
    wanted = settings["encoder"] if encoder is None else encoder
    if wanted is None:
        raise IndexMismatchError(
            f"{folder} was made with an encoder object ({settings['encoder_fingerprint']}); pass it: encoder=..."
        )
    loaded = load_encoder(wanted)
    if loaded.fingerprint != settings["encoder_fingerprint"]:
        raise IndexMismatchError(
            f"{folder} holds vectors of encoder {settings['encoder_fingerprint']}, but {loaded.fingerprint} was "
            "loaded; pass the encoder it was made with, or build the index again"
        )
    return loaded
