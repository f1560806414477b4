"""De-identification: the 18 HIPAA identifiers found in clinical text and replaced, clinical content kept."""

from radrag.corpora.deidentify.masking import ENGINES, Deidentified, deidentify
from radrag.types.identifiers import Identifier, IdentifierKind

__all__ = ["ENGINES", "Deidentified", "Identifier", "IdentifierKind", "deidentify"]
