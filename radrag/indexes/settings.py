"""What an index was made with, and whether it can be opened with what is at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from radrag.corpora import Chunking
from radrag.corpora.values import whole_number
from radrag.errors import IndexCorruptError, IndexMismatchError, ModelError
from radrag.indexes.encoders import NAMED, StaticEncoder, load_encoder
from radrag.indexes.searcher import ENGINES, SearchSettings
from radrag.indexes.tokens import fingerprint as tokenizer_fingerprint
from radrag.protocols import Encoder

FORMAT = 4
_RERANKERS = ("learned", "late")  # those that ship: names, also where a file is called so


def make_settings(given: Any, encoder: Encoder, chunking: Chunking, search: SearchSettings) -> dict[str, Any]:
    """Return the settings that an index keeps (JSON values).

    Args:
        given: The encoder as a user gives it.
        encoder: The encoder itself.
        chunking: How documents are cut.
        search: How it searches.
    """
    dim = whole_number(f"the encoder {encoder.fingerprint}: dim", encoder.dim)
    if dim < 1:
        raise ValueError(f"the encoder {encoder.fingerprint}: dim must be at least 1, got {dim}")
    return {
        "format": FORMAT,
        "encoder": name_of(given),
        "encoder_fingerprint": encoder.fingerprint,
        "dim": dim,
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
    if not isinstance(loaded, StaticEncoder):  # its fingerprint is that of its weights; they are loaded when needed
        refuse_dim(folder, settings, loaded)
    return loaded


def refuse_dim(folder: Path, settings: Mapping[str, Any], encoder: Encoder) -> None:
    """Refuse an encoder whose vectors are longer or shorter than those of an index, whatever its fingerprint says.

    Raises:
        IndexMismatchError: If they are.
    """
    if encoder.dim != settings["dim"]:
        raise IndexMismatchError(
            f"{folder} holds vectors of {settings['dim']} numbers, but {encoder.fingerprint} gives {encoder.dim}; pass "
            "the encoder it was made with, or build the index again"
        )


def name_of(given: Any) -> str | None:
    """Return the name that something was given by, or its path as it is from every folder; None for an object."""
    if not isinstance(given, str | Path):
        return None
    here = str(given) not in (*NAMED, *_RERANKERS) and Path(given).exists()
    return str(Path(given).resolve() if here else given)


def reranker_settings(reranker: Any) -> dict[str, Any]:
    """Return what an index keeps of its re-ranker, after a look at it that loads no model.

    Raises:
        TypeError: If it is nothing that re-ranks.
        ModelError: If a file or folder holds no re-ranker, or a name can be none.
    """
    from radrag.indexes.rerank import LearnedReranker, load_reranker

    name = name_of(reranker)
    if name is None:
        given = load_reranker(reranker)
        return {"reranker": None} if given is None else {"reranker": None, "reranker_object": type(given).__name__}
    path = Path(name)
    if path.suffix == ".json":
        unread: Any = object()  # the weights are checked; the model for late interaction is loaded when it searches
        LearnedReranker(path, encoder=unread)
    elif name not in _RERANKERS and not (path / "config.json").is_file() and (path.exists() or "/" not in name):
        raise ModelError(
            f"{name!r} is no re-ranker; expected 'learned', 'late', a .json file of `radrag train reranker`, a folder "
            "that holds a cross-encoder, or a hub name such as 'cross-encoder/ms-marco-MiniLM-L-6-v2'"
        )
    return {"reranker": name}


def chosen_reranker(folder: Path, settings: Mapping[str, Any], reranker: Any) -> Any:
    """Return the re-ranker to search with: the one given, or the one that the settings name.

    Raises:
        IndexMismatchError: If the index was made with an object and none is given.
    """
    made_with = settings.get("reranker_object")
    if reranker is None and made_with is not None:
        raise IndexMismatchError(
            f"{folder} was made with a re-ranker object ({made_with}); pass it, or another: reranker=..."
        )
    return settings["reranker"] if reranker is None else reranker
