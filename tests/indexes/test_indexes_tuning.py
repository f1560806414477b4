from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from radrag.indexes.fusion import Fusion
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.tuning import fit_fusion
from radrag.types import Document


@pytest.fixture
def index(tmp_path: Path, toy: Any) -> HybridIndex:
    """Twelve documents whose words say which one is meant; their vectors are those of the next one."""
    words = [f"word{number} common" for number in range(12)]

    class Misleading:
        dim, fingerprint = 16, "misleading"

        def encode(self, texts: Any, kind: str) -> Any:
            numbers = [int("0" + "".join(filter(str.isdigit, text))) for text in texts]
            return toy().encode([f"word{(number + (kind == 'query')) % 12}" for number in numbers], "query")

    made = HybridIndex.create(tmp_path / "i", encoder=Misleading(), dense_weight=1.0)
    made.add(Document(f"d{number}", text) for number, text in enumerate(words))
    return made


def test_words_win_where_vectors_mislead(index: HybridIndex) -> None:
    questions = [(f"word{number}", {f"d{number}"}) for number in range(12)]
    assert index.search("word3")[0].passage.document_id == "d4"
    fit = fit_fusion(index, questions, weights=(0.0, 1.0))
    assert fit.settings.dense_weight == 0.0
    assert fit.score.value == 1.0
    assert fit.gain.value > 0.2
    assert [row[1] for row in fit.table] == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert fit.better
    assert (fit.had, fit.used, fit.absent, fit.unknown) == (index.settings, 12, 0, ())
    assert index.settings.dense_weight == 1.0  # not changed by looking
    index.use(fit.settings)
    assert index.search("word3")[0].passage.document_id == "d3"
    assert index.settings == fit.settings


def test_settings_are_kept_and_seen_by_others(index: HybridIndex, tmp_path: Path) -> None:
    other = HybridIndex.open(tmp_path / "i", encoder=index.encoder)
    index.use(type(index.settings)(k1=1.2, b=0.75, fusion=Fusion.RRF, dense_weight=0.0))
    assert other.settings.k1 == 1.2
    assert other.search("word3")[0].passage.document_id == "d3"
    assert other.manifest["search"]["fusion"] == "rrf"


def test_settings_that_are_as_good_stay(index: HybridIndex) -> None:
    index.use(replace(index.settings, dense_weight=0.05))  # not among the weights that are tried
    questions = [(f"word{number}", {f"d{number}"}) for number in range(12)]
    fit = fit_fusion(index, questions, weights=(0.0, 0.1, 1.0))
    assert fit.score.value == 1.0
    assert fit.settings == fit.had == index.settings
    assert fit.table[0] == ("zscore", 0.05, 1.0)
    assert len(fit.table) == 10
    assert not fit.better


def test_nothing_worse_than_what_is_there_is_best(index: HybridIndex) -> None:
    index.use(replace(index.settings, dense_weight=0.05))
    fit = fit_fusion(index, [(f"word{number}", {f"d{number}"}) for number in range(12)], weights=(1.0,))
    assert fit.settings == index.settings
    assert (fit.gain.value, fit.better) == (0.0, False)


def test_questions_of_other_documents_are_left_out_and_counted(index: HybridIndex) -> None:
    questions = [(f"word{number}", {f"d{number}"}) for number in range(11)]
    mixed = [*questions, ("word11", {"d11", "gone"}), ("word3", {"PMID:1"}), ("word4", {"PMID:1", "PMID:2"})]
    fit = fit_fusion(index, mixed, weights=(0.0,))
    assert (fit.used, fit.absent, fit.unknown) == (12, 2, ("PMID:1", "PMID:2", "gone"))
    with pytest.raises(ValueError, match=r"got 15, of which 0 without a document and 15 with none .* such as 'PMID:1'"):
        fit_fusion(index, [("word1", {"PMID:1"})] * 15)


def test_too_few_questions(index: HybridIndex) -> None:
    with pytest.raises(ValueError, match="got 9, of which 0 without"):
        fit_fusion(index, [("word1", {"d1"})] * 9)
    with pytest.raises(ValueError, match="of which 1 without"):
        fit_fusion(index, [("word1", {"d1"})] * 9 + [("word2", set())])
