"""Lists of models in the shapes in which vendors publish them: who can chat, what they can do, and how much fits in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.catalog.model_kinds import kind_of
from cheaprouter.core.models import Capability
from cheaprouter.providers.details import MOST_ASKED, answered, dialect, questions
from cheaprouter.providers.listing import MOST_MODELS, parse_listing, tokens


def listed(body: Any) -> list[dict[str, Any]]:
    return parse_listing(json.dumps(body).encode())


def ids(body: Any) -> list[str]:
    return [model["id"] for model in listed(body)]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"object": "list", "data": None}, []),
        ({"object": "list", "data": None, "state": "idle"}, []),
        ({"models": None}, []),
        ({"data": []}, []),
        ([], []),
        ([{"id": "a"}, "b", 7, None, {"id": ""}, {"id": " "}, {"id": "a"}], ["a", "b"]),
        ({"data": None, "models": [{"name": "a"}]}, ["a"]),
        ({"data": {"models": [{"id": "a"}]}}, ["a"]),
        ({"data": {"a": {"context_length": 1}, "b": {}}}, ["a", "b"]),
        ({"result": [{"name": "@cf/a"}]}, ["@cf/a"]),
        ({"models": [{"name": "models/gemini-x"}]}, ["gemini-x"]),
        ({"data": [{"id": "a", "active": False}, {"id": "b", "active": True}]}, ["b"]),
        ({"data": [{"id": "a\nb"}, {"id": "c\u202e"}]}, []),
    ],
)
def test_lists_of_odd_shapes_are_read(body, found):
    assert ids(body) == found


@pytest.mark.parametrize(
    "body", [{"error": {"message": "no"}}, {"error": "no", "data": []}, {}, {"object": "list"}, {"data": 7}]
)
def test_what_is_no_list_is_none(body):
    with pytest.raises(ValueError, match="list of models"):
        listed(body)


def test_a_byte_order_mark_is_passed_over():
    assert parse_listing(b'\xef\xbb\xbf{"data":[{"id":"a"}]}') == [{"id": "a"}]


def test_only_so_many_models_are_read():
    assert len(ids([{"id": str(number)} for number in range(MOST_MODELS + 10)])) == MOST_MODELS


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        # Together, LM Studio, Hugging Face, Cloudflare, GitHub, LiteLLM, Novita
        ({"type": "chat"}, "chat"),
        ({"type": "language"}, "chat"),
        ({"type": "vlm"}, "chat"),
        ({"type": "embeddings"}, "embedding"),
        ({"type": "image"}, "image"),
        ({"type": "audio"}, "speech"),
        ({"type": "transcribe"}, "transcription"),
        ({"type": "moderation"}, "moderation"),
        ({"type": "rerank"}, "rerank"),
        ({"type": "video"}, "other"),
        ({"type": "model"}, "chat"),
        ({"pipeline_tag": "feature-extraction"}, "embedding"),
        ({"task": {"name": "Text Generation"}}, "chat"),
        ({"task": {"name": "Text Embeddings"}}, "embedding"),
        ({"task": "embeddings"}, "embedding"),
        ({"mode": "audio_transcription"}, "transcription"),
        # Mistral, Azure, Ollama
        ({"capabilities": {"completion_chat": True, "function_calling": True}}, "chat"),
        ({"capabilities": {"completion_chat": False, "classification": True}}, "other"),
        ({"capabilities": {"chat_completion": False, "embeddings": True}}, "embedding"),
        ({"capabilities": ["completion", "tools"]}, "chat"),
        ({"capabilities": ["embedding"]}, "embedding"),
        ({"capabilities": ["image"]}, "image"),
        ({"capabilities": ["completion", "image"]}, "chat"),
        # OpenRouter
        ({"architecture": {"output_modalities": ["text"]}}, "chat"),
        ({"architecture": {"output_modalities": ["image", "text"]}}, "chat"),
        ({"architecture": {"output_modalities": ["embeddings"]}}, "embedding"),
        ({"architecture": {"modality": "text+image->text"}}, "chat"),
        ({"architecture": {"modality": "text->image"}}, "image"),
        ({"supported_output_modalities": ["embeddings"]}, "embedding"),
        # Cohere, Google, new-api
        ({"endpoints": ["generate", "chat", "summarize"]}, "chat"),
        ({"endpoints": ["embed", "classify"]}, "embedding"),
        ({"endpoints": ["rerank"]}, "rerank"),
        ({"supportedGenerationMethods": ["generateContent", "countTokens"]}, "chat"),
        ({"supportedGenerationMethods": ["embedContent"]}, "embedding"),
        ({"supportedGenerationMethods": ["bidiGenerateContent"]}, "realtime"),
        ({"supported_endpoint_types": ["image-generation"]}, "image"),
        ({"supported_endpoints": ["/v1/audio/speech"]}, "speech"),
        ({"type": 7, "capabilities": 7, "architecture": [], "endpoints": {}}, "chat"),
    ],
)
def test_a_model_is_what_its_provider_says(entry, kind):
    assert kind_of(entry, "some-model") == kind


def test_what_a_name_sounds_like_counts_only_where_nothing_is_said():
    assert kind_of({"type": "embedding"}, "gpt-5") == "embedding"
    assert kind_of({"type": "chat"}, "whisper-embed-flux") == "chat"
    assert kind_of({"type": "model", "capabilities": []}, "whisper") == "transcription"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bge-m3:latest", "embedding"), ("all-minilm:l6-v2", "embedding"), ("nomic-embed-text", "embedding"),
        ("snowflake-arctic-embed2", "embedding"), ("mxbai-embed-large", "embedding"), ("paraphrase-multilingual", "embedding"),
        ("intfloat/multilingual-e5-large", "embedding"), ("text-embedding-3-small", "embedding"), ("voyage-3", "embedding"),
        ("BAAI/bge-reranker-v2-m3", "rerank"), ("dengcao/Qwen3-Reranker-8B", "rerank"), ("jina-colbert-v2", "rerank"),
        ("whisper-large-v3-turbo", "transcription"), ("gpt-4o-mini-transcribe", "transcription"),
        ("parakeet-tdt-0.6b", "transcription"), ("tts-1-hd", "speech"), ("gpt-4o-mini-tts", "speech"),
        ("hexgrad/Kokoro-82M", "speech"), ("cartesia/sonic", "speech"), ("dall-e-3", "image"), ("gpt-image-1", "image"),
        ("black-forest-labs/FLUX.1-schnell", "image"), ("stable-diffusion-3.5", "image"), ("imagen-4", "image"),
        ("gemini-2.5-flash-image", "image"), ("omni-moderation-latest", "moderation"), ("llama-guard3:8b", "moderation"),
        ("shieldgemma", "moderation"), ("granite3-guardian", "moderation"), ("gpt-realtime", "realtime"), ("sora-2", "other"),
        ("veo-3", "other"), ("gpt-3.5-turbo-instruct", "other"), ("babbage-002", "other"),
        ("llama3.2:latest", "chat"), ("gemma2:9b", "chat"), ("qwen3-vl:8b", "chat"), ("gpt-4o-audio-preview", "chat"),
        ("mistral-small", "chat"), ("deepseek-r1:8b", "chat"), ("command-a", "chat"), ("nova-pro", "chat"), ("vanguard-7b", "chat"),
        ("claude-haiku-4-5", "chat"), ("llava:13b", "chat"), ("phi-4-multimodal-instruct", "chat"), ("gte-chat-free", "embedding"),
    ],
)  # fmt: skip
def test_a_name_is_the_last_resort(name, kind):
    assert kind_of({}, name) == kind


@pytest.mark.parametrize(
    ("entry", "context", "most"),
    [
        ({"context_length": "131072"}, 131072, None),
        ({"context_length": "128k"}, 128000, None),
        ({"context_length": 4096.0}, 4096, None),
        ({"max_model_len": 32768}, 32768, None),
        ({"context_length": 9, "top_provider": {"max_completion_tokens": 5, "context_length": 7}}, 9, 5),
        ({"limits": {"max_input_tokens": 1000, "max_output_tokens": 100}}, 1000, 100),
        ({"metadata": {"context_length": 1000, "max_tokens": 100}}, 1000, 100),
        ({"context_size": 1000, "max_output_tokens": "100"}, 1000, 100),
        ({"meta": {"n_ctx": 512, "n_ctx_train": 9999}}, 512, None),
        ({"context_length": "a lot", "limits": [], "meta": None}, None, None),
    ],
)
def test_windows_are_read_wherever_they_are(entry, context, most):
    model = listed([{"id": "a", **entry}])[0]
    assert (model.get("context"), model.get("max_output")) == (context, most)


@pytest.mark.parametrize(
    ("entry", "able"),
    [
        ({}, None),
        ({"capabilities": ["tools"]}, None),
        ({"capabilities": {"completion_chat": True, "function_calling": True, "vision": True}}, ["json_schema", "tools", "vision"]),
        ({"capabilities": {"completion_chat": True, "function_calling": False, "vision": False}}, ["json_schema"]),
        ({"supported_parameters": ["tools", "structured_outputs", "reasoning"], "architecture": {"input_modalities": ["text", "image", "audio"]}}, ["audio", "json_schema", "reasoning", "tools", "vision"]),
        ({"supported_parameters": ["temperature"]}, []),
        ({"supports_tools": False, "supports_image_input": True}, ["json_schema", "vision"]),
    ],
)  # fmt: skip
def test_abilities_are_read_where_all_of_them_are_told(entry, able):
    assert listed([{"id": "a", **entry}])[0].get("capabilities") == able


def test_llama_cpps_two_lists_are_one():
    body = {
        "models": [{"name": "x.gguf", "model": "x.gguf", "capabilities": ["completion"]}, {"name": "e", "capabilities": ["embedding"]}],
        "data": [{"id": "x.gguf", "meta": {"n_ctx_train": 8192}}, {"id": "e", "meta": {"n_ctx_train": 512}}],
    }  # fmt: skip
    assert listed(body) == [{"id": "x.gguf", "context": 8192}]


SHOW = {
    "capabilities": ["completion", "tools", "vision", "thinking"],
    "model_info": {"general.architecture": "gemma3", "gemma3.context_length": 131072, "other.context_length": 5},
    "parameters": 'stop "<end>"\ntemperature 1',
}


def shown(told: Any) -> list[dict[str, Any]]:
    models = [{"id": "a"}, {"id": "b", "context": 5}]
    return answered(questions("ollama", models)[0], json.dumps(told).encode(), models)


def test_ollama_is_asked_for_each_model():
    asked = questions("ollama", [{"id": "a"}, {"id": "b"}])
    assert [(one.path, json.loads(one.body or b"")) for one in asked] == [
        ("/api/show", {"model": "a"}),
        ("/api/show", {"model": "b"}),
    ]
    assert len(questions("ollama", [{"id": "a"}] * 5000)) == MOST_ASKED


def test_ollama_tells_abilities_and_windows():
    able = ["json_schema", "reasoning", "tools", "vision"]
    assert shown(SHOW) == [{"id": "a", "capabilities": able, "context": 131072}, {"id": "b", "context": 5}]


def test_the_window_of_the_models_file_wins_over_what_it_was_trained_for():
    assert shown({**SHOW, "parameters": "num_ctx                        8192\nstop x"})[0]["context"] == 8192


def test_what_ollama_says_embeds_is_no_chat_model():
    assert shown({"capabilities": ["embedding"]}) == [{"id": "b", "context": 5}]


@pytest.mark.parametrize("told", [{}, {"capabilities": None, "model_info": [], "parameters": 7}, {"capabilities": [7]}])
def test_an_older_ollama_says_less(told):
    assert [model["id"] for model in shown(told)] == ["a", "b"]


def test_lm_studio_lists_the_same_with_more():
    rows = [
        {
            "id": "vl",
            "type": "vlm",
            "max_context_length": 32768,
            "loaded_context_length": 4096,
            "capabilities": ["tool_use"],
        },
        {"id": "plain", "type": "llm", "max_context_length": 8192},
        {"id": "nomic", "type": "embeddings"},
    ]
    models = [{"id": "vl"}, {"id": "plain"}, {"id": "nomic"}, {"id": "new"}]
    assert answered(questions("lmstudio", models)[0], json.dumps({"data": rows}).encode(), models) == [
        {"id": "vl", "context": 4096, "capabilities": ["json_schema", "tools", "vision"]},
        {"id": "plain", "context": 8192},
        {"id": "new"},
    ]


def test_llama_cpp_tells_of_its_one_model():
    models = [{"id": "x.gguf", "context": 131072}]
    props = {"default_generation_settings": {"n_ctx": 4096}, "modalities": {"vision": True, "audio": False}}
    found = answered(questions("llamacpp", models)[0], json.dumps(props).encode(), models)
    assert found == [{"id": "x.gguf", "context": 4096, "capabilities": ["json_schema", "tools", "vision"]}]
    assert questions("llamacpp", models * 2) == []


def test_llama_cpp_says_where_a_template_has_no_tools():
    props = {"modalities": {}, "chat_template_caps": {"supports_tools": False}}
    models = [{"id": "x"}]
    found = answered(questions("llamacpp", models)[0], json.dumps(props).encode(), models)
    assert found == [{"id": "x", "capabilities": ["json_schema"]}]


@pytest.mark.parametrize(
    ("kind", "raw", "server"),
    [
        ("ollama", b"", "ollama"),
        ("vllm", b"", ""),
        ("openai", b'{"data":[{"id":"a","owned_by":"library"}]}', "ollama"),
        ("openai", b'{"data": [{"id": "a", "owned_by": "llamacpp"}]}', "llamacpp"),
        ("openai", b'{"data":[{"id":"a","owned_by":"me"}]}', ""),
    ],
)
def test_a_local_server_is_known_by_its_kind_or_its_list(kind, raw, server):
    assert dialect(kind, raw) == server
    assert server or questions(server, [{"id": "a"}]) == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["data", "models", "id", "name", "type", "capabilities", "architecture", "meta", "limits", "pricing",
                         "prompt", "completion", "endpoints", "output_modalities", "context_length", "model_info", "x"]),
        inner, max_size=5),
    max_leaves=15,
)  # fmt: skip


@given(_JSON)
def test_whatever_is_listed_is_read_or_refused(body):
    try:
        models = listed(body)
    except ValueError:
        return
    for model in models:
        assert model["id"].isprintable()
        assert 0 < len(model["id"]) <= 256
        assert {"id"} <= model.keys() <= {"id", "name", "context", "max_output", "price", "capabilities"}
        assert all(Capability(word) for word in model.get("capabilities", ()))


@given(_JSON, st.sampled_from(["ollama", "lmstudio", "llamacpp"]))
def test_whatever_a_local_server_answers_is_read_or_refused(told, server):
    models = [{"id": "a"}]
    try:
        found = answered(questions(server, models)[0], json.dumps(told).encode(), models)
    except ValueError:
        return
    assert [model["id"] for model in found] in (["a"], [])


@given(st.text(max_size=12) | st.integers() | st.floats() | st.booleans() | st.none())
def test_tokens_are_a_whole_number_within_bounds(value):
    found = tokens(value)
    assert found is None or (type(found) is int and 0 < found <= 10**9)
