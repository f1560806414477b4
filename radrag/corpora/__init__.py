"""Where text comes from: readers, chunking with exact offsets, data cards and the shipped corpora.

Readers are generators: they hold one record at a time, and raise a CorpusError that names file, record and field.
"""

from radrag.corpora.cards import DataCard, load_card, verify, write_card
from radrag.corpora.chunking import Chunking, chunk, split_sentences
from radrag.corpora.claims import DocumentQuestion, LabelledClaim, read_claims, read_document_questions
from radrag.corpora.folders import READERS, FileFailure, FolderCorpus, read_files, read_folder
from radrag.corpora.formatted import read_docx, read_html, read_pdf
from radrag.corpora.guidelines import read_markdown, read_text
from radrag.corpora.i2b2 import read_i2b2_2012, read_i2b2_2012_folder
from radrag.corpora.mimic import NoteEvents
from radrag.corpora.openi import read_openi, read_openi_folder
from radrag.corpora.order_notes import read_order_notes
from radrag.corpora.phi_notes import PHINote
from radrag.corpora.pubmed import read_deletions, read_pubmed
from radrag.corpora.records import Fields, read_csv, read_jsonl, read_labelled_notes, read_questions
from radrag.corpora.reports import read_finding_sets, read_reports
from radrag.corpora.retractions import read_retraction_watch
from radrag.corpora.shipped import (
    SHIPPED,
    corpus_folder,
    load_claims,
    load_conflicts,
    load_evidence,
    load_finding_sets,
    load_near_misses,
    load_notes,
    load_phi_notes,
    load_protocols,
    load_questions,
    load_reports,
)

__all__ = [
    "READERS",
    "SHIPPED",
    "Chunking",
    "DataCard",
    "DocumentQuestion",
    "Fields",
    "FileFailure",
    "FolderCorpus",
    "LabelledClaim",
    "NoteEvents",
    "PHINote",
    "chunk",
    "corpus_folder",
    "load_card",
    "load_claims",
    "load_conflicts",
    "load_evidence",
    "load_finding_sets",
    "load_near_misses",
    "load_notes",
    "load_phi_notes",
    "load_protocols",
    "load_questions",
    "load_reports",
    "read_claims",
    "read_csv",
    "read_deletions",
    "read_document_questions",
    "read_docx",
    "read_files",
    "read_finding_sets",
    "read_folder",
    "read_html",
    "read_i2b2_2012",
    "read_i2b2_2012_folder",
    "read_jsonl",
    "read_labelled_notes",
    "read_markdown",
    "read_openi",
    "read_openi_folder",
    "read_order_notes",
    "read_pdf",
    "read_pubmed",
    "read_questions",
    "read_reports",
    "read_retraction_watch",
    "read_text",
    "split_sentences",
    "verify",
    "write_card",
]
