"""What is wrong with an answer, in a word and in a sentence."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    """What can be wrong. The words are labels of metrics, and codes of attempts."""

    TOOL = "unknown_tool"
    ARGUMENTS = "bad_arguments"
    ENTITY = "unknown_entity"
    NO_TOOL = "no_tool_called"
    WRITTEN = "written_call"
    FORMAT = "bad_format"
    CUT = "cut_answer"
    LOOP = "looping_answer"
    REFUSAL = "refused_answer"
    LANGUAGE = "wrong_language"


class Fault(NamedTuple):
    """`why`: one sentence without its full stop. Names of tools, parameters and entities may stand in it, no other text."""

    kind: Kind
    why: str


_LONGEST: Final = 60


def named(name: str) -> str:
    """A name as an answer has it, for a sentence: on one line, and bounded."""
    name = " ".join(name[: 4 * _LONGEST].split())
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."
