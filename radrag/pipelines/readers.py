"""A reader for whatever can write, and questions that can be asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from radrag.generation.llamaindex import LlamaIndexGenerator
from radrag.protocols import Reader
from radrag.reading.extractive import ExtractiveReader
from radrag.reading.prompted import PromptedReader
from radrag.types import GenerationParams


def as_reader(generator: Any, params: GenerationParams | None = None) -> Reader:
    """Return a reader for whatever can write: None, a ``Reader``, a ``Generator`` or a llama-index LLM."""
    if generator is None:
        return ExtractiveReader()
    if hasattr(generator, "read") and hasattr(generator, "read_alone"):
        reader: Reader = generator
        return reader
    if hasattr(generator, "generate"):
        return PromptedReader(generator, params)
    if hasattr(generator, "chat") and hasattr(generator, "metadata"):
        return PromptedReader(LlamaIndexGenerator(generator), params)
    raise TypeError(
        f"{type(generator).__name__} cannot write answers; expected an object with generate(chats, params), a reader "
        "with read and read_alone, a llama-index LLM, or None for the extractive reader"
    )


def checked(questions: Iterable[str]) -> list[str]:
    """Return questions as a list; raise if one is not text that can be stored, or blank."""
    if isinstance(questions, str):
        raise TypeError("batch takes a list of questions; call the pipeline itself for one")
    asked = list(questions)
    for position, question in enumerate(asked):
        if not isinstance(question, str) or not question.strip():
            raise ValueError(f"question {position} must be text that is not blank, got {question!r}")
        try:
            question.encode("utf-8")
        except UnicodeEncodeError as error:  # half a surrogate pair, as what was not UTF-8 is read from a pipe
            raise ValueError(
                f"question {position} is not valid Unicode; save it as UTF-8, got {question[:60]!r}"
            ) from error
    return asked
