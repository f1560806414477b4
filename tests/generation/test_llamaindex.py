from typing import Any

import pytest

from radrag.errors import ModelError
from radrag.types import GenerationParams, Message

llms = pytest.importorskip("llama_index.core.llms")

from radrag.generation.llamaindex import LlamaIndexGenerator  # noqa: E402

CHAT = (Message("system", "Be short."), Message("user", "Say hello"))


class Recorder:
    def __init__(self, raw: Any = None) -> None:
        self.raw, self.seen = raw, []

    def chat(self, messages: Any, **kwargs: Any) -> Any:
        self.seen.append((messages, kwargs))
        message = llms.ChatMessage(role="assistant", content="hello\nworld")
        return llms.ChatResponse(message=message, raw=self.raw)


def test_mock_llm_echoes_the_prompt() -> None:
    reply = LlamaIndexGenerator(llms.MockLLM()).generate([CHAT, CHAT])
    assert len(reply) == 2
    assert "Say hello" in reply[0].text


def test_roles_and_keywords_reach_the_llm() -> None:
    llm = Recorder()
    generator = LlamaIndexGenerator(llm, kwargs=lambda params: {"max_tokens": params.max_new_tokens})
    assert generator.generate([CHAT], GenerationParams(max_new_tokens=7))[0].text == "hello\nworld"
    messages, keywords = llm.seen[0]
    assert [(message.role.value, message.content) for message in messages] == [
        ("system", "Be short."),
        ("user", "Say hello"),
    ]
    assert keywords == {"max_tokens": 7}


def test_stop_string_cuts() -> None:
    reply = LlamaIndexGenerator(Recorder()).generate([CHAT], GenerationParams(stop=("\n",)))[0]
    assert (reply.text, reply.finished) == ("hello", True)


@pytest.mark.parametrize("raw", [{"choices": [{"finish_reason": "length"}]}, {"done_reason": "length"}])
def test_reply_cut_by_the_server_is_not_finished(raw: Any) -> None:
    assert not LlamaIndexGenerator(Recorder(raw)).generate([CHAT])[0].finished


def test_remote_unless_declared_local() -> None:
    assert not LlamaIndexGenerator(llms.MockLLM()).local
    assert LlamaIndexGenerator(llms.MockLLM(), local=True).local
    assert LlamaIndexGenerator(llms.MockLLM()).fingerprint.startswith("llama-index:MockLLM:")


def test_failure_names_the_chat() -> None:
    class Broken(llms.MockLLM):
        def chat(self, messages: Any, **kwargs: Any) -> Any:
            raise ConnectionError("refused")

    with pytest.raises(ModelError, match="Broken failed at chat 0: refused"):
        LlamaIndexGenerator(Broken()).generate([CHAT])


def test_other_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="got str"):
        LlamaIndexGenerator("gpt")
