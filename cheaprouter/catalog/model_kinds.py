"""What a listed model is for, and what it can do: by what its provider says of it, by its name only where nothing is said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..core.models import Capability, Json

CHAT: Final = "chat"
OTHER: Final = "other"
"""Neither chat nor any other kind that is routed: video, music, classifiers, plain completions."""

_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("chat", "language", "code", "llm", "vlm", "text-generation", "chat-completion", "text2text-generation",
                     "image-text-to-text", "responses", "multimodal", "conversational"), CHAT),
    **dict.fromkeys(("embedding", "embeddings", "feature-extraction", "text-embedding", "text-embeddings",
                     "sentence-similarity", "embedding-model", "embed"), "embedding"),
    **dict.fromkeys(("rerank", "reranker", "text-ranking"), "rerank"),
    **dict.fromkeys(("transcription", "transcribe", "asr", "automatic-speech-recognition", "audio-transcription", "stt",
                     "speech-to-text"), "transcription"),
    **dict.fromkeys(("audio", "speech", "tts", "text-to-speech", "audio-speech"), "speech"),
    **dict.fromkeys(("image", "images", "text-to-image", "image-generation", "flumina-base-model", "image-to-image",
                     "image-edit"), "image"),
    **dict.fromkeys(("moderation", "moderations", "text-classification"), "moderation"),
    "realtime": "realtime",
    **dict.fromkeys(("video", "text-to-video", "video-generation", "image-to-video", "completion", "classification", "ocr",
                     "translation", "object-detection", "music"), OTHER),
}  # fmt: skip
"""Together's and LM Studio's `type`, GitHub's and Cloudflare's `task`, LiteLLM's `mode`, Hugging Face's `pipeline_tag`, …"""

_TYPE_FIELDS: Final = ("type", "task", "mode", "pipeline_tag", "model_type", "kind", "sub_type")
_ENDPOINTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("chat", "generate", "chat/completions", "responses", "messages", "openai", "anthropic", "gemini",
                     "generatecontent"), CHAT),
    **dict.fromkeys(("embed", "embeddings", "embedcontent", "embedtext"), "embedding"),
    **dict.fromkeys(("rerank", "jina-rerank"), "rerank"),
    **dict.fromkeys(("audio/transcriptions", "transcriptions"), "transcription"),
    "audio/speech": "speech",
    **dict.fromkeys(("images/generations", "image-generation", "predict"), "image"),
    "moderations": "moderation",
    **dict.fromkeys(("realtime", "bidigeneratecontent"), "realtime"),
    **dict.fromkeys(("classify", "completions", "openai-video", "predictlongrunning", "generateanswer"), OTHER),
}  # fmt: skip
_ENDPOINT_FIELDS: Final = (
    "endpoints", "supported_endpoints", "supported_endpoint_types", "supportedGenerationMethods", "supported_generation_methods",
)  # fmt: skip
_CAN_CHAT: Final = frozenset({
    "completion", "chat", "tools", "chat-completion", "completion-chat", "text-generation", "tool-calling", "tool-use", "thinking",
})  # fmt: skip
_OUTPUTS: Final[Mapping[str, str]] = {
    "embeddings": "embedding", "embedding": "embedding", "image": "image", "audio": "speech", "speech": "speech",
    "rerank": "rerank", "scores": "rerank", "transcription": "transcription",
}  # fmt: skip

_NAMES: Final = tuple(
    (re.compile("|".join(patterns)), kind)
    for kind, patterns in (
        ("rerank", ("rerank", "colbert", r"\branker")),
        (
            "embedding",
            (
                "embed", "all-minilm", r"minilm-l\d", r"\b(?:bge|gte|e5|mxbai|labse|voyage|colpali|colqwen)\b", "paraphrase-",
                "sentence-", "distiluse", "text-similarity", "ada-002", "uae-large",
            ),
        ),
        (
            "transcription",
            ("whisper", "transcri", r"\basr\b", "parakeet", r"canary-\d", "wav2vec", "sensevoice", r"\bstt\b", r"\bscribe\b"),
        ),
        (
            "speech",
            (
                r"\btts\b", "text-to-speech", r"\bkokoro", r"\borpheus", r"\bsonic\b", "xtts", "playai-", "cosyvoice",
                r"\bspeech-\d", "chatterbox", r"(?:^|/)bark\b", r"\bpiper\b",
            ),
        ),
        ("moderation", ("moderation", r"(?<!van)guard(?:ian)?(?:\b|\d)", "content-safety", "shieldgemma")),
        ("realtime", ("realtime", "native-audio", r"-live(?:-|$)", r"grok-voice")),
        (
            "image",
            (
                "dall-?e", "imagen", r"\bflux", "stable-?diffusion", "sdxl", r"\bsd-?3", "midjourney", "ideogram", "recraft",
                "seedream", "hidream", "cogview", "kolors", "kandinsky", "nano-banana", r"\bimage\b", "z-image", r"\bcanvas\b",
                r"playground-v\d",
            ),
        ),
        (
            OTHER,
            (
                r"\bsora", r"\bveo", "cogvideo", "seedance", "ltx-video", "hunyuanvideo", "grok-imagine", r"\b[tri]2v\b",
                r"\blyria", "musicgen", "davinci-002", "babbage-002", "turbo-instruct", "mistral-ocr", r"\bclip-vit", "siglip",
                "(?:^|/)aqa$",
            ),
        ),
    )
)  # fmt: skip
"""The last resort. The first that fits."""


def kind_of(entry: Json, model_id: str) -> str:
    """The kind of a listed model, as `core.models.Model.kind` has it, or `other`."""
    return next(_told(entry), None) or _by_name(model_id)


def _told(entry: Json) -> Iterator[str]:
    """What its provider says, the plainest first."""
    for name in _TYPE_FIELDS:
        value = entry.get(name)
        value = value.get("name") if isinstance(value, dict) else value
        if isinstance(value, str) and (kind := _TYPES.get(_plain(value))):
            yield kind
    yield from _by_capabilities(entry.get("capabilities"))
    yield from _by_outputs(entry)
    for name in _ENDPOINT_FIELDS:
        kinds = [kind for one in _texts(entry.get(name)) if (kind := _ENDPOINTS.get(_endpoint(one)))]
        if kinds:
            yield CHAT if CHAT in kinds else kinds[0]


def _by_capabilities(told: Any) -> Iterator[str]:
    """Mistral's and Azure's flags, Ollama's list."""
    if isinstance(told, dict):
        chats = [told[name] for name in ("completion_chat", "chat_completion") if isinstance(told.get(name), bool)]
        if any(chats):
            yield CHAT
        elif chats:
            yield "embedding" if told.get("embeddings") is True else OTHER
        return
    words = {_plain(word) for word in _texts(told)}
    if words & _CAN_CHAT:
        yield CHAT
    elif words & {"embedding", "embeddings"}:
        yield "embedding"
    elif words == {"image"}:
        yield "image"


def _by_outputs(entry: Json) -> Iterator[str]:
    """OpenRouter's `architecture`, and those who say the same outside of it."""
    inner = entry.get("architecture")
    for holder in (inner if isinstance(inner, dict) else {}, entry):
        outputs = _texts(holder.get("output_modalities")) or _texts(holder.get("supported_output_modalities"))
        modality = holder.get("modality")
        if not outputs and isinstance(modality, str) and "->" in modality:
            outputs = modality.rpartition("->")[2].split("+")
        if "text" in outputs:
            yield CHAT
        elif outputs:
            yield _OUTPUTS.get(outputs[0].lower(), OTHER)


def _by_name(model_id: str) -> str:
    name = model_id.lower().replace("_", "-")
    return next((kind for pattern, kind in _NAMES if pattern.search(name)), CHAT)


def abilities_of(entry: Json) -> list[str] | None:
    """What a chat model can do by its provider's word; None where that does not say it of all that matters."""
    told, parameters = entry.get("capabilities"), entry.get("supported_parameters")
    if isinstance(parameters, list):
        words = {one for one in parameters if isinstance(one, str)}
        return _named(
            {
                Capability.TOOLS: "tools" in words,
                Capability.JSON_SCHEMA: "structured_outputs" in words,
                Capability.REASONING: "reasoning" in words or "include_reasoning" in words,
                **_inputs(entry),
            }
        )
    if isinstance(told, dict) and isinstance(told.get("function_calling"), bool):
        return _named(
            {
                Capability.TOOLS: told["function_calling"],
                Capability.JSON_SCHEMA: True,
                Capability.VISION: told.get("vision") is True,
                Capability.AUDIO: told.get("audio") is True,
                Capability.REASONING: told.get("reasoning") is True,
            }
        )
    if isinstance(entry.get("supports_tools"), bool) and isinstance(entry.get("supports_image_input"), bool):
        seen = {Capability.TOOLS: entry["supports_tools"], Capability.VISION: entry["supports_image_input"]}
        return _named({**seen, Capability.JSON_SCHEMA: True})
    return None


def of_words(words: Any, *, sees: bool = False) -> list[str]:
    """The same by a whole list of abilities, as Ollama and LM Studio give it; their servers keep any model to a schema."""
    said = {_plain(word) for word in _texts(words)}
    return _named(
        {
            Capability.TOOLS: bool(said & {"tools", "tool-use", "tool-calling"}),
            Capability.JSON_SCHEMA: True,
            Capability.VISION: sees or "vision" in said,
            Capability.AUDIO: "audio" in said,
            Capability.REASONING: bool(said & {"thinking", "reasoning"}),
        }
    )


def _inputs(entry: Json) -> dict[Capability, bool]:
    architecture = entry.get("architecture")
    inputs = _texts(architecture.get("input_modalities")) if isinstance(architecture, dict) else []
    return {Capability.VISION: "image" in inputs, Capability.AUDIO: "audio" in inputs}


def _named(able: Mapping[Capability, bool]) -> list[str]:
    return sorted(str(capability) for capability, has in able.items() if has)


def _texts(value: Any) -> list[str]:
    return [one for one in value[:100] if isinstance(one, str)] if isinstance(value, list) else []


def _plain(word: str) -> str:
    return word[:64].strip().lower().replace("_", "-").replace(" ", "-")


def _endpoint(word: str) -> str:
    return word[:64].strip().lower().removeprefix("/").removeprefix("v1/").removeprefix("v2/").replace("_", "-")
