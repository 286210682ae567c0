"""Names and numbers that hold everywhere. Only what several rooms share belongs here."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"

DEFAULT_PORT: Final = 4000
INGRESS_PORT: Final = 8099
MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""Largest request body: several photos as data URLs fit; more is a mistake or an attack."""

DRAIN_SECONDS: Final = 20.0
"""How long running replies may go on after SIGTERM; the Supervisor kills at 30."""

PROFILE_OWNER: Final = "blockrun"
MOCK_MODEL: Final = "mock/default"
