"""What an upstream of which nobody has heard may mean by its words: a few shapes that such sentences share.

Looked at last, after the vendors' own sentences and what a parameter's refusal teaches, so that it may be broad.
"""

from __future__ import annotations

import re
from typing import Final

from .sentences import Sentence
from .verdict import Meaning

_SUBJECT: Final = re.compile(
    r"token(?:s|ized)?\b|context|sequence length|(?:prompt|input|conversation|history) (?:is|was|length|too)|上下文"
)
_OVER: Final = re.compile(
    r"exceed|too (?:long|large|many|big)|(?:long|larg|great|bigg)er than|more than|only supports|up to|at most|over the (?:limit|maximum)|does not fit|overflow|超"
    r"|supports \d|length \d+ > "
)
_OTHER: Final = re.compile(
    r"max_(?:tokens|completion_tokens|output_tokens|new_tokens)|(?:completion|output|thinking|reasoning|budget)[ _]tokens|thinking[ _]budget|string|array|image|audio"
    r"|\bfile|\btools?\b|function|schema|metadata|\bstop\b|\bbytes|\b[km]b\b|per[ -](?:min|day|sec|hour)|rate|quota|logprobs|logit|(?:api|access|auth) token"
)
"""What is too long or too many in other ways, which no larger window mends."""

_LACKS: Final = re.compile(
    r"(?:not|n.?t|cannot|no) (?:support|accept|enable)\w*|unsupported|not available|not enabled|not implemented|only supports text|text[- ]only"
    r"|\bmodel (?:can.?t|cannot) (?:use|call|handle)|\bunavailable (?:for|on|with) (?:this )?model"
    r"|(?:unknown|unrecognized) (?:request )?(?:parameter|field|argument)s?(?: supplied)?:? (?:tools|response_format)\b(?!\.\w|\[)"
)
_ABILITIES: Final = (
    ("tools", re.compile(r"\btools?\b(?! ?choice)|tool[ -](?:use|call)|function[ -]call")),
    ("vision", re.compile(r"\bimages?\b|image_url|\bvision\b|multi-?modal")),
    ("audio", re.compile(r"\baudio\b|input_audio")),
    ("json_schema", re.compile(r"json_schema|structured output|response[_ ]format|json mode")),
)

_FILTERED: Final = re.compile(
    r"flagged|blocked|rejected|refused|declined|denied|filtered|violat|not allowed|contains?|包含|涉及"
)
_FILTER: Final = re.compile(
    r"\b(?:safety|content moderation|moderation (?:system|filter|policy)|content[ -]filter|content polic|usage polic|responsible ai"
    r"|(?:harmful|inappropriate|unsafe|sensitive|prohibited|explicit) (?:content|words|material|data))|敏感|违规"
)
_NO_FILTER: Final = re.compile(
    r"\btools?\b|\bfunction|schema|parameter|argument|\bfields?\b|valid value|safety_|moderation_"
)
"""What speaks of a filter, but as of a part of the request."""

_STREAM: Final = r"(?<!non-)\bstream(?:s|ing|ed)?\b"
_NO: Final = (
    r"\b(?:not|cannot|cant|isnt|arent|doesnt|dont|disabled?|false|forbidden|invalid|without"
    r"|un(?:supported|available|recognized|known|expected))\b"
)
_NO_STREAM: Final = re.compile(rf"{_STREAM}[^.]{{0,80}}{_NO}|{_NO}[^.]{{0,80}}{_STREAM}")
_STREAMS_ONLY: Final = re.compile(
    r"stream_options|stream options|upstream|must (?:be|have) (?:stream|true)"
    r"|only (?:be )?(?:support|accept|allow|work|used|available|via|with|stream)"
)
"""What is said of a stream's options, of whoever is upstream, or of a model that can do nothing but stream."""

_PARAMS: Final = {"tools": "tools", "tool_choice": "tools", "functions": "tools", "response_format": "json_schema"}


def about_window(text: str) -> bool:
    """Whether it says that the prompt is longer than the model can take."""
    return bool(_SUBJECT.search(text) and _OVER.search(text)) and not _OTHER.search(text)


def about_filter(text: str) -> bool:
    """Whether it says that somebody does not like what was asked or answered."""
    return bool(_FILTERED.search(text) and _FILTER.search(text)) and not _NO_FILTER.search(text)


def about_stream(text: str) -> bool:
    """Whether it says that it is not to be asked for a stream."""
    return bool(_NO_STREAM.search(text)) and not _STREAMS_ONLY.search(text)


def about_tools(text: str) -> bool:
    """Whether tools are spoken of."""
    return bool(_ABILITIES[0][1].search(text))


def about_ability(text: str, param: str = "") -> Sentence | None:
    """Which ability it says that the model lacks, as a row of the table would. `param`: the field that it blames."""
    if not _LACKS.search(text):
        return None
    name = _PARAMS.get(param) or next((name for name, words in _ABILITIES if words.search(text)), None)
    return None if name is None else Sentence("unknown", Meaning.CAPABILITY, text, name)
