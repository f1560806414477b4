"""Formulas, powers and odd XML in titles and abstracts: no number becomes another one."""

from __future__ import annotations

from pathlib import Path

import pytest
from defusedxml.ElementTree import fromstring
from fake_pubmed import article, put

from radrag.corpora import read_pubmed
from radrag.corpora.pubmed_text import flat
from radrag.errors import CorpusError


def shown(inside: str) -> str:
    return flat(fromstring(f'<AbstractText xmlns:mml="http://www.w3.org/1998/Math/MathML">{inside}</AbstractText>'))


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("5 × 10<sup>9</sup>/L", "5 × 10⁹/L"),
        ("10<sup>-3</sup>, 10<sup>−3</sup>, 10<sup>–3</sup>, 10<sup>- 3</sup>", "10⁻³, 10⁻³, 10⁻³, 10⁻³"),
        ("10<sup>3.5</sup> copies", "10^(3.5) copies"),
        ("10<sup>6-9</sup> or 10<sup>6–9</sup>", "10^(6-9) or 10^(6–9)"),
        ("<i>10</i><sup><b>9</b></sup>", "10⁹"),
        ("10<b><sup>9</sup></b>", "10⁹"),
        ("R<sup>2</sup>, m<sup>2</sup>, <sup>18</sup>F, 1<sup>st</sup>", "R2, m2, 18F, 1st"),
        ("Ca<sup>2+</sup> SO<sub>4</sub><sup>2-</sup> CO<sub>2</sub>", "Ca2+ SO4²⁻ CO2"),
        ("p&lt;.05 &amp; <![CDATA[a<b]]>&#945;", "p<.05 & a<bα"),
        ("a<!-- no -->b<?no?>c", "abc"),
        ("<u>a</u> <sc>b</sc>\n\t c", "a b c"),
        ("10 <sup>9</sup>/L, 10\n  <sup>12</sup> cells, (5x10 <sup>6</sup>)", "10⁹/L, 10¹² cells, (5x10⁶)"),
        ("1.5 × 10 <sup>-3</sup>, 2 × 10 <b><sup>6</sup></b>M, 10 <sup>−8</sup>M", "1.5 × 10⁻³, 2 × 10⁶M, 10⁻⁸M"),
        ("10 <sup>18</sup>F-FDG scans in 10 <sup>131</sup>I patients", "10 18F-FDG scans in 10 131I patients"),
        ("110 <sup>9</sup>, 0.10 <sup>9</sup>, IL10 <sup>9</sup>, CD10 <sup>+</sup>", "110 9, 0.10 9, IL10 9, CD10 +"),
        ("10 <sup>a</sup>, 10 <sup>(3)</sup>, mm <sup>2</sup>, n = 10 <sup>2+</sup>", "10 a, 10 (3), mm 2, n = 10 2+"),
        ("log<sub>10</sub>5, R<sup>2</sup>0.9, CO<sub>2</sub>, C<sub>1</sub><sub>2</sub>", "log10 5, R2 0.9, CO2, C12"),
        ("PTV95<sub>2</sub>, 1<sub>0</sub>0, 5<sub>.</sub>5, 10<sub>-5</sub>", "PTV95_2, 1_0 0, 5_.5, 10_-5"),
        ("PTV95<i><sub>2</sub></i>5, <i>T<sub>2</sub></i>5, <b>T<sub>2</sub>=</b>5", "PTV95_2 5, T2 5, T2=5"),
        ("10<sup>x</sup>, 5x10<sup>n</sup>, 2<sup>n</sup>5, 10<sub>x</sub>", "10^x, 5x10^n, 2^n 5, 10_x"),
        ("10<sup>9</sup><sub>2</sub>, 10<sup>9</sup>5, 5<sup>½</sup>", "10⁹_2, 10⁹ 5, 5^(½)"),
        ("10<sup>-</sup><sup>5</sup>, 10<sup>--5</sup>, 10<sup>~5</sup>", "10⁻⁵, 10^(--5), 10^(~5)"),
        ("10<sup>th</sup>, 37<sup>o</sup>C, CD8<sup>high</sup>, D2<sub>cc</sub>", "10th, 37oC, CD8high, D2cc"),
    ],
)
def test_text_in_line(inside: str, text: str) -> None:
    assert shown(inside) == text


def mml(inside: str) -> str:
    names = "math mrow mstyle msup msub msubsup mmultiscripts mprescripts none mfrac msqrt mroot mn mi mo mtext mspace"
    names += " munder mover munderover"
    for name in names.split():
        inside = inside.replace(f"<{name}>", f"<mml:{name}>").replace(f"</{name}>", f"</mml:{name}>")
        inside = inside.replace(f"<{name}/>", f"<mml:{name}/>")
    return inside


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("<msup><mn>10</mn><mn>9</mn></msup>", "10⁹"),
        ("<msup><mn>10</mn><mrow><mo>-</mo><mn>9</mn></mrow></msup>", "10⁻⁹"),
        ("<msup><mi>R</mi><mn>2</mn></msup><mo>=</mo><mn>0.9</mn>", "R2=0.9"),
        ("<mfrac><mn>1</mn><mn>2</mn></mfrac>", "1/2"),
        ("<mfrac><mrow><mi>a</mi><mo>+</mo><mn>1</mn></mrow><mn>2</mn></mfrac>", "(a+1)/2"),
        ("<msub><mi>T</mi><mn>2</mn></msub><mo>&lt;</mo><mn>40</mn>", "T2<40"),
        ("<msub><mn>1</mn><mn>2</mn></msub>", "1_2"),
        ("<msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup>", "x1²"),
        ("<msqrt><mn>2</mn></msqrt><mspace></mspace><mtext>mm</mtext>", "√2 mm"),
        ("<mn>10</mn><msup><mrow/><mrow><mo>-</mo><mn>6</mn></mrow></msup><mtext>M</mtext>", "10⁻⁶M"),
        ("<mstyle><mn>10</mn></mstyle><mrow><msup><mrow></mrow><mn>6</mn></msup></mrow>", "10⁶"),
        ("<mn>10</mn><msubsup><mrow/><mrow/><mn>6</mn></msubsup>", "10⁶"),
        ("<mmultiscripts><mn>10</mn><none/><mn>6</mn></mmultiscripts>", "10⁶"),
        ("<mmultiscripts><mi>Tc</mi><mprescripts/><none/><mn>99</mn></mmultiscripts>", "Tc99"),
        ("<msqrt><mn>10</mn><msup><mrow/><mn>6</mn></msup></msqrt>", "√10⁶"),
        ("<mn>1</mn><msup><mn>0</mn><mn>6</mn></msup>", "10⁶"),
        ("<mn>10</mn><msub><mrow/><mn>2</mn></msub>", "10_2"),
        ("<msup><mrow/><mn>18</mn></msup><mi>F</mi>", "18F"),
        ("<mn>1</mn><mfrac><mn>1</mn><mn>2</mn></mfrac><mtext>tablets</mtext>", "1 1/2tablets"),
        ("<mn>2</mn><mroot><mn>5</mn><mn>3</mn></mroot>", "2 5^(1/3)"),
        ("<mfrac><mn>1</mn><mn>2</mn></mfrac><mn>5</mn>", "1/2 5"),
        ("<msub><mi>log</mi><mn>10</mn></msub><mn>5</mn>", "log10 5"),
        ("<munder><mn>3</mn><mn>4</mn></munder>", "3_4"),
        ("<mover><mn>3</mn><mn>4</mn></mover><mn>5</mn>", "3^4 5"),
        ("<mover><mi>x</mi><mo>¯</mo></mover><mo>=</mo><mn>0.1</mn>", "x¯=0.1"),
        ("<munder><mi>lim</mi><mrow><mi>x</mi><mo>→</mo><mn>0</mn></mrow></munder><mn>5</mn>", "lim_(x→0)5"),
        (
            "<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mn>5</mn></munderover><mn>3</mn>",
            "∑_(i=1)^5 3",
        ),
        ("<munderover><mn>1</mn><mn>2</mn><mn>3</mn></munderover>", "1_2^3"),
        ("<msup><mn>10</mn><mi>x</mi></msup><msub><mn>2</mn><mi>n</mi></msub><mn>5</mn>", "10^x 2_n 5"),
        ("<mmultiscripts><mn>1</mn><mn>2</mn><mn>3</mn><mn>4</mn><mn>5</mn></mmultiscripts>", "1_2_3_4_5"),
        ("<mmultiscripts><mi>U</mi><mprescripts/><mn>92</mn><mn>238</mn></mmultiscripts>", "U92_238"),
        ("<mrow><msub><mi>T</mi><mn>2</mn></msub></mrow><mn>5</mn>", "T2 5"),
        ("<mrow>\n <mi>n</mi>\n <mo>=</mo>\n <mn>1</mn><mn>2</mn></mrow>", "n=12"),
    ],
)
def test_formulas(formula: str, text: str) -> None:
    assert shown(mml(f"It is <DispFormula><math>{formula}</math></DispFormula>.")) == f"It is {text}."


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("5 x 10<math><msup><mrow/><mn>6</mn></msup></math> cells", "5 x 10⁶ cells"),
        ("5 x 10 <math><msup><mrow/><mn>6</mn></msup></math> cells", "5 x 10⁶ cells"),
        ("10<i><math><msup><mrow/><mn>6</mn></msup></math></i>", "10⁶"),
        ("10<sup><math><mn>6</mn></math></sup>", "10⁶"),
        ("10 <math><msup><mrow/><mn>18</mn></msup><mi>F</mi></math>", "10 18F"),
        ("AUC<math><msub><mrow/><mn>24</mn></msub></math>", "AUC24"),
        ("take 1<math><mfrac><mn>1</mn><mn>2</mn></mfrac></math> tablets", "take 1 1/2 tablets"),
        ("2<math><mfrac><mn>1</mn><mn>2</mn></mfrac></math>5 mg", "2 1/2 5 mg"),
        ("<math><msub><mi>T</mi><mn>2</mn></msub></math>5", "T2 5"),
        ("2<sup><math><mfrac><mn>1</mn><mn>2</mn></mfrac></math></sup>", "2^(1/2)"),
    ],
)
def test_a_formula_goes_on_from_the_text_before_it(inside: str, text: str) -> None:
    assert shown(mml(inside)) == text


def test_a_formula_keeps_no_second_form() -> None:
    inside = "<mml:semantics><mml:mn>5</mml:mn><mml:annotation>\\five</mml:annotation></mml:semantics>"
    assert shown(f"<mml:math>{inside}</mml:math>") == "5"


def test_bottomless_nesting_is_an_error_that_names_the_record(tmp_path: Path) -> None:
    deep = "<b>" * 20_000 + "x" + "</b>" * 20_000
    path = put(tmp_path, "pubmed26n0001.xml.gz", article(1), article(2, deep))
    with pytest.raises(CorpusError, match="record 2: elements are nested deeper"):
        list(read_pubmed(path))
    damaged: list[CorpusError] = []
    assert [document.id for document in read_pubmed(path, damaged=damaged)] == ["PMID:1"]
    assert [error.record for error in damaged] == [2]


def test_an_encoding_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(b'<?xml version="1.0" encoding="shift_jis"?><PubmedArticleSet/>')
    with pytest.raises(CorpusError, match="not well-formed XML"):
        list(read_pubmed(tmp_path / "a.xml"))
