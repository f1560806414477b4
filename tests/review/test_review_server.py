"""The review screen's server, asked as a browser would and as an attacker would."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fake_review import ATTACK, LABELS, NOTES, made_queue

from radrag.cli.review_server import TOKEN, ReviewServer
from radrag.cli.review_session import ReviewSession
from radrag.labelling.loop import read_decisions

JSON = {"Content-Type": "application/json"}


def ask(
    server: ReviewServer,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    token: str | None = None,
) -> tuple[int, Any, Mapping[str, str]]:
    """Return status, body and headers; the token goes along unless another is given."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    sent = {TOKEN: server.token if token is None else token, **(JSON if body is not None else {}), **(headers or {})}
    sent = {name: value for name, value in sent.items() if value}
    text = body if isinstance(body, str | None) else json.dumps(body)
    connection.request("GET" if body is None else "POST", path, text, sent)
    answer = connection.getresponse()
    content = answer.read().decode("utf-8")
    connection.close()
    kind = answer.headers.get_content_type()
    return answer.status, json.loads(content) if kind == "application/json" else content, dict(answer.headers)


def decision(note: str, action: str, right: str = "", reason: str = "") -> dict[str, str]:
    return {"note_id": note, "action": action, "right": right, "reason": reason}


def test_a_review_from_start_to_export(server: ReviewServer, decisions: Path) -> None:
    status, state, _ = ask(server, "/api/state")
    assert (status, state["reviewer"], state["total"], state["done"]) == (200, "Dr. Ada", 3, 0)
    assert [label["id"] for label in state["labels"]] == list(LABELS.ids)
    assert set(state["waiting"]) == {"n1", "n2", "n3"}
    _, note, _ = ask(server, "/api/note?id=n1")
    assert (note["given"], note["suggested"], note["rivals"][0]) == ("ct-head", "ct-stone", ["ct-stone", 0.9])
    assert "".join(piece["text"] for piece in note["pieces"]) == NOTES[0].text
    assert [piece["text"] for piece in note["pieces"] if piece["mark"]] == ["renal colic"]  # behind an astral character
    assert ask(server, "/api/decide", decision("n1", "accept", "ct-stone", " clear "))[1]["done"] == 1
    assert ask(server, "/api/decide", decision("n3", "skip"))[1]["done"] == 1
    told = ask(server, "/api/decide", decision("n2", "correct", "xr-chest"))[1]
    assert (told["done"], told["waiting"]) == (2, ["n3"])
    assert ask(server, "/api/undo", {})[1]["undone"] == "n2"
    assert ask(server, "/api/undo", {})[1]["undone"] == "n3"
    assert ask(server, "/api/decide", decision("n2", "unsure"))[1]["done"] == 2
    _, text, headers = ask(server, "/api/export")
    kept = [json.loads(line) for line in text.splitlines()]
    assert {row["note_id"]: (row["action"], row["right"]) for row in kept} == {
        "n1": ("accept", "ct-stone"),
        "n2": ("unsure", ""),
    }
    assert kept[0]["reviewer"] == "Dr. Ada"
    assert headers["Content-Type"].startswith("application/x-ndjson")
    made = read_decisions(decisions)
    assert [one.action.value for one in made] == ["accept", "skip", "correct", "undo", "undo", "unsure"]
    assert (made[0].reason, made[0].given, made[0].note) == ("clear", "ct-head", NOTES[0].text)


def test_it_goes_on_where_it_was_left(server: ReviewServer, decisions: Path) -> None:
    ask(server, "/api/decide", decision("n1", "accept", "ct-stone"))
    ask(server, "/api/decide", decision("n2", "correct", "xr-chest"))
    ask(server, "/api/undo", {})
    again = ReviewSession(made_queue(), decisions, "  Dr.  Ada ")
    assert (again.state()["done"], again.note("n2")["decision"]) == (1, None)
    assert again.note("n1")["decision"]["right"] == "ct-stone"
    assert again.undo()["undone"] == "n1"
    assert again.undo()["undone"] is None
    assert ReviewSession(made_queue(), decisions, "Dr. Bo").state()["done"] == 0


@pytest.mark.parametrize("path", ["/api/state", "/api/note?id=n1", "/api/export", "/api/none"])
def test_data_needs_the_token(server: ReviewServer, path: str) -> None:
    for token in ("", "wrong", server.token[:-1], "ä"):
        status, told, _ = ask(server, path, token=token.encode().decode("latin-1"))
        assert status == 403
        assert "renal colic" not in str(told)


def test_decisions_need_the_token_and_the_page(server: ReviewServer, decisions: Path) -> None:
    body = decision("n1", "accept", "ct-stone")
    assert ask(server, "/api/decide", body, token="wrong")[0] == 403
    assert ask(server, "/api/decide", body, {"Origin": "http://evil.example"})[0] == 403
    assert ask(server, "/api/decide", body, {"Origin": "null"})[0] == 403
    assert ask(server, "/api/decide", body, {"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert ask(server, "/api/decide", body, {"Content-Type": "text/plain"})[0] == 415
    assert not decisions.exists()
    assert ask(server, "/api/decide", body, {"Origin": server.origin, "Sec-Fetch-Site": "same-origin"})[0] == 200
    assert decisions.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", ""])
def test_a_name_that_only_resolves_here_is_refused(server: ReviewServer, host: str) -> None:
    for path in ("/", "/api/state"):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
        connection.putrequest("GET", path, skip_host=True)
        if host:
            connection.putheader("Host", host)
        connection.putheader(TOKEN, server.token)
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 421
        assert b"renal" not in answer.read()
        connection.close()


def test_only_this_machine_is_listened_to(server: ReviewServer) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.socket.family is socket.AF_INET
    assert len(server.token) >= 40
    with ReviewServer(server.session) as other:
        assert other.token != server.token


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/api/state", "/api/note?id=n1", "/nothing"])
def test_nothing_is_kept_and_nothing_foreign_loads(server: ReviewServer, path: str) -> None:
    headers = ask(server, path)[2]
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert "Set-Cookie" not in headers
    assert "Access-Control-Allow-Origin" not in headers
    assert "Python" not in headers["Server"]


def test_the_page_names_no_other_server_and_makes_no_markup_of_text(server: ReviewServer) -> None:
    pages = {path: ask(server, path, token="")[1] for path in ("/", "/page.css", "/page.js")}
    for text in pages.values():
        assert "//" not in text.replace("// ", "").replace("<!--", "")
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert way not in pages["/page.js"]
    assert " style=" not in pages["/"]
    assert re.search(r"\son\w+\s*=", pages["/"]) is None


def test_markup_in_a_note_stays_text(server: ReviewServer) -> None:
    _, note, headers = ask(server, "/api/note?id=n2")
    assert ATTACK in note["text"]
    assert headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ("{", 400, "Expecting"),
        ([1], 400, "object of texts"),
        ({"note_id": "n1", "action": "accept", "right": 1, "reason": ""}, 400, "object of texts"),
        (decision("n1", "accept", "ct-unknown"), 400, "not among the 5 labels"),
        (decision("n1", "accept", "us-leg"), 400, "accept repeats the suggestion"),
        (decision("n1", "correct", "ct-stone"), 400, "correct names another"),
        (decision("n1", "unsure", "ct-stone"), 400, "does not go with"),
        (decision("n1", "correct"), 400, "does not go with"),
        (decision("n1", "undo"), 400, "undo"),
        (decision("n1", "delete"), 400, "delete"),
        (decision("n9", "skip"), 404, "no note 'n9'"),
        (decision("n1", "skip", "", "x" * 2001), 400, "2001 characters"),
        ("x" * 70_000, 413, "at most"),
    ],
)
def test_a_wrong_decision_is_refused_and_not_kept(
    server: ReviewServer, decisions: Path, body: Any, status: int, told: str
) -> None:
    given, answer, _ = ask(server, "/api/decide", body)
    assert given == status
    assert told in answer["error"]
    assert not decisions.exists()
    assert ask(server, "/api/state")[1]["done"] == 0


def test_a_disk_that_is_full_is_told_and_nothing_is_counted(
    server: ReviewServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, decision: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("radrag.cli.review_session.append_decision", full)
    status, told, _ = ask(server, "/api/decide", decision("n1", "accept", "ct-stone"))
    assert status == 500
    assert "not kept" in told["error"]
    assert ask(server, "/api/state")[1]["done"] == 0


def test_a_refused_body_does_not_become_the_next_request(server: ReviewServer) -> None:
    smuggled = f"GET /api/state HTTP/1.1\r\nHost: 127.0.0.1:{server.server_address[1]}\r\n\r\n"
    request = (
        f"POST /api/decide HTTP/1.1\r\nHost: 127.0.0.1:{server.server_address[1]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: 70000\r\n{TOKEN}: {server.token}\r\n\r\n{smuggled}"
    )
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=10) as raw:
        raw.sendall(request.encode())
        raw.shutdown(socket.SHUT_WR)
        content = b"".join(iter(lambda: raw.recv(65536), b""))
    assert content.count(b"HTTP/1.1 ") == 1


def test_a_session_needs_a_name_and_notes(decisions: Path) -> None:
    with pytest.raises(ValueError, match="must have a name"):
        ReviewSession(made_queue(), decisions, "  ")
    queue = made_queue()
    with pytest.raises(ValueError, match="no notes"):
        ReviewSession(type(queue)((), queue.labels), decisions, "Ada")
