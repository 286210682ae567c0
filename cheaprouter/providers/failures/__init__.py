"""What an upstream's error means, whatever its shape: unwrapped, then judged by its facts, then by its words."""

from __future__ import annotations

from .asked import NOT_KNOWN, Asked, asked_of
from .clean import LONGEST_MESSAGE, clean_message
from .judge import finish_failure, in_band, judge
from .times import LONGEST_WAIT
from .verdict import Action, Failure, Meaning, Reach, degraded

__all__ = [
    "LONGEST_MESSAGE",
    "LONGEST_WAIT",
    "NOT_KNOWN",
    "Action",
    "Asked",
    "Failure",
    "Meaning",
    "Reach",
    "asked_of",
    "clean_message",
    "degraded",
    "finish_failure",
    "in_band",
    "judge",
]
