import pytest

from radrag.pipelines.agreement import agreement, stance
from radrag.types import Hit, Passage
from radrag.types.agreement import Agreement


@pytest.mark.parametrize(
    ("sentences", "sign"),
    [
        (["Zinc significantly shortened the stay (p < 0.01)."], 1),
        (["Zinc did not shorten the stay.", "Stay did not differ (p = 0.31)."], -1),
        (["Children were given zinc."], 0),
        ([], 0),
        (["Pain was lower with zinc.", "Stay was not different."], 1),
    ],
)
def test_stance(sentences: list[str], sign: int) -> None:
    said = stance(sentences)
    assert (said > 0) - (said < 0) == sign
    assert -2 <= said <= 2


def hit(name: str, text: str, **metadata: object) -> Hit:
    return Hit(Passage(name, 0, len(text), text, title="Zinc for pneumonia", metadata=metadata), 1.0)


def test_sources_on_both_sides_are_named_and_retracted_ones_never_count() -> None:
    hits = [
        hit("a", "Zinc shortened pneumonia in children: symptoms were significantly fewer with zinc."),
        hit("b", "Zinc did not change pneumonia in children: symptoms showed no significant difference with zinc."),
        hit("c", "Zinc did not change pneumonia in children: symptoms showed no difference with zinc.", retracted=True),
    ]
    found = agreement("Does zinc shorten pneumonia in children?", hits)
    assert (found.support, found.contradict) == (("a",), ("b",))
    assert found.conflict
    assert str(found) == "The sources conflict: 1 report an effect, 1 report none"
    assert not agreement("Does zinc shorten pneumonia in children?", hits[:1]).conflict
    assert agreement("Does zinc shorten pneumonia in children?", []) == Agreement()
    assert str(Agreement()) == "no source was read"
