# ruff: noqa: SIM905 - other scripts' letters are data here, and lists of words are read best as such
"""Whether a request says that the answer before it was no good: a complaint, the same question, a tool that refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from .complaints import complains
from .features import Features

COMPLAINT: Final = "the user said that the answer was wrong"
REPEATED: Final = "the same was asked before"
REWORDED: Final = "the same was asked before in other words"
REFUSED: Final = "a tool refused the call"


def why_back(features: Features) -> str:
    """Why a request counts as another try, in words; "" where it does not."""
    if features.in_tool_loop:
        return REFUSED if refused(features.results) else ""
    if features.first_reply is None:
        return ""  # nobody has answered yet
    if complains(features.said):
        return COMPLAINT
    if not features.previous:
        return ""
    if features.repeats:
        return REPEATED
    return REWORDED if reworded(features.said, features.previous[-1]) else ""


# --- the same in other words --------------------------------------------------------------------------------------------

_LONGEST_ASK: Final = 300
_WORD: Final = re.compile(r"[^\W_]+")
_LITTLE: Final = frozenset(
    (
        "a an the of is are was what what's whats which who how do does did can could would will you me my i please tell give show say again just really now so to for in on at it its and or about exactly "
        "der die das ein eine ist sind was wie wer welche kannst du mir bitte sag sage nochmal noch einmal also den dem des von für im "
        "le la les un une de du des est que quel quelle qui comment peux tu me moi dis svp encore donc pour "
        "el los las una es qué cuál quién cómo puedes dime por favor otra vez de del "
        "il lo gli è che quale chi come puoi dimmi ancora di del della "
        "o os as um uma é qual quem como pode me diga favor de do da "
        "het een is wat welke wie hoe kun je zeg nog eens van "
        "co jaki jaka jakie kto jak jest powiedz mi proszę "
        "что какой какая какое кто как скажи мне пожалуйста ещё еще раз"
    ).split()
)
"""Words in which two questions may differ and be the same."""

_LEAST_SHARED: Final = 2
_STEM: Final = 5


def reworded(now: str, before: str) -> bool:
    """Whether a message asks for what the one before it did: all its words but the little ones are among those, and most of those are in it.

    So "turn it off" after "turn it on" is another wish, and so is what names something new.
    """
    if len(now) > _LONGEST_ASK or len(before) > _LONGEST_ASK:
        return False
    said, asked = _stems(now), _stems(before)
    return len(said) >= _LEAST_SHARED and said <= asked and len(said) * 3 >= len(asked) * 2


def _stems(text: str) -> frozenset[str]:
    words = _WORD.findall(text.casefold().replace("\u2019", "'").replace("'s ", " "))
    return frozenset(word[:_STEM] if word.isalpha() else word for word in words if word not in _LITTLE)


# --- a tool that refused ------------------------------------------------------------------------------------------------

_LONGEST_RESULT: Final = 4000
_REFUSES: Final = re.compile(
    r"\W{0,3}(?:an? )?(?:mcp |tool |api |validation |unexpected )?(?:error|exception|invalid|unknown (?:tool|function)|tool not found|failed to (?:call|execute|run))\b(?![: ]*exit code)",
    re.IGNORECASE,
)
"""How results in words begin. A command that ends with a code has run, and says something of what it was told to look at."""

_BAD: Final = frozenset({"error", "failed", "failure"})


def refused(results: Iterable[str]) -> bool:
    """Whether one of these results of tools says that the call was refused or failed."""
    return any(map(_says_so, results))


def _says_so(result: str) -> bool:
    text = result.strip()
    if not text.startswith("{") or len(text) > _LONGEST_RESULT:
        return _REFUSES.match(text[:100]) is not None
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(told, dict) and _is_bad(told)


def _is_bad(told: Mapping[str, Any]) -> bool:
    if told.get("success") is False or told.get("isError") is True or told.get("is_error") is True:
        return True
    if told.get("success") is True or told.get("ok") is True:
        return False
    status = told.get("status")
    return bool(told.get("error")) or (isinstance(status, str) and status.casefold() in _BAD)
