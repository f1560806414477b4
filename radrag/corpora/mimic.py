"""MIMIC-III notes: ``NOTEEVENTS.csv`` as PhysioNet distributes it.

Source: Johnson et al., "MIMIC-III, a freely accessible critical care database", Scientific Data 3, 2016; columns as in
the table NOTEEVENTS of its documentation. The data is not part of this library and needs PhysioNet's agreement.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from radrag.corpora.files import lines
from radrag.errors import CorpusError
from radrag.types import Document

COLUMNS = (
    *("ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CHARTTIME", "STORETIME"),
    *("CATEGORY", "DESCRIPTION", "CGID", "ISERROR", "TEXT"),
)
_LONGEST = 1 << 24


class NoteEvents:
    """The notes of a ``NOTEEVENTS.csv``, read one at a time, as often as asked.

    Notes that a carer marked as entered in error are left out and counted. After a whole pass, ``errors``, ``blank``
    and ``other_category`` say how many were left out why, and ``notes`` how many were not.

    Args:
        path: ``NOTEEVENTS.csv``, gzipped or not.
        categories: Which categories, such as ``"Radiology"`` or ``"Discharge summary"``; None for all. White space
            around them does not count (the file has ``"Physician "``).
    """

    def __init__(self, path: str | Path, categories: Collection[str] | None = None) -> None:
        if isinstance(categories, str):
            raise ValueError(f"categories must be a list, got the text {categories!r}; write [{categories!r}]")
        self._path = Path(path)
        self._wanted = None if categories is None else {name.strip().casefold() for name in categories}
        self._count(0, 0, 0, 0)

    def __iter__(self) -> Iterator[Document]:
        """Yield notes as documents of kind ``"note"``, ids ``"MIMIC-III:<ROW_ID>"``.

        Metadata: ``group`` (the SUBJECT_ID, for splits), ``admission``, ``date`` (shifted by MIMIC), ``category``,
        ``description`` and, of the description of an imaging report, ``modality``.

        Raises:
            CorpusError: If the file has other columns, is not valid CSV, or an id occurs twice.
        """
        self._count(0, 0, 0, 0)
        seen: set[int] = set()
        for line, row in self._rows():
            number = _whole(row["ROW_ID"], self._path, line, "ROW_ID")
            if number in seen:
                raise CorpusError(f"the id {number} was used already", file=self._path, record=line, field="ROW_ID")
            seen.add(number)
            if self._wanted is not None and row["CATEGORY"].strip().casefold() not in self._wanted:
                self.other_category += 1
            elif row["ISERROR"].strip() in ("1", "1.0"):
                self.errors += 1
            elif not row["TEXT"].strip():
                self.blank += 1
            else:
                self.notes += 1
                yield self._document(number, row, line)

    def _count(self, notes: int, errors: int, blank: int, other_category: int) -> None:
        self.notes, self.errors, self.blank, self.other_category = notes, errors, blank, other_category

    def _rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the line a record begins on, and the record by column."""
        reader = csv.reader((line for _, line in lines(self._path)), strict=True)
        before, start = csv.field_size_limit(), 1
        csv.field_size_limit(max(before, _LONGEST))
        try:
            header = tuple(name.strip().upper() for name in next(reader, []))
            if header != COLUMNS:
                raise CorpusError(
                    f"expected the columns {', '.join(COLUMNS)}, got {', '.join(header) or 'none'}; give "
                    "NOTEEVENTS.csv as PhysioNet distributes it, or read another table with read_csv",
                    file=self._path,
                    record=1,
                )
            start = reader.line_num + 1
            for values in reader:
                if values and len(values) != len(COLUMNS):
                    raise CorpusError(
                        f"has {len(values)} columns, expected {len(COLUMNS)}; fetch the file again",
                        file=self._path,
                        record=start,
                    )
                if values:
                    yield start, dict(zip(COLUMNS, values, strict=True))
                start = reader.line_num + 1
        except csv.Error as error:
            raise CorpusError(f"not valid CSV: {error}", file=self._path, record=start) from error
        finally:
            csv.field_size_limit(before)

    def _document(self, number: int, row: dict[str, str], line: int) -> Document:
        category, description = row["CATEGORY"].strip(), row["DESCRIPTION"].strip()
        metadata: dict[str, Any] = {
            "source": "MIMIC-III",
            "group": str(_whole(row["SUBJECT_ID"], self._path, line, "SUBJECT_ID")),
            "category": category,
            "description": description,
        }
        if row["HADM_ID"].strip():
            metadata["admission"] = str(_whole(row["HADM_ID"], self._path, line, "HADM_ID"))
        if row["CHARTDATE"].strip():
            metadata["date"] = row["CHARTDATE"].strip()[:10]
        modality = _modality(description) if category.casefold() == "radiology" else ""
        if modality:
            metadata["modality"] = modality
        return Document(id=f"MIMIC-III:{number}", text=row["TEXT"], title=description, kind="note", metadata=metadata)


def _whole(value: str, path: Path, line: int, field: str) -> int:
    text = value.strip().removesuffix(".0")  # tables that went through pandas have floats where cells are empty
    if not text.isascii() or not text.isdigit():
        raise CorpusError(f"expected a whole number, got {value!r:.40}", file=path, record=line, field=field)
    return int(text)


# What descriptions of radiology reports begin with or hold, such as "CHEST (PORTABLE AP)" and "CT HEAD W/O CONTRAST".
_MODALITIES = (
    ("CT", ("CT", "CTA", "CAT")),
    ("MR", ("MR", "MRI", "MRA", "MRCP", "MRV")),
    ("US", ("US", "ULTRASOUND", "DUPLEX", "DOPPLER")),
    ("NM", ("PET", "SCAN", "SPECT", "MIBI")),
    ("MG", ("MAMMOGRAM", "MAMMO", "MAMMOGRAPHY")),
    ("XR", ("XRAY", "PORTABLE", "AP", "PA", "LAT", "VIEWS", "FILM")),
)


def _modality(description: str) -> str:
    words = set("".join(mark if mark.isalnum() else " " for mark in description.upper()).split())
    return next((name for name, marks in _MODALITIES if words & set(marks)), "")
