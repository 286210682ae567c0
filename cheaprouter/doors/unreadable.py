"""What aiohttp's parser refuses, told as every other error. Pure.

None of the request's own bytes are in it: a line that cannot be read may hold a key.
"""

from __future__ import annotations

from typing import Final

from aiohttp.http_exceptions import (
    BadHttpMessage,
    BadHttpMethod,
    BadStatusLine,
    ContentEncodingError,
    InvalidHeader,
    InvalidURLError,
    LineTooLong,
)

from ..core.errors import CheapRouterError, InvalidRequestError

_MEANINGS: Final[tuple[tuple[type[BaseException], str, str], ...]] = (
    (LineTooLong, "head_too_long", "A line of the request's head is longer than 8190 bytes."),
    (
        ContentEncodingError,
        "encoding_not_supported",
        "The body's `Content-Encoding` is not supported: send gzip, deflate or none.",
    ),
    (InvalidURLError, "invalid_url", "The request's address is no URL."),
    (InvalidHeader, "invalid_http", "A header of the request is not one of HTTP."),
    (
        BadHttpMethod,
        "invalid_http",
        "The request is not HTTP/1.1 (for https:// put a proxy in front; this port speaks http://).",
    ),
    (BadStatusLine, "invalid_http", "The request's first line is not one of HTTP/1.1."),
)
"""Kinds of refusals, the first that fits, with their codes."""

_STATUS: Final = {"encoding_not_supported": 415}
_PLAIN: Final = frozenset(" -'")


def refusal(status: int, error: BaseException | None) -> CheapRouterError:
    """One of aiohttp's refusals as one of our errors. `status`: aiohttp's own."""
    for kind, code, words in _MEANINGS:
        if isinstance(error, kind):
            return _told(_STATUS.get(code, status), words, code)
    said = error.message.partition(":")[0].strip() if isinstance(error, BadHttpMessage) else ""
    why = f" ({said})" if said and all(c.isalpha() or c in _PLAIN for c in said) else ""
    return _told(status, f"The request is not HTTP as it should be{why}.", "invalid_http")


def _told(status: int, words: str, code: str) -> CheapRouterError:
    error = InvalidRequestError(words, code=code)
    error.status = status
    return error
