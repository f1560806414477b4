import pytest

from radrag.errors import ModelError
from radrag.generation.scripted import ScriptedGenerator
from radrag.types import GenerationParams, Message

A, B = (Message("user", "a"),), (Message("user", "b"),)


def test_replies_in_order_and_chats_kept() -> None:
    generator = ScriptedGenerator(["one", "two"])
    assert [reply.text for reply in generator.generate([A, B])] == ["one", "two"]
    assert generator.chats == [A, B]


def test_function_of_the_chat() -> None:
    generator = ScriptedGenerator(lambda chat: chat[-1].content.upper())
    assert [reply.text for reply in generator.generate([B, A])] == ["B", "A"]


def test_stop_string_cuts() -> None:
    assert ScriptedGenerator(["one\ntwo"]).generate([A], GenerationParams(stop=("\n",)))[0].text == "one"


def test_script_that_ran_out() -> None:
    with pytest.raises(ModelError, match="1 replies"):
        ScriptedGenerator(["one"]).generate([A, B])


def test_one_text_is_not_a_script() -> None:
    with pytest.raises(TypeError, match="'one'"):
        ScriptedGenerator("one")
