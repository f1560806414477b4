"""Errors that say what was wrong, what was expected, and what to do.

The tree::

    RadragError
    ├── CorpusError          a source file, record or data card cannot be used (ValueError)
    ├── IndexStateError      an index is closed, missing, locked or being misused
    │   ├── IndexMismatchError   it was made with another encoder, format or version
    │   └── IndexCorruptError    what is on disk is not what was written
    ├── ModelError           a model, adapter or tokenizer cannot be loaded or run
    │   └── TrainingError        a training run cannot start or go on
    ├── PromptError          a prompt does not fit or lacks a variable (ValueError)
    └── MissingExtraError    an optional dependency is not installed (ImportError)
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from types import ModuleType


class RadragError(Exception):
    """Base of every error this library raises on purpose, besides ValueError and TypeError for arguments."""


class CorpusError(RadragError, ValueError):
    """A source file, a record of it, or a data card cannot be used.

    Args:
        message: What is wrong, what was expected, and what to do.
        file: The file it was found in.
        record: The record: a 1-based line or row number, or an identifier such as a PMID.
        field: The field of that record.
    """

    def __init__(self, message: str, *, file: object = None, record: object = None, field: str | None = None) -> None:
        self.file = None if file is None else str(file)
        self.record = record
        self.field = field
        named = {"file": self.file, "record": record, "field": field}
        where = ", ".join(f"{name} {value}" for name, value in named.items() if value is not None)
        super().__init__(f"{where}: {message}" if where else message)


class IndexStateError(RadragError):
    """An index is closed, missing, locked, or is used in a way its state does not allow."""


class IndexMismatchError(IndexStateError):
    """An index was made with another encoder, format or version than the one at hand."""


class IndexCorruptError(IndexStateError):
    """What is on disk is not what was written."""


class ModelError(RadragError):
    """A model, adapter or tokenizer cannot be loaded or run."""


class TrainingError(ModelError):
    """A training run cannot start or go on; what was saved last is kept."""


class PromptError(RadragError, ValueError):
    """A prompt does not fit the context window, or a template lacks a variable."""


class MissingExtraError(RadragError, ImportError):
    """An optional dependency is not installed; the message holds the pip line that installs it."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional dependency, or say how to install it.

    Args:
        module: Dotted module name, such as ``"peft"``.
        extra: The extra of radrag that brings it, such as ``"llama"``.

    Returns:
        The imported module.

    Raises:
        MissingExtraError: If the module itself is absent. An error inside the module is passed on.
    """
    if module.partition(".")[0] in _BRING_BITSANDBYTES:
        _import_bitsandbytes()
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
            raise
        raise MissingExtraError(
            f"{module} is not installed, and this needs it. Install it with: pip install 'radrag[{extra}]'",
            name=module,
        ) from error


_BRING_BITSANDBYTES = frozenset({"bitsandbytes", "peft", "trl"})


def _import_bitsandbytes() -> None:
    """Import bitsandbytes, if it is installed, without what it would fetch.

    Where the package ``kernels`` is installed too, bitsandbytes 0.50 downloads code from the Hugging Face hub while it
    is imported, and runs it. Nobody asked for that, and results would differ from machine to machine.
    """
    if "bitsandbytes" in sys.modules or importlib.util.find_spec("bitsandbytes") is None:
        return
    log = logging.getLogger("bitsandbytes.backends.cpu.ops")  # it would say that it fetched nothing
    level, known = log.level, {name: sys.modules[name] for name in ("kernels",) if name in sys.modules}
    log.setLevel(logging.ERROR)
    sys.modules["kernels"] = None  # type: ignore[assignment]  # an import of it now fails
    try:
        importlib.import_module("bitsandbytes")
    finally:
        del sys.modules["kernels"]
        sys.modules.update(known)
        log.setLevel(level)
