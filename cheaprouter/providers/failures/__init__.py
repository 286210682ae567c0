"""What an upstream's error means, whatever its shape: unwrapped, then judged by its facts, then by its words."""

from __future__ import annotations

from .clean import LONGEST_MESSAGE, clean_message
from .judge import finish_failure, in_band, judge
from .times import LONGEST_WAIT
from .unwrap import is_error
from .verdict import Action, Failure, Meaning, Reach, degraded
from .window import fullness

__all__ = [
    "LONGEST_MESSAGE",
    "LONGEST_WAIT",
    "Action",
    "Failure",
    "Meaning",
    "Reach",
    "clean_message",
    "degraded",
    "finish_failure",
    "fullness",
    "in_band",
    "is_error",
    "judge",
]
