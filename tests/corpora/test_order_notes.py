"""Order notes of a department."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from radrag.corpora.order_notes import read_order_notes
from radrag.errors import CorpusError
from radrag.types import LabelledNote

CSV = (
    "acc,mrn,indication,protocol,site,sex,age\n"
    'A1,17,"flank pain,\nr/o stone",ct-stone,North,f,44\n'
    "A2,17,knee locking,mr-knee,North,f,44\n"
    "A3, ,headache, mr-brain-routine ,,m,\n"
)


def test_columns_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(CSV, "utf-8")
    one, two, three = read_order_notes(
        path,
        text="indication",
        label="protocol",
        id="acc",
        group=["mrn", "acc"],
        metadata={"site": "site", "sex": "sex", "years": "age"},
    )
    assert one.text == "flank pain,\nr/o stone"
    assert (one.id, one.label) == ("A1", "ct-stone")
    assert one.group == two.group == hashlib.sha256(b"mrn:17").hexdigest()[:16]
    assert three.group == hashlib.sha256(b"acc:A3").hexdigest()[:16]
    assert three.label == "mr-brain-routine"
    assert one.metadata == {"site": "North", "sex": "f", "years": "44"}
    assert three.metadata == {"sex": "m"}
    plain = next(read_order_notes(path, text="indication", label="protocol", group="mrn", keep_group=True))
    assert (plain.group, plain.id, plain.metadata) == ("mrn:17", "orders:2", {})


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(CSV, "utf-8")
    with pytest.raises(CorpusError, match="field patient"):
        list(read_order_notes(path, text="indication", label="protocol", group="patient"))
    with pytest.raises(CorpusError, match="'17' was used on line 2"):
        list(read_order_notes(path, text="indication", label="protocol", id="mrn"))
    with pytest.raises(ValueError, match="got the text 'site'"):
        list(read_order_notes(path, text="indication", label="protocol", metadata="site"))


def test_notes_with_metadata_are_hashed_and_compared() -> None:
    one, same, other = (LabelledNote("a", "b", metadata={"site": site}) for site in "AAB")
    assert one == same != other
    assert hash(one) == hash(same)
    assert len({one, same, other}) == 2
