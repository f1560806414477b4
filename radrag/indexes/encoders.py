"""Encoders: the static one that ships, sentence-transformers and MedCPT by name, and any llama-index embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.errors import ModelError, require
from radrag.indexes.forking import no_fork
from radrag.indexes.minilm import minilm_folder
from radrag.indexes.vectors import folder_hash, modules_hash, unit_vectors
from radrag.protocols import Encoder, Kind

STATIC = Path(__file__).parent.parent / "assets" / "encoder"


class StaticEncoder:
    """Token vectors averaged to a text vector (model2vec): no torch, thousands of texts a second.

    Args:
        folder: A model2vec model; the one that ships if left out.
    """

    def __init__(self, folder: str | Path = STATIC) -> None:
        self._folder = Path(folder)
        if not (self._folder / "model.safetensors").is_file():
            raise ModelError(f"no static encoder in {self._folder}; expected a model2vec folder with model.safetensors")

    @cached_property
    def _model(self) -> Any:
        from model2vec import StaticModel

        return StaticModel.from_pretrained(str(self._folder))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of weights and tokenizer."""
        return f"static:{folder_hash(self._folder)}"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._model.dim)

    def encode(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """Return unit vectors ``[n, dim]``; queries and passages are treated alike."""
        del kind
        with no_fork:
            return unit_vectors(self._model.encode(list(texts), max_length=None, use_multiprocessing=False))

    def table(self) -> tuple[Any, NDArray[np.float32], int | None]:
        """Return the tokenizer, the vector of each token, float32 ``[tokens, dim]``, and the id of those unknown."""
        model = self._model
        vectors = model.embedding if model.token_mapping is None else model.embedding[model.token_mapping]
        weighed = vectors if model.weights is None else vectors * model.weights[:, None]
        return model.tokenizer, weighed.astype(np.float32), model.unk_token_id


class SentenceTransformerEncoder:
    """A sentence-transformers model by name or path.

    Args:
        model: Hub name or folder.
        device: ``"cpu"``, ``"cuda"``, ...; chosen by sentence-transformers if left out.
        batch_size: Texts a step.
        local_files_only: Never ask a hub.
    """

    def __init__(
        self, model: str | Path, *, device: str | None = None, batch_size: int = 32, local_files_only: bool = False
    ) -> None:
        library = require("sentence_transformers", extra="llama")
        self._batch_size = batch_size
        # Where no hub answers each file is retried for seconds, a minute in all; files that are here need none.
        local = local_files_only or Path(model).is_dir() or not _hub_answers()
        try:
            self._model = library.SentenceTransformer(str(model), device=device, local_files_only=local)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise ModelError(
                f"sentence-transformers cannot load {str(model)!r}: {reason}. Give a folder that holds a model, or a "
                "hub name that this machine can reach"
            ) from error
        self._name = str(model)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of weights, modules and settings for a folder; name and revision for a hub model."""
        if Path(self._name).is_dir():
            return f"st:{modules_hash(Path(self._name))}"
        revision = getattr(self._model[0].auto_model.config, "_commit_hash", None)
        return f"st:{self._name}@{revision}"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._model.get_embedding_dimension())

    def encode(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """Return unit vectors ``[n, dim]``, with the model's own query and passage prompts if it has them."""
        encode = self._model.encode_query if kind == "query" else self._model.encode_document
        vectors = encode(
            list(texts), batch_size=self._batch_size, convert_to_numpy=True, show_progress_bar=False,
        )  # fmt: skip
        return unit_vectors(vectors)


def _hub_answers() -> bool:
    """Whether the Hugging Face hub, or the mirror that is set for it, can be reached."""
    hub = require("huggingface_hub", extra="llama")
    try:
        hub.utils.get_session().head(hub.constants.ENDPOINT, timeout=5)
    except Exception:  # each HTTP client has errors of its own; what is wrong is said by what then cannot be loaded
        return False
    return True


class LlamaIndexEncoder:
    """Any llama-index embedding.

    Args:
        embedding: An object with ``get_text_embedding_batch`` and ``get_query_embedding``.
    """

    def __init__(self, embedding: Any) -> None:
        self._embedding = embedding

    @property
    def fingerprint(self) -> str:
        """Class and model name, as far as llama-index states them."""
        return f"llama-index:{type(self._embedding).__name__}:{self._embedding.model_name}"

    @cached_property
    def dim(self) -> int:
        """Length of a vector."""
        return len(self._embedding.get_query_embedding("length"))

    def encode(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """Return unit vectors ``[n, dim]``."""
        if kind == "query":
            return unit_vectors([self._embedding.get_query_embedding(text) for text in texts])
        return unit_vectors(self._embedding.get_text_embedding_batch(list(texts)))


def _medcpt() -> Encoder:
    from radrag.indexes.two_tower import MEDCPT, TwoTowerEncoder

    return TwoTowerEncoder(*MEDCPT)


NAMED: dict[str, Callable[[], Encoder]] = {
    "static": StaticEncoder,
    "minilm": lambda: SentenceTransformerEncoder(minilm_folder(), local_files_only=True),
    "medcpt": _medcpt,
}


def load_encoder(encoder: str | Path | Encoder | Any) -> Encoder:
    """Return an encoder for what a user gives.

    Args:
        encoder: ``"static"``, ``"minilm"``, ``"medcpt"``, a model2vec folder, a sentence-transformers name or folder, a
            llama-index embedding, or an object that already is an ``Encoder``.

    Raises:
        TypeError: If it is none of these.
        ModelError: If the model cannot be loaded.
        MissingExtraError: If it needs sentence-transformers or transformers, which are not installed.
    """
    if not isinstance(encoder, str | Path):
        if hasattr(encoder, "get_text_embedding_batch"):
            return LlamaIndexEncoder(encoder)
        if not hasattr(encoder, "encode"):
            raise TypeError(f"expected the name of an encoder, a folder, an embedding or an Encoder, got {encoder!r}")
        return encoder
    if str(encoder) in NAMED:
        return NAMED[str(encoder)]()
    folder = Path(encoder)
    if (folder / "model.safetensors").is_file() and not (folder / "modules.json").is_file():
        return StaticEncoder(folder)
    return SentenceTransformerEncoder(encoder)
