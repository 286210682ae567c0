"""A usual chat request and one that goes aiohttp's road get the same answer, whatever the request and the settings are."""

from __future__ import annotations

from typing import Any

import pytest

from cheaprouter.core.events import RequestCompleted
from tests.builders import a_body
from tests.builders_house import make_house
from tests.doors.wire import PEER, a_post, lines

SMALL = a_body(model="lab/small")
STREAM = {**SMALL, "stream": True}
DEEP = b'{"model": "lab/small", "messages": [{"role": "user", "content": "hi"}], "x": %s}' % (b"[" * 300 + b"]" * 300)

TRUSTED = {"http": {"trusted_proxies": [PEER]}}

ODD_CALL = {
    "role": "assistant",
    "tool_calls": [{"id": "c", "type": ["function"], "function": {"name": "f", "arguments": "{}"}}],
}

# Of each: a name, the status, the body, the headers (None: none of that name), settings.
CASES: list[tuple[str, int, Any, dict[str, Any], dict[str, Any]]] = [
    ("a whole answer", 200, SMALL, {}, {}),
    ("a whole answer in a path without v1", 200, SMALL, {"path": "/chat/completions"}, {}),
    ("a stream", 200, STREAM, {}, {}),
    ("a stream with usage", 200, {**STREAM, "stream_options": {"include_usage": True}}, {}, {}),
    ("a profile", 200, a_body(model="blockrun/auto"), {}, {}),
    ("limits in headers", 200, SMALL, {}, {"devices": {"defaults": {"rpm": 60, "tpm": 100000}}}),
    ("a device by its address", 200, SMALL, {"X-Device-ID": None}, {}),
    ("a placeholder for a key", 200, SMALL, {"Authorization": "Bearer sk-placeholder"}, {}),
    ("a wrong key of ours", 401, SMALL, {"Authorization": "Bearer cr-wrong"}, {}),
    ("no key where one is needed", 401, SMALL, {}, {"auth": "keys"}),
    ("a wrong key where one is needed", 401, SMALL, {"Authorization": "Bearer sk-other"}, {"auth": "keys"}),
    ("a key and a bad body: the key is told", 401, b"{", {"Authorization": "Bearer cr-wrong"}, {}),
    ("a name of the home", 200, SMALL, {"Host": "pi.lan"}, {}),
    ("a stranger's name", 403, SMALL, {"Host": "evil.com"}, {}),
    ("a stranger's name that is allowed", 200, SMALL, {"Host": "evil.com"}, {"http": {"allowed_hosts": ["evil.com"]}}),
    ("a stranger's name where keys are needed", 401, SMALL, {"Host": "evil.com"}, {"auth": "keys"}),
    ("a proxy that nobody trusts", 200, SMALL, {"X-Device-ID": None, "X-Forwarded-For": "192.168.1.99"}, {}),
    ("a proxy", 200, SMALL, {"X-Device-ID": None, "X-Forwarded-For": "192.168.1.99"}, TRUSTED),
    ("a proxy of the standard", 200, SMALL, {"X-Device-ID": None, "Forwarded": 'for="[2001:db8::7]:5"'}, TRUSTED),
    ("a proxy that writes junk", 200, SMALL, {"X-Device-ID": None, "X-Forwarded-For": "1.2.3.4, junk"}, TRUSTED),
    ("no key by a proxy", 401, SMALL, {"X-Forwarded-For": "192.168.1.99"}, TRUSTED | {"auth": "keys"}),
    (
        "a limit of who is behind a proxy",
        429,
        SMALL,
        {"X-Device-ID": None, "X-Forwarded-For": "192.168.1.99"},
        TRUSTED | {"devices": {"lan-192.168.1.99": {"enabled": False}}},
    ),
    ("no name", 400, SMALL, {"Host": None}, {}),
    ("a page of this site", 200, SMALL, {"Origin": "http://192.168.1.2:4000"}, {}),
    ("a page of another site", 403, SMALL, {"Origin": "http://evil.com"}, {}),
    ("a header of ingress", 400, SMALL, {"X-Remote-User-Id": "1"}, {}),
    ("no content type", 200, SMALL, {"Content-Type": None}, {}),
    ("JSON in UTF-8", 200, SMALL, {"Content-Type": "application/json; charset=utf-8"}, {}),
    ("a content type of odd bytes", 415, SMALL, {"Content-Type": "appli\udcff\udcfe"}, {}),
    ("a call whose type is no word", 200, {**SMALL, "messages": [ODD_CALL, *SMALL["messages"]]}, {}, {}),
    ("another content type", 415, SMALL, {"Content-Type": "text/plain"}, {}),
    ("a body packed in a way that nobody here knows", 415, SMALL, {"Content-Encoding": "compress"}, {}),
    ("a body packed twice", 415, SMALL, {"Content-Encoding": "gzip, gzip"}, {}),
    ("a body that is not packed, and says so", 200, SMALL, {"Content-Encoding": "identity"}, {}),
    ("too much, as announced", 413, b"", {"Content-Length": str(65 << 20)}, {}),
    ("a length that is none", 400, SMALL, {"Content-Length": "5x"}, {}),
    ("a negative length", 400, SMALL, {"Content-Length": "-5"}, {}),
    ("no body", 400, b"", {}, {}),
    ("half of JSON", 400, b'{"model": ', {}, {}),
    ("bytes that are no text", 400, b"\xff\xfe", {}, {}),
    ("an array", 400, b"[]", {}, {}),
    ("JSON nested too deeply", 400, DEEP, {}, {}),
    ("no model", 400, {"messages": SMALL["messages"]}, {}, {}),
    ("no messages", 400, {"model": "lab/small", "messages": []}, {}, {}),
    ("a wrong role", 400, {"model": "lab/small", "messages": [{"role": "x"}]}, {}, {}),
    ("a wrong type", 400, {**SMALL, "max_tokens": "many"}, {}, {}),
    ("a number too small", 400, {**SMALL, "max_tokens": 0}, {}, {}),
    ("no limit", 200, {**SMALL, "max_tokens": -1}, {}, {}),
    ("empty tools", 200, {**SMALL, "tools": [], "tool_choice": "auto", "stop": []}, {}, {}),
    ("a stream's options without a stream", 200, {**SMALL, "stream_options": {"include_usage": True}}, {}, {}),
    ("a body of the Responses API", 200, {"model": "lab/small", "input": "hi"}, {}, {}),
    (
        "a number beyond all bounds",
        400,
        b'{"model":"lab/small","messages":[{"role":"user","content":"hi"}],"n":1e30}',
        {},
        {},
    ),
    (
        "a number that is none",
        400,
        b'{"model":"lab/small","messages":[{"role":"user","content":"hi"}],"top_p":NaN}',
        {},
        {},
    ),
    ("an unknown model", 404, a_body(model="lab/nothing"), {}, {}),
    ("a device that is switched off", 429, SMALL, {}, {"devices": {"kitchen": {"enabled": False}}}),
    ("a model that is not allowed", 403, SMALL, {}, {"devices": {"kitchen": {"models": ["lab/big"]}}}),
    ("a newcomer past the limit", 200, SMALL, {}, {"max_devices": 1, "devices": {"hall": {"rpm": 5}}}),
    ("a budget that is too small", 429, SMALL, {}, {"devices": {"kitchen": {"daily_budget": 0.000001}}}),
]


async def both(folder, request: dict[str, Any], settings: dict[str, Any], times: int = 1):
    """What either road answers in a house of its own, what was booked there, and how many went the short road."""
    found = []
    for usual in (True, False):
        booked: list[Any] = []
        async with make_house(folder / str(usual), **settings) as home, lines(home.control) as api:
            home.bus.on(lambda _, to=booked: to.append(home.house.recorder.recent(1)[0]), RequestCompleted)
            answers = await api.ask(*[a_post(**request, usual=usual)] * times)
        found.append((answers, [(r.device_id, r.status, r.error) for r in booked], api.short))
    return found


@pytest.mark.parametrize(("status", "body", "headers", "settings"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
async def test_both_roads_give_the_same_answer_and_book_the_same(tmp_path, status, body, headers, settings):
    headers = dict(headers)
    request = {"body": body, "path": headers.pop("path", "/v1/chat/completions"), "headers": headers}
    (short, booked, _), (long, booked_too, by_mistake) = await both(tmp_path, request, settings)
    assert [answer.status for answer in short] == [status]
    assert [answer.same() for answer in short] == [answer.same() for answer in long]
    assert booked == booked_too
    assert by_mistake == 0


async def test_who_is_behind_a_proxy_is_known_by_its_own_address_on_both_roads(tmp_path):
    async with make_house(tmp_path, **TRUSTED) as home, lines(home.control) as api:
        sent = [
            a_post(SMALL, {"X-Device-ID": None, "X-Forwarded-For": f"192.168.1.{n}"}, usual=usual)
            for usual in (True, False)
            for n in (20, 21)
        ]
        await api.ask(*sent)  # all on one connection, as a proxy keeps it
        devices = [record.device_id for record in home.house.recorder.recent(4)]
        assert api.short == 2
        assert sorted(devices) == ["lan-192.168.1.20", "lan-192.168.1.20", "lan-192.168.1.21", "lan-192.168.1.21"]
        await home.reconfigure(http={})
        await api.ask(sent[0])
        assert home.house.recorder.recent(1)[0].device_id == f"lan-{PEER}"


async def test_both_roads_refuse_with_the_same_limits(tmp_path):
    request = {"body": SMALL}
    (short, *_), (long, *_) = await both(tmp_path, request, {"devices": {"defaults": {"rpm": 1}}}, times=2)
    assert [answer.status for answer in short] == [answer.status for answer in long] == [200, 429]
    names = [[name for name, _ in answer.headers] for answer in short]
    assert names == [[name for name, _ in answer.headers] for answer in long]
    assert {"retry-after", "x-ratelimit-limit-requests", "x-request-id"} <= set(names[1])


@pytest.mark.parametrize(
    ("headers", "usual"),
    [
        ({}, True),
        ({"content-length": None}, True),
        ({"Connection": "keep-alive"}, True),
        ({"Connection": "close"}, False),
        ({"Origin": "http://192.168.1.2:4000"}, False),
        ({"Expect": "100-continue"}, False),
        ({"Content-Encoding": "identity"}, False),
        ({"Upgrade": "h2c"}, False),
        ({"X-Remote-User-Id": "1"}, False),
        ({"Content-Type": "text/plain"}, False),
        ({"Host": "evil.com"}, False),
        ({"X-Long": "x" * 5000}, False),
    ],
)
async def test_only_a_usual_head_takes_the_short_road(api, headers, usual):
    await api.ask(a_post(SMALL, headers))
    assert api.short == usual


async def test_the_lower_case_of_http_clients_is_usual_too(api):
    await api.ask(a_post(SMALL).replace(b"Content-Length", b"content-length"))
    assert api.short == 1


SMUGGLING = {
    "two lengths": b"Content-Length: 5\r\nContent-Length: %d\r\n",
    "the same length twice": b"Content-Length: %d\r\nContent-Length: %d\r\n",
    "a length and chunks": b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n",
    "a length after chunks": b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n",
    "a space before the colon": b"Content-Length : %d\r\n",
    "a folded length": b"Content-Length: \r\n %d\r\n",
    "a length with a fold after it": b"Content-Length: %d\r\n 7\r\n",
    "a bare line end": b"X: y\nContent-Length: %d\r\n",
    "a plus": b"Content-Length: +%d\r\n",
    "a nought in a header": b"X: a\x00b\r\nContent-Length: %d\r\n",
    "a length in a value": b"X: a\rContent-Length: 5\r\nContent-Length: %d\r\n",
}


@pytest.mark.parametrize("shape", SMUGGLING.values(), ids=SMUGGLING)
async def test_what_is_ambiguous_is_left_to_aiohttp_even_when_seen_again(api, shape):
    request = a_post(SMALL)
    head, _, body = request.partition(b"\r\n\r\n")
    lines_of = shape % ((len(body),) * shape.count(b"%d"))
    kept = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length"))
    for _ in range(2):
        await api.ask(kept + b"\r\n" + lines_of + b"\r\n" + body)
    assert api.short == 0
