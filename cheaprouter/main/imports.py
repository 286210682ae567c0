"""The imports of a start, at what they need to cost."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator


@contextlib.contextmanager
def no_certificates() -> Iterator[None]:
    """While aiohttp is imported: its two TLS contexts, made then, do not read the system's certificates.

    That is 144 of them, twice: a sixth of a start and 3 MB. Nobody uses these contexts here: upstream's connections make their
    own when the first provider wants one, and the Supervisor is asked by plain HTTP. Whoever used one would be refused.
    """
    ssl.SSLContext.set_default_verify_paths = _nothing  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths  # what it hid is the base class's


def _nothing(_: ssl.SSLContext) -> None:
    pass
