"""Texts as an encoder reads them, word piece by word piece: what late interaction compares."""

from __future__ import annotations

import copy
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from radrag.errors import ModelError, require
from radrag.indexes.encoders import STATIC, StaticEncoder
from radrag.indexes.forking import Lock
from radrag.indexes.function_words import STOPWORDS
from radrag.indexes.minilm import minilm_folder

_STEP = 32
_FEWEST = 3  # a beginning, a token, an end
_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class TokenStates:
    """A text as a sentence encoder reads it.

    Attributes:
        tokens: int64 ``[tokens]``, ids of word pieces.
        states: float16 ``[tokens, dim]``, each of unit length.
        whole: float32 ``[dim]``, the mean of the states, of unit length.
    """

    tokens: NDArray[np.int64]
    states: NDArray[np.float16]
    whole: NDArray[np.float32]


class TokenReader(Protocol):
    """Reads texts into states of their tokens; threads may share it.

    Attributes:
        dtype: Number format of the states as they are made, such as ``"bfloat16"``.
    """

    dtype: str

    def question(self, text: str) -> TokenStates:
        """Return the states of what a question asks about, without words that only ask unless nothing else is left."""

    def passages(self, texts: Sequence[str]) -> list[TokenStates]:
        """Return the states of texts, in their order; nothing read beside a text changes its states."""


class _Remembered:
    """States of the texts read last.

    Args:
        most: Most tokens of them in all.
    """

    def __init__(self, most: int) -> None:
        self._kept: OrderedDict[str, TokenStates] = OrderedDict()
        self._held, self._most, self._lock = 0, most, Lock()

    def read(self, texts: Sequence[str], read: Callable[[list[str]], Sequence[TokenStates]]) -> list[TokenStates]:
        """Return the states of texts, in their order; those that are not kept are read."""
        with self._lock:
            found = {text: self._kept[text] for text in texts if text in self._kept}
        new = [text for text in dict.fromkeys(texts) if text not in found]
        found.update(zip(new, read(new) if new else (), strict=True))
        self._keep(found)
        return [found[text] for text in texts]

    def _keep(self, found: dict[str, TokenStates]) -> None:
        with self._lock:
            for text, states in found.items():
                if text not in self._kept:
                    self._held += len(states.tokens)
                self._kept[text] = states
                self._kept.move_to_end(text)
            while self._held > self._most:
                self._held -= len(self._kept.popitem(last=False)[1].tokens)


class StaticTokens:
    """Reads texts with a static encoder: a token's state is its vector, whatever stands around it. Needs no torch.

    A passage has each of its tokens once. Tokens that the encoder does not know are left out: they would all be alike.

    Args:
        folder: A model2vec model; the one that ships if left out.
        kept_tokens: Tokens of passages kept in memory between searches, the latest used; 256 dimensions take 0.5 KB.

    Raises:
        ModelError: If there is no such model.
    """

    def __init__(self, folder: str | Path = STATIC, *, kept_tokens: int = _KEPT) -> None:
        if kept_tokens < 0:
            raise ValueError(f"kept_tokens must be at least 0, got {kept_tokens}")
        tokenizer, self._vectors, self._unknown = StaticEncoder(folder).table()
        self._tokenizer = copy.deepcopy(tokenizer)
        self._tokenizer.no_truncation()
        lengths = np.linalg.norm(self._vectors, axis=1, keepdims=True)
        self._states = (self._vectors / np.maximum(lengths, 1e-9)).astype(np.float16)
        self._remembered = _Remembered(kept_tokens)
        self.dtype = str(self._vectors.dtype)

    def question(self, text: str) -> TokenStates:
        """Return the states of what a question asks about, without words that only ask unless nothing else is left."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        tokens, known = self._known(encoding)
        said = _said(text, encoding)[known]
        asked = tokens[said] if said.any() else tokens
        return TokenStates(asked, self._states[asked], self._whole(tokens))

    def passages(self, texts: Sequence[str]) -> list[TokenStates]:
        """Return the states of texts, in their order."""
        return self._remembered.read(texts, self._read)

    def _read(self, texts: list[str]) -> list[TokenStates]:
        made = []
        for encoding in self._tokenizer.encode_batch(texts, add_special_tokens=False):
            tokens, _ = self._known(encoding)
            once = np.unique(tokens)
            made.append(TokenStates(once, self._states[once], self._whole(tokens)))
        return made

    def _known(self, encoding: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the tokens that are known, and which of all they are."""
        tokens = np.asarray(encoding.ids, dtype=np.int64)
        known = tokens != self._unknown
        return tokens[known], known

    def _whole(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        total = self._vectors[tokens].sum(axis=0)
        return np.asarray(total / max(1e-9, float(np.linalg.norm(total))), dtype=np.float32)


class TokenEncoder:
    """Reads texts into states of their tokens; threads may share it.

    A text's states depend on nothing that is read beside it: processors round sums of other lengths otherwise, so a
    text is always read at the same length, in a step of as many texts.

    Args:
        model: ``"minilm"`` or the folder of a transformer, such as that of a sentence-transformers model.
        device: ``"cpu"``, ``"cuda"``, ...
        batch_size: Texts a step. A step is filled up, so a larger one pays on a GPU only.
        max_tokens: A text's tokens beyond these are not read; a model with fewer positions reads fewer.
        kept_tokens: Tokens of passages kept in memory between searches, the latest used; 384 dimensions take 0.8 KB.

    Attributes:
        dtype: Number format in which the model runs, such as ``"bfloat16"``.

    Raises:
        MissingExtraError: If transformers, or the package with the weights of ``"minilm"``, is not installed.
        ModelError: If the model cannot be loaded, or its tokenizer does not tell where in a text its tokens are.
    """

    def __init__(
        self, model: str | Path = "minilm", *, device: str = "cpu", batch_size: int = 2, max_tokens: int = 512,
        kept_tokens: int = _KEPT,
    ) -> None:  # fmt: skip
        if batch_size < 1 or max_tokens < _FEWEST or kept_tokens < 0:
            raise ValueError(
                f"need batch_size >= 1, max_tokens >= {_FEWEST} and kept_tokens >= 0, got {batch_size}, {max_tokens} "
                f"and {kept_tokens}"
            )
        folder = minilm_folder() if str(model) == "minilm" else Path(model)
        library = require("transformers", extra="llama")
        self._torch = require("torch", extra="llama")
        try:
            if not (folder / "config.json").is_file():
                raise OSError("there is no config.json")
            tokenizer = library.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            if not tokenizer.is_fast or tokenizer.pad_token_id is None:
                raise ValueError("it needs a fast tokenizer (tokenizer.json) that has a token for padding")
            loaded = library.AutoModel.from_pretrained(str(folder), local_files_only=True, dtype=self._dtype(device))
        except (OSError, TypeError, ValueError) as error:
            raise ModelError(
                f"no transformer can be loaded from {str(model)!r}: {error}. Give 'minilm' or the folder of a model"
            ) from error
        self._model = loaded.eval().to(device)
        self.dtype = str(loaded.dtype).removeprefix("torch.")
        self._device, self._batch_size = device, batch_size
        self._max_tokens = min(max_tokens, getattr(loaded.config, "max_position_embeddings", max_tokens))
        self._padding = int(tokenizer.pad_token_id)
        # Set once and used directly: transformers sets it anew for each call, which fails when two threads call.
        self._tokenizer = tokenizer.backend_tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._max_tokens)
        self._remembered = _Remembered(kept_tokens)

    def question(self, text: str) -> TokenStates:
        """Return the states of what a question asks about, without words that only ask unless nothing else is left."""
        (encoding,) = self._tokenizer.encode_batch([text])
        (read,) = self._states([encoding])
        said = _said(text, encoding)
        if not said.any():
            return read
        return TokenStates(read.tokens[said], read.states[said], read.whole)

    def passages(self, texts: Sequence[str]) -> list[TokenStates]:
        """Return the states of texts, in their order."""
        return self._remembered.read(texts, self._read)

    def _read(self, texts: Sequence[str]) -> list[TokenStates]:
        return self._states(self._tokenizer.encode_batch(list(texts)))

    def _states(self, encodings: Sequence[Any]) -> list[TokenStates]:
        """Return the states of tokenized texts, each read at a length that its own number of tokens says."""
        groups: dict[tuple[int, bool], list[int]] = {}
        for at, encoding in enumerate(encodings):
            count = len(encoding.ids)
            length = min(-(-count // _STEP) * _STEP, self._max_tokens)
            groups.setdefault((length, count == length), []).append(at)  # without padding a model takes another path
        found: dict[int, TokenStates] = {}
        for (length, _), members in groups.items():
            for start in range(0, len(members), self._batch_size):
                batch = members[start : start + self._batch_size]
                found.update(zip(batch, self._step([encodings[at] for at in batch], length), strict=True))
        return [found[at] for at in range(len(encodings))]

    def _step(self, encodings: Sequence[Any], length: int) -> list[TokenStates]:
        torch = self._torch
        filled = [*encodings, *[encodings[0]] * (self._batch_size - len(encodings))]
        tokens = np.full((len(filled), length), self._padding, dtype=np.int64)
        mask = np.zeros((len(filled), length), dtype=np.int64)
        for row, encoding in enumerate(filled):
            tokens[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        read = torch.from_numpy(mask).to(self._device)
        with torch.no_grad():
            inputs = torch.from_numpy(tokens).to(self._device)
            states = self._model(input_ids=inputs, attention_mask=read).last_hidden_state.float()
        whole = _unit(torch, (states * read[..., None]).sum(1)).cpu().numpy()
        states = _unit(torch, states).half().cpu().numpy()
        made = []
        for row, encoding in enumerate(encodings):
            words = np.flatnonzero(np.asarray(encoding.special_tokens_mask) == 0)
            made.append(TokenStates(tokens[row, words], states[row, words], whole[row]))
        return made

    def _dtype(self, device: str) -> Any:
        """Return bfloat16 where the processor multiplies it in hardware, some three times faster; elsewhere slower."""
        torch = self._torch
        if device.startswith("cuda"):
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
        has_tiles = getattr(torch.cpu, "_is_amx_tile_supported", None)
        return torch.bfloat16 if device == "cpu" and has_tiles is not None and has_tiles() else torch.float32


def load_reader(model: str | Path, *, kept_tokens: int = _KEPT) -> TokenReader:
    """Return a reader for what a file of weights or a user names.

    Args:
        model: ``"static"``, the encoder that ships; the folder of a static encoder; ``"minilm"``; or the folder of a
            transformer.
        kept_tokens: Tokens of passages kept in memory between searches.

    Raises:
        MissingExtraError: If it is a transformer and transformers is not installed.
        ModelError: If it cannot be loaded.
    """
    if str(model) == "static":
        return StaticTokens(kept_tokens=kept_tokens)
    if _is_static(Path(model)):
        return StaticTokens(model, kept_tokens=kept_tokens)
    return TokenEncoder(model, kept_tokens=kept_tokens)


def _is_static(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / "config.json").read_text("utf-8")).get("model_type") == "model2vec")
    except (OSError, ValueError, AttributeError):
        return False


def _said(text: str, encoding: Any) -> NDArray[np.bool_]:
    """Return which tokens of a text, special ones aside, are of a word that is neither punctuation nor a stop word."""
    words: dict[int, list[int]] = {}
    for word, places in zip(encoding.word_ids, encoding.offsets, strict=True):
        if word is not None:
            words.setdefault(word, []).extend(places)
    said = {word for word, places in words.items() if _says(text[min(places) : max(places)])}
    inner = [w for w, special in zip(encoding.word_ids, encoding.special_tokens_mask, strict=True) if not special]
    return np.asarray([word in said for word in inner], dtype=bool)


def _says(word: str) -> bool:
    return word.lower() not in STOPWORDS and any(letter.isalnum() for letter in word)


def _unit(torch: Any, vectors: Any) -> Any:
    return torch.nn.functional.normalize(vectors, dim=-1)
