"""What an upstream that means harm answers: bodies, streams, errors, heads and lists of models by their names. Pure."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator

MB = 1 << 20
PIECE = 64 * 1024
Bytes = Iterator[bytes]


def event(delta: object, **more: object) -> bytes:
    """One chunk of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def whole(**more: object) -> bytes:
    """A completion."""
    message = {"role": "assistant", "content": "Hello."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    return json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage, **more}).encode()  # fmt: skip


ROLE, HELLO = event({"role": "assistant", "content": ""}), event({"content": "Hello "})
FINISH = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
END = FINISH + DONE


def deep(depth: int, inner: bytes = b"1") -> bytes:
    return b"[" * depth + inner + b"]" * depth


def repeat(piece: bytes, size: int = PIECE) -> bytes:
    return piece * max(1, size // len(piece))


def for_ever(piece: bytes, *first: bytes) -> Bytes:
    """The pieces, then one without end."""
    yield from first
    many = repeat(piece)
    while True:
        yield many


def nested(size: int) -> bytes:
    """So many bytes of small values."""
    return b"[" + b"[1],{}," * (size // 7) + b"0]"


def packed(data: bytes, size: int, bits: int) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, bits)
    return b"".join([engine.compress(data * (MB // len(data))) for _ in range(size)]) + engine.flush()


def calls(*indexes: object, **function: object) -> bytes:
    rows = [{"index": i, "id": f"c{i}", "type": "function", "function": {"name": "f", "arguments": "{}", **function}} for i in indexes]  # fmt: skip
    return event({"tool_calls": rows})


def counting(make: Callable[[int], bytes], most: int = 10**9) -> Bytes:
    """Pieces that are all others."""
    batch: list[bytes] = []
    for number in range(most):
        batch.append(make(number))
        if len(batch) == 200:
            yield b"".join(batch)
            batch.clear()
    yield b"".join(batch)


ABSURD = ["1e999999", "-1e999999", "1e308", "9" * 5000, "-5", '"NaN"', '"1e999999"', '"' + "9" * 5000 + '"', "1" + "0" * 400, "null", "true", "[]", "{}", '""']  # fmt: skip


def usage(number: str) -> bytes:
    """A whole answer whose counts and costs are all that number."""
    names = (
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cost",
        "total_cost",
        "cost_in_usd_ticks",
        "num_search_queries",
    )
    told = ",".join(f'"{name}":{number}' for name in names)
    inside = f'{{{told},"prompt_tokens_details":{{"cached_tokens":{number},"audio_tokens":{number}}}}}'
    return whole()[:-1].split(b', "usage"')[0] + b', "usage": ' + inside.encode() + b"}"


STREAMS: dict[str, Callable[[], Bytes]] = {
    "comments": lambda: for_ever(b": still here\n\n"),
    "blank-lines": lambda: for_ever(b"\n"),
    "carriage-returns": lambda: for_ever(b"\r"),
    "empty-deltas": lambda: for_ever(event({})),
    "role-deltas": lambda: for_ever(ROLE),
    "empty-texts": lambda: for_ever(event({"content": ""})),
    "other-empties": lambda: counting(lambda n: event({"role": "assistant"}, extra=n)),
    "no-choices": lambda: for_ever(b'data: {"choices": []}\n\n'),
    "usages": lambda: for_ever(b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}\n\n'),
    "empty-events": lambda: for_ever(b"event: ping\n\n"),
    "thinking": lambda: for_ever(event({"reasoning_content": "so then "})),
    "tag-thinking": lambda: for_ever(event({"content": "so then "}), event({"content": "<think>"})),
    "comments-after-text": lambda: for_ever(b": still here\n\n", ROLE, HELLO),
    "empties-after-text": lambda: for_ever(event({}), ROLE, HELLO),
    "others-after-text": lambda: (yield_all((ROLE, HELLO), counting(lambda n: event({}, extra=n)))),
    "text-for-ever": lambda: for_ever(event({"content": "word "}), ROLE),
    "texts-of-all-kinds": lambda: counting(lambda n: event({"content": "word "}, extra=n)),
    "line-without-end": lambda: for_ever(b"x", b"data: "),
    "json-without-end": lambda: for_ever(b"[", b"data: "),
    "deep-chunk": lambda: iter((ROLE, HELLO, b'data: {"choices": [], "x": ' + deep(100_000) + b"}\n\n", END)),
    "deep-first": lambda: iter((b"data: " + deep(100_000) + b"\n\n", ROLE, HELLO, END)),
    "deep-delta": lambda: iter((ROLE, b'data: {"choices": [{"index": 0, "delta": {"content": "a", "x": ' + deep(900) + b"}}]}\n\n", END)),
    "brackets-in-arguments": lambda: iter((ROLE, calls(0, arguments=("{" + "[{" * 100_000)), END)),
    "surrogates-and-deep": lambda: iter((ROLE, b'data: {"x": "\\ud800", "choices": [{"index": 0, "delta": {"content": ' + deep(5000) + b"}}]}\n\n", END)),
    "event-60mb": lambda: iter((ROLE, b'data: {"choices": [{"index": 0, "delta": {"content": "', *[b"x" * MB] * 60, b'"}}]}\n\n', END)),
    "event-20mb-values": lambda: iter((ROLE, b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}], "x": ' + nested(20 * MB) + b"}\n\n", END)),
    "event-20mb-escapes": lambda: iter((ROLE, b'data: {"choices": [{"index": 0, "delta": {"content": "' + b"\\u00e9" * (20 * MB // 6) + b'"}}]}\n\n', END)),
    "call-index-huge": lambda: iter((ROLE, calls(10**9, -5, 2**70, 1e30), calls(10**9), END)),
    "call-index-odd": lambda: iter((ROLE, calls("x", None, [1], {}, True), END)),
    "many-calls": lambda: counting(calls, 60_000),
    "many-calls-at-once": lambda: iter((ROLE, calls(*range(20_000)), END)),
    "choice-index-huge": lambda: iter((event({"content": "a"}).replace(b'"index": 0', b'"index": 1000000000'), HELLO, END)),
    "many-choices": lambda: counting(lambda n: event({"content": "a"}).replace(b'"index": 0', b'"index": %d' % n), 60_000),
    "name-20mb": lambda: iter((ROLE, calls(0, name="f" * 20 * MB), END)),
    "id-20mb": lambda: iter((event({"content": "a"}, id="i" * 20 * MB), HELLO, END)),
    "arguments-in-bits": lambda: yield_all((ROLE,), counting(lambda _: calls(0, arguments="ab"), 60_000)),
    "lists-in-bits": lambda: yield_all((ROLE, HELLO), counting(lambda n: event({"annotations": [{"n": n}]}), 60_000)),
    "details-in-bits": lambda: yield_all((ROLE, HELLO), counting(lambda n: event({"reasoning_details": [{"index": n, "text": "a"}]}), 30_000)),
    "numbers": lambda: iter((ROLE, HELLO, b'data: {"choices": [], "usage": {"prompt_tokens": 1e999999, "cost": 1e999999}}\n\n', END)),
}  # fmt: skip
"""Bodies of a stream; sent in chunks."""


def yield_all(first: tuple[bytes, ...], rest: Bytes) -> Bytes:
    yield from first
    yield from rest


BODIES: dict[str, tuple[Callable[[], bytes], bytes]] = {
    "whole-20mb-values": (lambda: whole(x=1)[:-1] + b', "y": ' + nested(20 * MB) + b"}", b""),
    "whole-64mb-values": (lambda: whole(x=1)[:-1] + b', "y": ' + nested(63 * MB) + b"}", b""),
    "whole-60mb-text": (lambda: whole(x="y" * 60 * MB), b""),
    "whole-deep": (lambda: whole()[:-1] + b', "y": ' + deep(100_000) + b"}", b""),
    "whole-deep-900": (lambda: whole()[:-1] + b', "y": ' + deep(900) + b"}", b""),
    "whole-many-choices": (lambda: json.dumps({"choices": [{"index": i, "message": {"content": "a"}, "finish_reason": "stop"} for i in range(100_000)]}).encode(), b""),
    "whole-many-calls": (lambda: whole(choices=[{"index": 0, "message": {"role": "assistant", "tool_calls": [{"id": "", "function": {"name": "f", "arguments": "{}"}}] * 100_000}, "finish_reason": "tool_calls"}]), b""),
    "gzip-bomb": (lambda: packed(b" " * 1024, 256, 31), b"gzip"),
    "deflate-bomb": (lambda: packed(b" " * 1024, 256, 15), b"deflate"),
    "gzip-of-events": (lambda: packed(b": still here\n\n", 256, 31), b"gzip"),
    "gzip-of-values": (lambda: gzip.compress(whole()[:-1] + b', "y": ' + nested(60 * MB) + b"}", 1), b"gzip"),
    "gzip-members": (lambda: gzip.compress(b"") * 200_000, b"gzip"),
    "brotli": (lambda: b"\x1b\xff\xff\xff" * 1000, b"br"),
    "zstd": (lambda: b"\x28\xb5\x2f\xfd" * 1000, b"zstd"),
    "empty-object": (lambda: b"{}", b""),
    "choices-number": (lambda: b'{"choices": 1e999999}', b""),
    **{f"usage-{place}": ((lambda number=number: usage(number)), b"") for place, number in enumerate(ABSURD)},
}  # fmt: skip
"""Bodies that are sent with their length, and their `Content-Encoding`."""

ERRORS: dict[str, tuple[int, Callable[[], bytes], bytes]] = {
    "error-mbs": (500, lambda: b'{"error": {"message": "' + b"x" * 5 * MB + b'"}}', b""),
    "error-spaces": (400, lambda: b'{"error": {"message": "' + b" " * 200_000 + b'x"}}', b""),
    "error-lines": (400, lambda: b"\n \t" * 80_000 + b"x", b""),
    "error-html": (502, lambda: b"<" * 250_000, b""),
    "error-tags": (502, lambda: b"<a " * 80_000, b""),
    "error-braces": (400, lambda: b'{"error": "' + b"{" * 200_000 + b'"}', b""),
    "error-quotes": (400, lambda: b'{"error": {"message": "' + b'\\"' * 100_000 + b'"}}', b""),
    "error-digits": (429, lambda: b'{"error": {"message": "try again in ' + b"9" * 200_000 + b's"}}', b""),
    "error-numbers": (400, lambda: b'{"error": {"message": "maximum context length is ' + b"1 " * 100_000 + b'tokens"}}', b""),
    "error-words": (400, lambda: b'{"error": {"message": "' + b"unsupported parameter: 'a.b' is not " * 6_000 + b'"}}', b""),
    "error-deep": (400, lambda: b'{"error": ' + deep(100_000) + b"}", b""),
    "error-values": (400, lambda: b'{"error": ' + nested(250_000) + b"}", b""),
    "error-endless": (500, lambda: b"", b""),
    "error-keys": (401, lambda: b'{"error": {"message": "' + b"sk-" * 80_000 + b'"}}', b""),
    "error-urls": (400, lambda: b'{"error": {"message": "' + b"https://" * 30_000 + b'"}}', b""),
    **{
        f"retry-{place}": (status, lambda: b'{"error": {"message": "slow down"}}', header)
        for place, (status, header) in enumerate([
            (429, b"Retry-After: 1000000000\r\n"),
            (429, b"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n"),
            (503, b"Retry-After: Mon, 01 Jan 0001 00:00:00 GMT\r\n"),
            (429, b"Retry-After: " + b"9" * 5000 + b"\r\n"),
            (429, b"Retry-After: -1e999999\r\n"),
            (429, b"Retry-After: 1e999999\r\n"),
            (429, b"retry-after-ms: 1e300\r\n"),
            (429, b"x-ratelimit-reset: 99999999999999999999\r\n"),
            (429, b"x-ratelimit-reset-requests: 999999999999h\r\nx-ratelimit-remaining-requests: 0\r\n"),
            (429, b"x-ratelimit-reset: 9999-12-31T23:59:59Z\r\nx-ratelimit-remaining: 0\r\n"),
            (429, b"anthropic-ratelimit-requests-reset: 9999-12-31T23:59:59Z\r\nanthropic-ratelimit-requests-remaining: 0\r\n"),
            (429, b"Date: Fri, 99 Foo 99999 99:99:99 GMT\r\nRetry-After: Fri, 99 Foo 99999 99:99:99 GMT\r\n"),
        ])
    },
}  # fmt: skip

REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def _head_mbs() -> Bytes:
    yield b"HTTP/1.1 200 OK\r\nX-Long: "
    for _ in range(100):
        yield b"x" * PIECE


def _many_headers() -> Bytes:
    yield b"HTTP/1.1 200 OK\r\n"
    for part in range(1000):
        yield b"".join(b"X-%d-%d: a\r\n" % (part, number) for number in range(100))


def _same_header() -> Bytes:
    yield b"HTTP/1.1 200 OK\r\n"
    for _ in range(1000):
        yield b"X-Same: " + b"a" * 600 + b"\r\n"


def _interim() -> Bytes:
    while True:
        yield b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 500


HEADS: dict[str, Callable[[], Bytes]] = {
    "head-mbs": _head_mbs,
    "many-headers": _many_headers,
    "same-header": _same_header,
    "interim-endless": _interim,
    "chunk-sizes": lambda: iter((REPLY + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 60_000 + b"1\r\na\r\n0\r\n\r\n",)),
    "chunk-size-huge": lambda: iter((REPLY + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",)),
    "chunk-extensions": lambda: for_ever(b";a=b", REPLY + b"Transfer-Encoding: chunked\r\n\r\n1"),
    "trailers": lambda: for_ever(b"X: a\r\n", REPLY + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"),
    "length-huge": lambda: iter((REPLY + b"Content-Length: 99999999999999999999\r\n\r\n{}",)),
    "length-negative": lambda: iter((REPLY + b"Content-Length: -1\r\n\r\n{}",)),
    "tiny-chunks": lambda: for_ever(b"1\r\n \r\n", REPLY + b"Transfer-Encoding: chunked\r\n\r\n"),
    "status-odd": lambda: iter((b"HTTP/1.1 999 \xff\xfe\x00\r\nContent-Length: 0\r\n\r\n",)),
    "status-none": lambda: iter((b"HTTP/1.1  \r\n\r\n",)),
    "not-http": lambda: for_ever(b"\x00\xff\x16\x03"),
    "redirect": lambda: iter((b"HTTP/1.1 302 Found\r\nLocation: /v1/chat/completions\r\nContent-Length: 0\r\n\r\n",)),
    "upgrade": lambda: iter((b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + b"x" * 1000,)),
    "no-content": lambda: iter((b"HTTP/1.1 204 No Content\r\n\r\n",)),
}  # fmt: skip
"""What is written in place of a proper answer; the connection closes where it ends."""

RESETS = (
    "reset-at-once",
    "reset-in-head",
    "reset-after-head",
    "reset-in-chunk",
    "reset-after-text",
    "reset-before-done",
)
SLOW = ("slow-head", "slow-body", "slow-text", "silent")


def listed(*rows: bytes) -> bytes:
    return b'{"object": "list", "data": [' + b",".join(rows) + b"]}"


def priced(number: str) -> bytes:
    pricing = ",".join(
        f'"{name}": {number}' for name in ("prompt", "completion", "request", "input_cache_read", "image_output")
    )
    row = f'{{"id": "priced", "context_length": {number}, "max_output_tokens": {number}, "created": {number}, "pricing": {{{pricing}}}}}'  # fmt: skip
    return listed(row.encode(), b'{"id": "plain"}')


LISTS: dict[str, Callable[[], Bytes]] = {
    **{f"price-{place}": (lambda number=number: iter((priced(number),))) for place, number in enumerate(ABSURD)},
    "many": lambda: iter((listed(*[b'{"id": "model-%d", "pricing": {"prompt": "0.1", "completion": "0.2"}}' % n for n in range(100_000)]),)),
    "thousands": lambda: iter((listed(*[b'{"id": "vendor/model-%d-instruct", "pricing": {"prompt": "0.1", "completion": "0.2"}}' % n for n in range(4900)]),)),
    "names-only": lambda: iter((b"[" + b",".join(b'"m%d"' % n for n in range(300_000)) + b"]",)),
    "huge-ids": lambda: iter((listed(*[b'{"id": "%d-' % n + b"x" * MB + b'"}' for n in range(10)], b'{"id": "plain"}'),)),
    "odd-ids": lambda: iter((listed(b'{"id": "a\\u0000b"}', b'{"id": "../../etc/passwd"}', b'{"id": "a/b/c//d"}', b'{"id": "\\ud800"}', b'{"id": "a\\nb"}', b'{"id": ""}', b'{"id": 5}', b'{"id": null}', b'{"id": ["x"]}', b'{"id": "<script>"}', b'{"id": "{\\"x\\"}"}', b'{"id": "+/#"}', b"5", b"null", b'{"id": "plain"}'),)),
    "same-ids": lambda: iter((listed(*[b'{"id": "same"}'] * 100_000),)),
    "deep": lambda: iter((b'{"data": ' + deep(100_000) + b"}",)),
    "deep-900": lambda: iter((listed(b'{"id": "plain", "x": ' + deep(900) + b"}"),)),
    "values": lambda: iter((b'{"data": ' + nested(15 * MB) + b"}",)),
    "endless": lambda: for_ever(b'{"id": "a"},', b'{"data": ['),
    "spaces": lambda: for_ever(b" "),
    "half": lambda: iter((b'{"data": [{"id": "x"',)),
    "number": lambda: iter((b"9" * 5000,)),
    "fields": lambda: iter((listed(*[b'{"id": "f%d", "capabilities": ["%s"], "endpoints": ["%s"], "type": "%s"}' % (n, b"x" * 2000, b"/" * 2000, b"_" * 2000) for n in range(2000)]),)),
    "names-for-patterns": lambda: iter((listed(*[b'{"id": "%d-%s"}' % (n, b"guard-e5-image-" * 16) for n in range(5000)]),)),
}  # fmt: skip
"""Lists of models; `slow` is one more, which never ends."""

DETAILS: dict[str, bytes] = {
    "props": b'{"default_generation_settings": {"n_ctx": 1e999999}, "modalities": ' + deep(500) + b"}",
    "show": b'{"capabilities": ["completion"], "parameters": "' + b"num_ctx " * 100_000 + b'", "model_info": {"general.architecture": "x", "x.context_length": 1e999999}}',
    "show-deep": b'{"capabilities": ' + deep(900) + b', "model_info": ' + nested(10 * MB) + b"}",
}  # fmt: skip
