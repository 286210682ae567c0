"""Each provider's deviations, as they show on the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cheaprouter.config.kinds import CLOUD, KINDS, LOCAL, LOCAL_PORTS, MOCK, NEEDS_URL, Timeouts
from cheaprouter.config.references import Hidden
from cheaprouter.config.settings import ProviderSettings
from cheaprouter.core.models import Model
from cheaprouter.providers.adapter import Adapter
from cheaprouter.providers.adapters import adapter_for
from cheaprouter.providers.completion import Completion
from cheaprouter.wire.openai_chat.quirks import DUMMY_SIGNATURE
from cheaprouter.wire.openai_chat.request import parse
from tests.builders import a_chat


def adapter(kind: str, **more: Any) -> Adapter:
    return adapter_for(ProviderSettings("p", kind, **{"api_keys": ("key-1",), **more}))


def sent(kind: str, upstream: str = "m", learned: dict[str, str | None] | None = None, **body: Any) -> dict[str, Any]:
    request = a_chat("hi", "p/m", **body)
    before = json.dumps(request.body)
    wire = adapter(kind).prepare(request, Model("p/m", "p", upstream), "key-1", learned or {})
    assert json.dumps(request.body) == before, "the client's body must not be changed"
    return dict(json.loads(wire.body or b""))


def test_every_kind_has_its_row():
    assert set(KINDS) == {*CLOUD, *LOCAL, MOCK}
    assert {name for name, kind in KINDS.items() if kind.local} == {*LOCAL, MOCK}
    assert NEEDS_URL == ("azure",)
    assert LOCAL_PORTS == {11434: "ollama", 1234: "lmstudio", 8080: "llamacpp", 8000: "vllm"}


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("openai", "https://api.openai.com/v1/chat/completions"),
        ("gemini", "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"),
        ("deepseek", "https://api.deepseek.com/chat/completions"),
        ("groq", "https://api.groq.com/openai/v1/chat/completions"),
        ("openrouter", "https://openrouter.ai/api/v1/chat/completions"),
        ("zai", "https://api.z.ai/api/paas/v4/chat/completions"),
        ("blockrun", "https://api.blockrun.ai/v1/chat/completions"),
        ("ollama", "http://127.0.0.1:11434/v1/chat/completions"),
    ],
)
def test_addresses(kind, url):
    assert (
        adapter(kind)
        .prepare(parse({"model": "m", "messages": [{"role": "user"}]}), Model("p/m", "p", "m"), None, {})
        .url
        == url
    )


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("ollama", "http://nas:11434", "http://nas:11434/v1"),
        ("ollama", "http://nas:11434/v1/", "http://nas:11434/v1"),
        ("azure", "https://me.openai.azure.com", "https://me.openai.azure.com/openai/v1"),
        ("anthropic", "http://proxy:1", "http://proxy:1/v1"),
        ("openai", "http://127.0.0.1:9100/v1", "http://127.0.0.1:9100/v1"),
        ("openai", "http://host/custom/path", "http://host/custom/path"),
    ],
)
def test_a_bare_host_gets_the_usual_path(kind, given, expected):
    assert adapter(kind, base_url=given).base_url == expected


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        ("openai", ("Authorization", "Bearer key-1")),
        ("azure", ("api-key", "key-1")),
        ("anthropic", ("x-api-key", "key-1")),
    ],
)
def test_the_key_goes_where_it_is_wanted(kind, header):
    wire = adapter(kind, base_url="https://x.example/v1").models_request("key-1")
    assert wire is not None
    assert wire.headers[header[0]] == header[1]


def test_the_users_own_headers_win():
    wire = adapter("openai", headers={"authorization": "Custom 1", "X-Title": "home"}).models_request("key-1")
    assert wire is not None
    assert {k.lower(): v for k, v in wire.headers.items()} == {
        "authorization": "Custom 1",
        "x-title": "home",
        "content-type": "application/json",
    }


def test_local_servers_may_take_their_time():
    assert adapter("ollama").timeouts.first_token > adapter("openai").timeouts.first_token
    assert adapter("ollama", timeouts=Timeouts(first_token=1)).timeouts.first_token == 1
    assert adapter("ollama").local
    assert not adapter("ollama", local=False).local


def test_an_unknown_server_gets_everything_as_it_came():
    request = {
        "max_tokens": 1,
        "logprobs": True,
        "x": 1,
        "seed": 2,
        "messages": [{"role": "developer", "content": "y", "name": "z"}],
    }
    wire = adapter("openai", base_url="http://box:1/v1").prepare(
        parse({"model": "m", **request}), Model("p/m", "p", "up"), None, {}
    )
    assert json.loads(wire.body or b"") == {"model": "up", **request}


def test_a_known_servers_address_is_as_good_as_its_name():
    assert sent("openai")["messages"]
    plain = adapter("openai", base_url="https://api.groq.com/openai/v1")
    wire = plain.prepare(
        parse({"model": "m", "messages": [{"role": "user"}], "logprobs": True}), Model("p/m", "p", "up"), None, {}
    )
    assert "logprobs" not in json.loads(wire.body or b"")
    keys = adapter("openai", base_url="https://me.openai.azure.com/openai/v1").models_request("key-1")
    assert keys is not None
    assert keys.headers["api-key"] == "key-1"


def test_whole_numbers_are_sent_as_such():
    assert '"n":1,' in json.dumps(sent("openai", "gpt-4.1", n=1.0, temperature=1.0), separators=(",", ":"))


def test_gpt_5_takes_other_limits_and_no_temperature():
    got = sent("openai", "gpt-5-mini", max_tokens=9, temperature=0.2, top_p=1)
    assert (got.get("max_tokens"), got["max_completion_tokens"], got.get("temperature"), got["top_p"]) == (
        None,
        9,
        None,
        1,
    )
    assert sent("openai", "gpt-4.1", max_tokens=9, temperature=0.2)["temperature"] == 0.2


def test_mistral_gets_only_what_it_knows():
    call = {
        "id": "call_abcdefghijk",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {},
    }
    got = sent(
        "mistral",
        max_completion_tokens=5,
        seed=3,
        logprobs=True,
        user="u",
        stream=True,
        stream_options={"include_usage": True},
        messages=[
            {"role": "user", "content": "x", "name": "bob"},
            {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
            {"role": "tool", "tool_call_id": "call_abcdefghijk", "content": "1"},
        ],
    )
    assert (got["max_tokens"], got["random_seed"]) == (5, 3)
    assert not {"logprobs", "user", "stream_options", "seed"} & got.keys()
    made = got["messages"][1]["tool_calls"][0]
    assert made["id"] == got["messages"][2]["tool_call_id"]
    assert len(made["id"]) == 9
    assert made["id"].isalnum()
    assert "extra_content" not in made
    assert "reasoning_content" not in got["messages"][1]


def test_groq_is_spared_what_it_refuses():
    got = sent("groq", logprobs=True, logit_bias={}, n=2, messages=[{"role": "user", "content": "x", "name": "bob"}])
    assert (
        got == {"model": "m", "messages": [{"role": "user", "content": "x", "name": "bob"}]}
        or "name" not in got["messages"][0]
    )
    assert not {"logprobs", "logit_bias", "n"} & got.keys()
    assert "name" not in got["messages"][0]


def test_developers_are_systems_where_that_role_is_unknown():
    messages = [{"role": "developer", "content": "x"}]
    assert sent("deepseek", messages=messages)["messages"][0]["role"] == "system"
    assert sent("openai", messages=messages)["messages"][0]["role"] == "developer"


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SIGNED = {**CALL, "extra_content": {"google": {"thought_signature": "sig"}}}


def history(*calls: Any) -> list[Any]:
    return [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": list(calls)},
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
    ]


def test_gemini_gets_its_thought_signatures_back():
    assert sent("gemini", "gemini-3-pro", messages=history(SIGNED))["messages"][1]["tool_calls"] == [SIGNED]


def test_gemini_takes_over_calls_that_others_made():
    calls = sent("gemini", "gemini-3-flash", messages=history(CALL, {**CALL, "id": "c2"}))["messages"][1]["tool_calls"]
    assert calls[0]["extra_content"]["google"]["thought_signature"] == DUMMY_SIGNATURE
    assert "extra_content" not in calls[1]
    assert (
        "extra_content"
        not in sent("gemini", "gemini-2.5-flash", messages=history(CALL))["messages"][1]["tool_calls"][0]
    )


def test_gemini_signatures_are_kept_from_those_who_refuse_them():
    assert sent("openai", "gpt-4.1", messages=history(SIGNED))["messages"][1]["tool_calls"] == [CALL]


MARK = {"cache_control": {"type": "ephemeral"}}
MARKED = {
    "messages": [{"role": "user", "content": [{"type": "text", "text": "x", **MARK}], **MARK}],
    "tools": [{"type": "function", "function": {"name": "f"}, **MARK}],
    **MARK,
}
HELLO = {"role": "user", "content": "hello"}
MARKED_INSIDE = [
    {"messages": [HELLO], "tools": [{"type": "function", "function": {"name": "f", **MARK}}]},
    {"messages": [HELLO, {"role": "assistant", "tool_calls": [{**CALL, **MARK}]}]},
    {"messages": [HELLO, {"role": "assistant", "tool_calls": [{**CALL, "function": {**CALL["function"], **MARK}}]}]},
]


@pytest.mark.parametrize(
    "kind", [kind.name for kind in KINDS.values() if kind.wire == "openai" and kind.name != "mock"]
)
def test_marks_of_what_to_cache_are_for_those_who_know_them(kind):
    assert ("cache_control" in json.dumps(sent(kind, **MARKED))) is (kind in ("openrouter", "qwen"))


@pytest.mark.parametrize("marked", [MARKED, *MARKED_INSIDE])
def test_an_unknown_server_gets_no_marks_of_what_to_cache(marked):
    request = parse({"model": "m", **marked})
    wire = adapter("openai", base_url="http://box:1/v1").prepare(request, Model("p/m", "p", "up"), None, {})
    assert b"cache_control" not in (wire.body or b"")
    assert "cache_control" in json.dumps(request.body)


@pytest.mark.parametrize(
    ("kind", "asked", "told"),
    [
        ("openai", "flex", "flex"),
        ("openai", "on_demand", "default"),
        ("openai", "ultrafast", "ultrafast"),
        ("groq", "default", "on_demand"),
        ("groq", "priority", "auto"),
        ("groq", "flex", "flex"),
        ("anthropic", "default", "standard_only"),
        ("anthropic", "auto", "auto"),
        ("anthropic", "flex", None),
        ("deepseek", "auto", None),
        ("ollama", "auto", None),
        ("mistral", "auto", None),
    ],
)
def test_tiers_are_called_as_the_vendor_calls_them(kind, asked, told):
    assert sent(kind, service_tier=asked).get("service_tier") == told


def test_openrouter_is_asked_for_its_cost():
    assert sent("openrouter")["usage"] == {"include": True}
    assert sent("openrouter", usage={"include": False})["usage"] == {"include": False}


def test_values_are_clamped_to_the_range():
    assert sent("zai", temperature=1.8)["temperature"] == 1


def test_what_was_learned_comes_last():
    assert "seed" not in sent("openai", "gpt-4.1", learned={"seed": None}, seed=1)


def complete(kind: str, message: dict[str, Any], finish: str) -> dict[str, Any]:
    body = {"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    done = adapter(kind).complete(json.dumps(body).encode(), parse({"model": "m", "messages": [{"role": "user"}]}))
    assert isinstance(done, Completion)
    return dict(json.loads(done.body)["choices"][0])


@pytest.mark.parametrize("kind", ["gemini", "openai", "ollama"])
def test_stop_where_tools_are_called_means_that_they_are(kind):
    assert complete(kind, {"content": None, "tool_calls": [SIGNED]}, "stop")["finish_reason"] == "tool_calls"


def test_zai_has_a_word_of_its_own_for_the_filter():
    assert complete("zai", {"content": "x"}, "sensitive")["finish_reason"] == "content_filter"


def test_an_answer_in_the_reasoning_is_brought_forward():
    assert complete("qwen", {"content": "", "reasoning_content": "42"}, "stop")["message"]["content"] == "42"
    assert complete("openai", {"content": "", "reasoning_content": "42"}, "stop")["message"]["content"] == ""


def test_no_secret_of_a_provider_is_shown_in_what_it_says():
    secrets = {
        "X-Custom-Auth": "Bearer  header-secret",
        "Cookie": "a=biscuit-9",
        "X-Team": Hidden("put-in-7"),
        "X-Title": "my home",
    }
    own = adapter("openai", headers=secrets, proxy="http://me:pro%40xy-5@10.0.0.1:3128")
    body = b'{"error": {"message": "%b", "code": "header-secret"}}' % b" ".join(
        [b"header-secret", *(value.encode() for value in secrets.values()), b"key-1", b"pro%40xy-5", b"pro@xy-5"]
    )
    failure = own.judge(400, {}, body, 0.0)
    assert "my home" in failure.message
    shown = f"{failure.message} {failure.code}"
    assert [part for part in ("header-secret", "biscuit", "put-in-7", "key-1", "xy-5") if part in shown] == []
