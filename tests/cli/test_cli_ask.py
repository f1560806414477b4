"""``radrag ask`` in every format, and in turns from a pipe."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from radrag.cli import app
from radrag.cli.app import show
from radrag.cli.ask import HELP, Format, form_of, patient
from radrag.indexes.hybrid import HybridIndex
from radrag.pipelines.patient import Patient
from radrag.types import Answer, Document

CALF = "Which exam shows a clot in the leg veins of a swollen calf?"
DOCUMENTS = [
    Document("PMID:5", "Ultrasound shows a clot in the leg veins of a swollen calf.", "Leg veins", "abstract"),
    Document("stone", "Low-dose CT shows ureteral stones.", "CT for stones", "abstract"),
]  # fmt: skip


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ask") / "index"
    with HybridIndex.create(folder) as made:
        made.add(DOCUMENTS)
    return folder


def run(*arguments: object, code: int = 0, typed: str = "") -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=typed)
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_every_format(index: Path) -> None:
    answer = Answer.from_dict(json.loads(run("ask", index, CALF, "--format", "json")))
    assert answer.citations[0].document_id == "PMID:5"
    assert run("ask", index, CALF, "--json") == run("ask", index, CALF, "--format", "json")
    assert run("ask", index, CALF) == f"{answer}\n"
    assert run("ask", index, CALF, "--format", "markdown") == answer.to_markdown()
    assert run("ask", index, CALF, "--format", "html") == answer.to_html()
    assert run("ask", index, CALF, "--format", "bibtex").startswith("@misc{PMID5,")
    assert run("ask", index, "-", typed=CALF) == f"{answer}\n"


def test_a_form_is_asked_for(index: Path) -> None:
    question = "Does ultrasound show a clot in the leg veins?"
    yes = Answer.from_dict(json.loads(run("ask", index, question, "--form", "yesno", "--json")))
    assert yes.verdict is not None
    assert (yes.form, yes.value) == ("yesno", yes.verdict.answer)
    options = ("--option", "A=Ultrasound", "--option", "B=CT = x-rays")
    choice = Answer.from_dict(json.loads(run("ask", index, CALF, *options, "--json")))
    assert (choice.form, choice.value) == ("choice", None)
    assert "the reader gives sentences and names no exact answer (choice)" in choice.warnings


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--form", "essay"], "essay"),
        (["--form", "choice"], "two options"),
        (["--option", "A"], "A=TEXT"),
        (["--option", "A=x", "--option", "A=y"], "A=TEXT"),
        (["--form", "list", "--option", "A=x"], "choice"),
        (["--chat", "--form", "essay"], "essay"),
    ],
)
def test_a_wrong_form_is_wrong_usage(index: Path, arguments: list[str], said: str) -> None:
    assert said in run("ask", index, CALF, *arguments, code=2)


def test_a_conversation_from_a_pipe(index: Path) -> None:
    lines = [
        CALF,
        "",
        "Is it shown in pregnant women?",
        "/patient age=4",
        "/odd",
        "/patient age=x",
        "/forget",
        "And why?",
    ]
    typed = [*lines, "/quit", CALF]
    result = CliRunner().invoke(app, ["ask", str(index), "--chat", "--json"], input="\n".join(typed))
    assert result.exit_code == 0
    answers = [Answer.from_dict(json.loads(line)) for line in result.stdout.splitlines()]
    assert [one.question for one in answers] == [CALF, "Is it shown in pregnant women?", "And why?"]
    assert "calf" in answers[1].searched
    assert answers[2].searched == ""
    assert re.findall("radrag: (.*)", result.stderr) == [
        f"unknown command /odd; there are {HELP}",
        "age must be a number",
    ]


def test_a_conversation_in_forms(index: Path) -> None:
    yes = "Does ultrasound show a clot in the leg veins?"
    typed = [yes, "/form factoid", CALF, "/form A=Ultrasound B=CT = x-rays", CALF, "/form A=x A=y", "/form essay", CALF]
    lines = "\n".join([*typed, "/form", CALF])
    result = CliRunner().invoke(app, ["ask", str(index), "--chat", "--json", "--form", "yesno"], input=lines)
    assert result.exit_code == 0
    answers = [Answer.from_dict(json.loads(line)) for line in result.stdout.splitlines()]
    assert [one.manifest.get("form") for one in answers] == ["yesno", "factoid", "choice", "choice", None]
    assert answers[0].value == answers[0].verdict.answer if answers[0].verdict else False
    assert [bool(one.unread) for one in answers] == [False, True, True, True, False]
    errors = re.findall("radrag: (.*)", result.stderr)
    assert len(errors) == 2
    assert "A is given twice" in errors[0]
    assert "got 'essay'" in errors[1]


def test_a_source_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    with HybridIndex.create(tmp_path / "index") as made:
        made.add([Document("evil", f"{DOCUMENTS[0].text[:-1]}\x1b[2J\x9b1A\x07 \x1b]0;x\x07.", "Leg veins")])
    for style in ("text", "markdown"):
        text = run("ask", tmp_path / "index", CALF, "--format", style)
        assert "\ufffd[2J" in text.replace("\\", "")
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)


EVIL = "\x1b[2J\x1b]0;pwn\x07 \x9b1A \u202egnirts\u2066 \u2028 \ufeff\x7f"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evil") / "index"
    with HybridIndex.create(folder) as made:
        made.add([Document("evil", f"{DOCUMENTS[0].text[:-1]} {EVIL}.", f"Leg {EVIL}")])
    return folder


@pytest.mark.parametrize("style", list(Format))
def test_no_format_of_an_answer_passes_a_control_on(evil: Path, style: Format) -> None:
    text = run("ask", evil, CALF, "--format", style)
    assert "gnirts" in text or style is Format.BIBTEX
    assert not RAW.search(text)


def test_what_a_search_finds_cannot_write_to_the_terminal(evil: Path) -> None:
    text = run("index", "search", evil, CALF)
    assert text.count("\ufffd[2J\ufffd]0;pwn\ufffd") == 2  # title and text
    assert not RAW.search(text)
    plain = run("index", "search", evil, CALF, "--json")
    assert not RAW.search(plain)
    assert EVIL in json.loads(plain)[0]["passage"]["text"]  # nothing is lost


def test_answers_of_a_conversation_in_json_hold_no_control(evil: Path) -> None:
    plain = run("ask", evil, "--chat", "--json", typed=CALF)
    assert not RAW.search(plain)
    assert "\u202e" in json.dumps(json.loads(plain), ensure_ascii=False)


def test_what_every_verb_prints_is_made_visible(capsys: pytest.CaptureFixture[str]) -> None:
    show({}, f"a\tb\n{EVIL}é", as_json=False)
    text = capsys.readouterr().out
    assert text.startswith("a\tb\n\ufffd[2J")
    assert text.endswith("é\n")
    assert not RAW.search(text)
    show({EVIL: [EVIL]}, "", as_json=True)
    plain = capsys.readouterr().out
    assert not RAW.search(plain)
    assert json.loads(plain) == {EVIL: [EVIL]}


def test_errors_that_quote_a_file_are_made_visible(tmp_path: Path, evil: Path) -> None:
    result = CliRunner().invoke(app, ["index", "add", str(evil), str(tmp_path / f"{EVIL}.md")])
    assert result.exit_code == 1
    assert "\ufffd[2J" in result.stderr
    assert not RAW.search(result.stderr)


def test_forms_as_they_are_typed() -> None:
    assert form_of("list") == ("list", {})
    assert form_of("") == (None, {})
    assert form_of("A=low-dose CT  B=MRI = b") == (None, {"A": "low-dose CT", "B": "MRI = b"})
    assert form_of("choice A=CT B=MRI") == ("choice", {"A": "CT", "B": "MRI"})
    for wrong in ("choice", "A=CT", "list A=CT B=MRI", "essay"):
        with pytest.raises(ValueError, match=r"two options|options belong|form must be"):
            form_of(wrong)


def test_a_conversation_may_begin_with_a_question(index: Path) -> None:
    text = run("ask", index, CALF, "--chat", typed="/patient age=4 sex=male\nWhat shows its clot?")
    assert text.count("Q: ") == 2
    assert "Read as: What shows its clot? (" in text


def test_what_is_wrong_usage(index: Path) -> None:
    assert "a question is needed" in run("ask", index, code=2)
    assert "--chat prints" in run("ask", index, "--chat", "--format", "html", code=2)
    assert "--format" in run("ask", index, CALF, "--format", "pdf", code=2)


def test_facts_as_they_are_typed() -> None:
    typed = "age=34 sex=female pregnant=yes egfr=25.5 allergy=iodinated contrast allergy=latex prior=CT abdomen 2023"
    assert patient(typed) == Patient(34, "female", True, 25.5, ("iodinated contrast", "latex"), ("CT abdomen 2023",))
    assert patient("pregnant=no") == Patient(pregnant=False)
    assert patient("  ") is None
    before = Patient(34, "female", True, allergies=("latex",))
    assert patient("egfr=25 age=35", before) == Patient(35, "female", True, 25, ("latex",))
    assert patient("", before) == before
    assert patient("none", before) is None
    with pytest.raises(ValueError, match="given twice"):
        patient("age=34 age=70")
    for wrong in ("34", "name=Ann", "pregnant=maybe", "sex=x"):
        with pytest.raises(ValueError, match=r"name=value|cannot read|sex must be|yes or no") as caught:
            patient(wrong)
        assert "Ann" not in str(caught.value)
