"""Telling one model by its many names: providers add prefixes, dates and spellings of their own."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_DATE: Final = re.compile(
    r"[-@](?:20\d{6}|20\d\d-\d\d-\d\d|(?:0[1-9]|1[0-2])[0-3]\d|2[4-9](?:0[1-9]|1[0-2])|\d\d-20\d\d|v\d+:\d+)(?=$|-)"
)
_NOISE: Final = re.compile(r"-(?:instruct|chat|it|hf|latest|preview|versatile|instant|maas|fp4|fp8|nvfp4|turbo)(?=$|-)")
_SIZE: Final = re.compile(r"(?<![a-z\d.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bt])(?![a-z\d])")
_FAMILIES: Final = (
    ("gpt-oss", "gpt-oss"), ("claude", "claude"), ("gemini", "gemini"), ("gemma", "gemma"), ("deepseek", "deepseek"),
    ("codestral", "mistral"), ("magistral", "mistral"), ("devstral", "mistral"), ("ministral", "mistral"),
    ("mixtral", "mistral"), ("pixtral", "mistral"), ("voxtral", "mistral"), ("mistral", "mistral"), ("grok", "grok"),
    ("nemotron", "nemotron"), ("llama", "llama"), ("qwq", "qwen"), ("qwen", "qwen"), ("kimi", "kimi"),
    ("moonshot", "kimi"), ("glm", "glm"), ("minimax", "minimax"), ("muse", "muse"), ("granite", "granite"),
    ("phi", "phi"), ("chatgpt", "gpt"), ("gpt", "gpt"), ("command", "command"), ("smollm", "smollm"), ("olmo", "olmo"),
)  # fmt: skip


_SEES: Final = re.compile(
    r"llava|vision|minicpm-?v|moondream|pixtral|internvl|gemma-?[34](?!.*270m)|(?<![a-z])(?:\d+(?:\.\d+)?)?-?vl(?![a-z])"
)
"""Open models that take pictures, by what their names have in common."""


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """A model's name without provider path, tag, date and wording, in one spelling: `GLM-5.3` and `glm-5p3` are one."""
    base = name.lower().rsplit("/", 1)[-1]
    base, _, tag = base.partition(":")
    if re.search(r"\d", tag) or tag in ("mini", "small", "large"):
        base = f"{base}-{tag}"
    base = re.sub(r"(?<=\d)p(?=\d)", "-", base)
    base = re.sub(r"[._ ]", "-", base)
    base = re.sub(r"([a-z])-?(\d+)-(\d+)b(?=$|-)", r"\1\2-\3b", base)
    previous = ""
    while base != previous:
        previous = base
        base = _NOISE.sub("", _DATE.sub("", base))
    return re.sub(r"-+", "-", base).strip("-")


def family(name: str) -> str:
    """Who made it and what line it is of: models of one family tend to fail and to be overloaded together."""
    base = name.lower().rsplit("/", 1)[-1]
    return next((found for word, found in _FAMILIES if word in base), re.split(r"[^a-z]", base)[0])


def parameters(name: str) -> float | None:
    """Billions of parameters, where a name such as `qwen3:8b` or `mixtral-8x7b` tells."""
    found = _SIZE.search(name.lower().rsplit("/", 1)[-1])
    if found is None:
        return None
    size = float(found[2]) * (1000 if found[3] == "t" else 1)
    return size * int(found[1]) if found[1] else size


def sees(name: str) -> bool:
    """Whether an open model's name says that it takes pictures, as `llava` and `qwen2.5vl` do."""
    return _SEES.search(name.lower().rsplit("/", 1)[-1]) is not None
