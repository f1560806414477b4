"""The generator that labels where no labelled notes and no other generator were given: the small Llama that ships."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from radrag.corpora import load_protocols
from radrag.labelling.label_set import LabelSet

BASE, ADAPTER = "small-llama", "small-llama-protocols"
# Beside the guidelines' scores: of .25, .5, 1, 2 and 4 the best on every fourth calibration note (.59 of 110 right; the
# guidelines alone .48, the Llama alone .45).
DEFAULT_WEIGHT = 0.5
_NEEDED = ("torch", "transformers", "peft", "bitsandbytes")


def default_generator(labels: LabelSet) -> Any | None:
    """Load the shipped base in NF4 with the shipped adapter, if it was tuned on all of these labels.

    Returns:
        The generator, which is to be shown similar notes and fitting guidelines; None where a label is no shipped
        protocol, or the ``llama`` extra is not installed.
    """
    if any(find_spec(name) is None for name in _NEEDED):
        return None
    if not set(labels.ids) <= {document.id for document in load_protocols()}:
        return None
    from radrag.generation.llama import LlamaGenerator

    return LlamaGenerator(BASE, ADAPTER, quantize="nf4", batch_size=16, local_files_only=True)
