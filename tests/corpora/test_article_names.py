from __future__ import annotations

from typing import Any

import pytest

from radrag.corpora.article_names import bare_doi, known_as


@pytest.mark.parametrize(
    ("name", "metadata", "others"),
    [
        ("a", {}, []),
        ("PMID:111", {}, []),
        ("PMID:111", {"pmid": "111"}, []),
        ("pmid:111", {}, ["PMID:111"]),
        ("PMID111", {}, ["PMID:111"]),
        ("PMID: 0111", {}, ["PMID:111"]),
        ("PMID:", {}, []),
        ("PMID:111-2", {}, []),
        ("pmids111", {}, []),
        ("111", {}, ["PMID:111"]),
        ("12345678", {}, ["PMID:12345678"]),
        ("123456789", {}, []),
        ("0", {}, []),
        ("00000111", {}, []),  # a number of the user's own; nobody writes a PMID so
        ("١١١", {}, []),
        ("111a", {}, []),
        ("111", {"pmid": 222}, ["PMID:222"]),
        ("111", {"pmid": ""}, ["PMID:111"]),
        ("a", {"pmid": 111}, ["PMID:111"]),
        ("a", {"pmid": "111"}, ["PMID:111"]),
        ("a", {"pmid": "111.0"}, ["PMID:111"]),
        ("a", {"pmid": 111.0}, ["PMID:111"]),
        ("a", {"pmid": " PMID: 111\u200b"}, ["PMID:111"]),
        ("a", {"PMID": [111, "222"]}, ["PMID:111", "PMID:222"]),
        ("a", {"pmid": True}, []),
        ("a", {"pmid": None, "doi": None}, []),
        ("a", {"pmid": "0", "doi": "unavailable"}, []),
        ("a", {"doi": "10.1000/ABC"}, ["doi:10.1000/abc"]),
        ("a", {"doi": "10.1000/ABC.;"}, ["doi:10.1000/abc"]),
        ("a", {"DOI": ["10.1000/ABC", "https://doi.org/10.1000/d"]}, ["doi:10.1000/abc", "doi:10.1000/d"]),
        ("a", {"doi": "10.1000/a; doi: 10.1000/b"}, ["doi:10.1000/a", "doi:10.1000/b"]),
        ("10.1000/ABC", {}, ["doi:10.1000/abc"]),
        ("doi:10.1000/ABC", {}, ["doi:10.1000/abc"]),
        ("https://doi.org/10.1000/abc", {}, ["doi:10.1000/abc"]),
        ("10.1101/a", {"doi": "10.1000/b", "pmid": 1}, ["PMID:1", "doi:10.1000/b", "doi:10.1101/a"]),
    ],
)
def test_a_document_is_known_by_every_name_it_has(name: str, metadata: dict[str, Any], others: list[str]) -> None:
    assert known_as(name, metadata) == (name, *others)


@pytest.mark.parametrize(
    "written",
    [
        "10.1000/ABC",
        " 10.1000/abc.",
        "10.1000/abc\u200b.",
        "\ufeff10.1000/abc",
        "doi: 10.1000/abc. ",
        "10.1000/a\u00adbc",
    ],
)
def test_a_doi_is_the_same_however_it_is_written(written: str) -> None:
    assert bare_doi(written) == "10.1000/abc"
