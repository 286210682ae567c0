"""Wire formats, pure: bytes and values in, values and bytes out. One folder a format, `events` between them."""

from __future__ import annotations


class UntranslatableError(ValueError):
    """The request holds something that the other wire has nothing like; says what."""
