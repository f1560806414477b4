"""Readers of formatted files: HTML, Word and PDF guidelines become one text with sections, a line each table row."""

from radrag.corpora.formatted.docx import read_docx
from radrag.corpora.formatted.html import read_html
from radrag.corpora.formatted.pdf import read_pdf

__all__ = ["read_docx", "read_html", "read_pdf"]
