from __future__ import annotations

import json

import pytest

from cheaprouter.providers.listing import parse_listing


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"id": "gpt-4.1"}, {"id": "gpt-4.1"}),
        ({"id": "qwen3:8b", "owned_by": "library"}, {"id": "qwen3:8b"}),
        ({"id": "meta/llama", "max_model_len": 32768}, {"id": "meta/llama", "context": 32768}),
        ({"id": "x.gguf", "meta": {"n_ctx_train": 8192}}, {"id": "x.gguf", "context": 8192}),
        ({"id": "a/b", "name": "A: B", "context_length": 1000}, {"id": "a/b", "name": "A: B", "context": 1000}),
        (
            {"id": "llama", "context_window": 131072, "max_completion_tokens": 8000},
            {"id": "llama", "context": 131072, "max_output": 8000},
        ),
        ({"id": "claude", "display_name": "Claude"}, {"id": "claude", "name": "Claude"}),
        ({"id": "models/gemini-3-pro"}, {"id": "gemini-3-pro"}),
        ({"id": "lm", "loaded_context_length": 4096, "max_context_length": 99999}, {"id": "lm", "context": 4096}),
    ],
)
def test_dialects_of_the_list(entry, expected):
    assert parse_listing(json.dumps({"object": "list", "data": [entry]}).encode()) == [expected]


@pytest.mark.parametrize(
    "entry", [{"id": "text-embedding-3"}, {"id": "x", "type": "embeddings"}, {"id": ""}, {}, 7, {"id": "whisper-1"}]
)
def test_what_cannot_chat_is_left_out(entry):
    assert parse_listing(json.dumps({"data": [entry]}).encode()) == []


@pytest.mark.parametrize("body", [b"<html>", b'{"data": 1}', b"7", b"null"])
def test_what_is_no_list_is_refused(body):
    with pytest.raises(ValueError):  # noqa: PT011 - any kind will do
        parse_listing(body)


@pytest.mark.parametrize("odd", ["1e999999", "NaN", "-Infinity", "9" * 4301])
def test_a_number_beyond_all_bounds_costs_its_model_the_price_and_no_other_anything(odd):
    body = '{"data": [{"id": "a", "pricing": {"input": ODD, "output": 1}}, {"id": "b"}]}'.replace("ODD", odd)
    assert parse_listing(body.encode()) == [{"id": "a"}, {"id": "b"}]


def test_a_list_with_half_a_character_is_refused():
    with pytest.raises(ValueError, match="surrogate"):
        parse_listing(b'{"data": [{"id": "a", "name": "\\ud83d"}]}')
