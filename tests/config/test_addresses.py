"""A provider's address as people paste it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.config.kinds import kind_of
from cheaprouter.config.schema import build
from cheaprouter.config.texts import base_url
from cheaprouter.providers.adapter import address


@pytest.mark.parametrize(
    ("pasted", "meant"),
    [
        ("http://h/v1/chat/completions", "http://h/v1"),
        ("http://h/v1/chat/completions/", "http://h/v1"),
        ("http://h/v1/chat/completions/chat/completions", "http://h/v1"),
        ("https://api.anthropic.com/v1/messages", "https://api.anthropic.com/v1"),
        ("http://h/v1/embeddings", "http://h/v1"),
        ("http://h/v1/responses", "http://h/v1"),
        ("http://h/v1/models/", "http://h/v1"),
        ("http://h//v1", "http://h/v1"),
        ("http://h/v1/v1", "http://h/v1"),
        ("http://h/v1/v1/chat/completions", "http://h/v1"),
        (" http://h/v1// ", "http://h/v1"),
        ("http://h/chat/completions", "http://h"),
        ("https://h/v1beta/openai/chat/completions", "https://h/v1beta/openai"),
    ],
)
def test_what_does_not_belong_to_it_is_dropped(pasted, meant):
    assert base_url(pasted) == meant


@pytest.mark.parametrize(
    "url",
    [
        "https://x.services.ai.azure.com/models",
        "https://x.openai.azure.com/openai/v1",
        "http://h/openai/v1/v1beta",
        "https://api.z.ai/api/paas/v4",
        "http://[::1]:8080/v1",
        "http://h",
    ],
)
def test_what_belongs_to_it_stays(url):
    assert base_url(url) == url


@given(
    st.lists(
        st.sampled_from(["/", "/v1", "/chat/completions", "/models", "/messages", "/openai", "/v1beta", "//"])
    ).map("".join)
)
def test_tidying_twice_changes_nothing(path):
    once = base_url(f"http://h:1{path}")
    assert base_url(once) == once
    assert not once.endswith("/")


@pytest.mark.parametrize(
    ("name", "given_", "meant"),
    [
        ("ollama", "http://nas:11434", "http://nas:11434/v1"),
        ("ollama", "http://nas:11434/chat/completions", "http://nas:11434/v1"),
        ("anthropic", "https://api.anthropic.com", "https://api.anthropic.com/v1"),
        ("openai", "https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1"),
        ("openrouter", "https://openrouter.ai/api/v1/chat/completions", "https://openrouter.ai/api/v1"),
    ],
)
def test_a_presets_address_is_asked_where_the_preset_is(name, given_, meant):
    provider = build({"providers": {name: {"base_url": given_, "api_key": "k"}}}).providers[0]
    assert address(provider.base_url, kind_of(provider)) == meant
