"""What a user gives as notes."""

from __future__ import annotations

from collections.abc import Iterable


def checked_notes(notes: Iterable[str]) -> list[str]:
    """Return notes as a list.

    Args:
        notes: A list, tuple, pandas column or any other iterable of texts.

    Raises:
        TypeError: If it is one text, a mapping or a whole table.
        ValueError: If a note is not text or is blank; it names the position.
    """
    if isinstance(notes, str | bytes) or (hasattr(notes, "keys") and not hasattr(notes, "tolist")):
        raise TypeError(
            f"notes must be a list, a tuple or a column of texts, got one {type(notes).__name__}; for one note call "
            "pipeline(note), for a table give one column, such as table['note']"
        )
    found = list(notes)
    for position, note in enumerate(found):
        if not isinstance(note, str):
            raise ValueError(
                f"note {position} must be text, got {type(note).__name__} {note!r:.40}; leave it out or fill it"
            )
        if not note.strip():
            raise ValueError(f"note {position} is blank; leave it out or fill it")
    return found
