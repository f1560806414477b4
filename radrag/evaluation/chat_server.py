"""A generator at an OpenAI-compatible address that the user names."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from radrag.evaluation.judge import JudgeFailure
from radrag.types import Chat, Generation, GenerationParams

_LARGEST = 8_000_000  # bytes of a server's reply; more is no judgement
_BUSY = frozenset({408, 425, 429})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: texts and key would go where nobody sent them."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Return None, which makes the reply an error."""
        return


class ChatServer:
    """A ``Generator`` at an OpenAI-compatible address, such as vLLM, Ollama, llama.cpp or a paid service.

    There is no default address and no key is looked for: both are named by the caller.

    Args:
        url: Address up to and with the version, such as ``"http://127.0.0.1:8000/v1"``.
        model: Name of the model there.
        key_env: Name of the environment variable that holds the key; None sends none.
        timeout: Seconds without a byte after which a connection is dropped.
        local: Whether texts stay in this house there, and so go as they are; by default on this machine only.

    Raises:
        ValueError: If the address is none, or the variable is not set.
    """

    concurrent = True

    def __init__(
        self, url: str, model: str, *, key_env: str | None = None, timeout: float = 60.0, local: bool | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ValueError(f"url must be an address such as 'http://127.0.0.1:8000/v1', got {url!r}")
        if not model:
            raise ValueError("model must name the model that the server shall use, got ''")
        if key_env is not None and not os.environ.get(key_env):
            raise ValueError(f"key_env names the environment variable {key_env!r}, which is not set; set it to the key")
        self._url, self._model, self._key_env, self._timeout = url.rstrip("/"), model, key_env, timeout
        here = parts.hostname in ("127.0.0.1", "localhost", "::1")
        # A proxy from the environment must not see what is meant for this machine.
        self._opener = urllib.request.build_opener(_NoRedirect, *([urllib.request.ProxyHandler({})] if here else []))
        self.local = here if local is None else local

    @property
    def fingerprint(self) -> str:
        """Address and model name; the weights behind a server cannot be seen from here."""
        return f"server:{self._url}:{self._model}"

    def generate(self, chats: Sequence[Chat], params: GenerationParams | None = None) -> list[Generation]:
        """Write the next turn of each chat, one request each.

        Raises:
            JudgeFailure: If the server gives no usable reply.
        """
        return [self._one(chat, params or GenerationParams()) for chat in chats]

    def _one(self, chat: Chat, params: GenerationParams) -> Generation:
        body: dict[str, Any] = {
            "model": self._model, "messages": [{"role": turn.role, "content": turn.content} for turn in chat],
            "temperature": params.temperature, "max_tokens": params.max_new_tokens, "seed": params.seed,
        }  # fmt: skip
        if params.stop:
            body["stop"] = list(params.stop)
        headers = {"Content-Type": "application/json"}
        if self._key_env is not None:
            headers["Authorization"] = f"Bearer {os.environ.get(self._key_env, '')}"
        request = urllib.request.Request(f"{self._url}/chat/completions", json.dumps(body).encode(), headers)
        return _generation(self._sent(request))

    def _sent(self, request: urllib.request.Request) -> bytes:
        try:
            with self._opener.open(request, timeout=self._timeout) as reply:
                content: bytes = reply.read(_LARGEST + 1)
        except urllib.error.HTTPError as error:
            error.close()
            kind = "unreachable" if error.code in _BUSY or error.code >= 500 else "refused"
            raise JudgeFailure(kind, f"{self._url} answered {error.code} {error.reason}") from error
        except TimeoutError as error:
            raise JudgeFailure("timeout", f"{self._url} sent nothing for {self._timeout:g} s") from error
        except (OSError, ValueError, HTTPException) as error:
            late = isinstance(getattr(error, "reason", None), TimeoutError)
            raise JudgeFailure("timeout" if late else "unreachable", f"{self._url}: {error}") from error
        if len(content) > _LARGEST:
            raise JudgeFailure("wrong shape", f"the server's reply is longer than {_LARGEST:,} bytes")
        return content


def _generation(content: bytes) -> Generation:
    """Read a chat completion."""
    try:
        reply = json.loads(content)
    except ValueError as error:
        raise JudgeFailure("broken JSON" if content.strip() else "empty", "the server's reply is no JSON") from error
    try:
        choice = reply["choices"][0]
        message, ended = choice["message"], choice.get("finish_reason")
        text = message.get("content") or ""
        usage = reply.get("usage") or {}
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise JudgeFailure("wrong shape", "the server's reply is no chat completion") from error
    if not isinstance(text, str):
        raise JudgeFailure("wrong shape", f"the reply's content must be text, got {type(text).__name__}")
    if message.get("refusal") or ended == "content_filter":
        raise JudgeFailure("refused", str(message.get("refusal") or "the server's content filter stopped the reply"))
    known = [count if isinstance(count, int) and count >= 0 else None for count in counts]
    return Generation(text, ended != "length", known[0], known[1])
