"""Everything an upstream can do wrong, as a table: what it does, and what a client must see.

Use it for tests of the pool and, through the whole server, with the official SDK: give the model `faulty` the fault's
scripts, and a second model `spare` none. Settings that a fault needs (short limits, another address) are in the row.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from cheaprouter.config.kinds import Timeouts
from tests.builders import Json, a_model_row, a_provider, free_port, sse

from .fault_server import (
    DONE,
    FINISH,
    GOOD,
    LAST_CHUNK,
    ROLE,
    STREAM_HEAD,
    USAGE,
    Close,
    Drip,
    FaultServer,
    Reset,
    Script,
    Send,
    Stall,
    completion,
    delta,
    good_stream,
    head,
    http_chunk,
    reply,
    stream,
    words,
)

ANSWER = "Hello from upstream."
QUICK = Timeouts(connect=0.5, first_token=0.05, idle=0.05, total=5.0, headers=0.05)
"""Limits short enough to be waited for in a test."""
QUICK_IDLE = replace(QUICK, first_token=5.0, headers=5.0)
"""For those that begin, however busy the machine is, and fall silent then."""

SECRET = "sk-secret-abcdefghijklmnop"
"""The key that tests give the faulty provider; upstreams echo it."""


@dataclass(frozen=True)
class Fault:
    """One row.

    `scripts`: answers to the successive requests for the faulty model. `stream`: what the client asks for.
    `status`, `code`: what the client is told when there is no spare model; 200 where the fault does no harm.
    `text`: what it then reads. `tries`: requests that reach the faulty model. `outcomes`: the attempts' own words.
    `spare`: whether a second model answers instead. `broken`: a stream that had begun ends with an error event.
    `retry_after`: seconds told to the client. `address`: `refused` and `tls` need another URL than the server's.
    """

    name: str
    scripts: tuple[Script | str, ...] = ()
    stream: bool = False
    status: int = 200
    code: str | None = None
    text: str = ANSWER
    tries: int = 1
    outcomes: tuple[str, ...] = ("ok",)
    spare: bool = True
    broken: bool = False
    retry_after: int | None = None
    address: str = "server"
    timeouts: Timeouts | None = None
    body: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def url(self, server: FaultServer) -> str:
        """Where the upstream with this fault is."""
        if self.address == "refused":
            return f"http://127.0.0.1:{free_port()}/v1"
        return server.url.replace("http:", "https:") if self.address == "tls" else server.url

    def provider(self, server: FaultServer, model_id: str, **row: Any) -> Json:
        """Settings of a provider whose model has this fault; `server` is told to answer so."""
        server.script(model_id.partition("/")[2], *self.scripts)
        limits: Json = {} if self.timeouts is None else {"timeouts": asdict(self.timeouts)}
        return a_provider(self.url(server), a_model_row(model_id, **row), api_key=SECRET, **limits)


def error(status: int, message: str = "It did not work.", code: str | None = None, **headers: str) -> Script:
    """An error reply in OpenAI's shape, which echoes the key as some vendors do."""
    return reply(
        status,
        {"error": {"message": f"{message} (key {SECRET})", "type": "some_error", "param": None, "code": code}},
        **headers,
    )


def refused(
    status: int, told: int, code: str, *, tries: int = 1, name: str = "", script: Script | None = None, **more: Any
) -> Fault:
    """A plain error status."""
    outcomes = (code,) * tries
    return Fault(
        name or f"status_{status}",
        (script or error(status),),
        status=told,
        code=code,
        tries=tries,
        outcomes=outcomes,
        **more,
    )


def failing(name: str, code: str, *scripts: Script, status: int = 502, tries: int = 1, **more: Any) -> Fault:
    """A reply that is none."""
    return Fault(name, scripts, status=status, code=code, tries=tries, outcomes=(code,) * tries, **more)


def _later(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


_STATUSES = (
    refused(400, 400, "invalid_value"),
    refused(400, 400, "invalid_value", name="status_400_endless", script=error(400, "x" * 500_000)),
    refused(401, 502, "upstream_authentication"),
    refused(402, 502, "upstream_payment"),
    refused(403, 502, "upstream_forbidden"),
    refused(404, 404, "model_not_found"),
    refused(408, 504, "upstream_timeout", tries=2),
    refused(409, 502, "upstream_conflict", tries=2),
    refused(413, 413, "request_too_large"),
    refused(422, 422, "invalid_value"),
    refused(425, 502, "upstream_too_early", tries=2),
    refused(429, 429, "rate_limit_exceeded"),
    refused(
        429, 429, "rate_limit_exceeded", name="status_429_seconds", script=error(429, Retry_After="20"), retry_after=20
    ),
    refused(
        429,
        429,
        "rate_limit_exceeded",
        name="status_429_date",
        script=error(429, Retry_After=_later(3600)),
        retry_after=120,
    ),
    refused(
        429,
        429,
        "rate_limit_exceeded",
        name="status_429_short",
        script=error(429, Retry_After_Ms="40"),
        tries=2,
        retry_after=1,
    ),
    refused(
        429,
        502,
        "upstream_payment",
        name="status_429_quota",
        script=error(429, "You exceeded your quota.", "insufficient_quota"),
    ),
    refused(500, 502, "upstream_error", tries=2),
    refused(502, 502, "upstream_error", tries=2),
    refused(503, 503, "upstream_overloaded"),
    refused(504, 504, "upstream_timeout"),
    refused(529, 503, "upstream_overloaded"),
    refused(
        400,
        400,
        "context_length_exceeded",
        name="context_exceeded",
        script=error(400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
    ),
    refused(
        400,
        400,
        "content_filter",
        name="content_filter_400",
        script=error(400, "Filtered.", "content_filter"),
        spare=False,
    ),
    refused(
        502,
        502,
        "upstream_error",
        name="html_error_page",
        script=reply(502, b"<html><h1>Bad gateway</h1>", "text/html"),
        tries=2,
    ),
    refused(
        307,
        502,
        "upstream_redirect",
        name="redirect",
        script=reply(307, b"", None, Location="http://127.0.0.1:9/elsewhere"),
    ),
    refused(
        400,
        400,
        "invalid_value",
        name="error_in_an_array",
        script=reply(400, [{"error": {"code": 400, "message": "Bad thing.", "status": "INVALID_ARGUMENT"}}]),
    ),
)

_RECOVERIES = (
    Fault("once_500_then_good", (error(500), GOOD), tries=2, outcomes=("upstream_error", "ok")),
    Fault("once_reset_then_good", ((Reset(),), GOOD), tries=2, outcomes=("upstream_reset", "ok")),
    Fault(
        "unsupported_parameter",
        (
            error(400, "Unsupported parameter: 'logprobs' is not supported with this model.", "unsupported_parameter"),
            GOOD,
        ),
        tries=2,
        outcomes=("unsupported_parameter", "ok"),
        body={"logprobs": True},
    ),
)

_CONNECTION = (
    Fault(
        "connect_refused",
        status=503,
        code="upstream_unreachable",
        tries=0,
        outcomes=("upstream_unreachable",) * 2,
        address="refused",
    ),
    Fault("tls_failure", status=503, code="upstream_tls", tries=0, outcomes=("upstream_tls",) * 2, address="tls"),
    failing("reset_before_headers", "upstream_reset", (Reset(),), tries=2),
    failing("closed_before_headers", "upstream_reset", (Close(),), tries=2),
    failing("reset_after_headers", "upstream_reset", (Send(head(200, Content_Length="500")), Reset()), tries=2),
    failing("reset_after_headers_stream", "upstream_reset", stream(then=(Reset(),)), tries=2, stream=True),
    failing("garbage_instead_of_http", "invalid_reply", (Send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), Close())),
    failing("slow_headers", "upstream_timeout", (Stall(),), status=504, timeouts=QUICK),
    failing("slow_headers_stream", "upstream_timeout", (Stall(),), status=504, timeouts=QUICK, stream=True),
    failing(
        "slow_first_token", "upstream_timeout", stream(ROLE, then=(Stall(),)), status=504, timeouts=QUICK, stream=True
    ),
    failing(
        "comments_are_no_token",
        "upstream_timeout",
        stream(b": keep-alive\n\n", b"\n", b": keep-alive\n\n", then=(Stall(),)),
        status=504,
        timeouts=QUICK,
        stream=True,
    ),
)

_DEGRADED = (
    failing("empty_body", "invalid_reply", reply(200, b"")),
    failing("empty_body_stream", "empty_reply", reply(200, b"", "text/event-stream"), stream=True),
    failing("empty_content", "empty_reply", reply(200, completion(""))),
    failing("null_content", "empty_reply", reply(200, completion(None))),
    failing("no_choices", "no_choices", reply(200, {"id": "x", "object": "chat.completion", "choices": []})),
    failing(
        "html_page_as_200", "invalid_reply", reply(200, b"<html>Log in to the hotel's network</html>", "text/html")
    ),
    failing("html_page_as_200_stream", "invalid_reply", reply(200, b"<html>hello</html>", "text/html"), stream=True),
    failing("status_204", "invalid_reply", (Send(head(204, None)),)),
    failing(
        "error_in_200",
        "upstream_error",
        reply(200, {"error": {"message": f"Broke with {SECRET}", "code": 500}}),
        tries=2,
    ),
    failing(
        "rate_limit_in_200",
        "rate_limit_exceeded",
        reply(200, {"error": {"message": "Slow down.", "code": 429}}),
        status=429,
    ),
    failing(
        "error_in_200_for_a_stream",
        "rate_limit_exceeded",
        reply(200, {"error": {"message": "Slow down.", "code": "rate_limit_exceeded", "type": "rate_limit_error"}}),
        status=429,
        stream=True,
    ),
    failing("truncated_json", "invalid_reply", reply(200, json.dumps(completion()).encode()[:-40])),
    failing(
        "broken_off_json", "upstream_reset", (Send(head(200, Content_Length="9999") + b'{"id": "x"'), Close()), tries=2
    ),
    failing("not_really_gzip", "invalid_reply", reply(200, b"plain text", Content_Encoding="gzip")),
    failing(
        "error_event_first",
        "upstream_error",
        stream(ROLE, sse({"error": {"message": "x", "code": 502}})),
        stream=True,
        tries=2,
    ),
    failing("role_then_end", "empty_reply", stream(ROLE), stream=True),
    failing("stream_of_nothing", "empty_reply", stream(ROLE, FINISH, DONE), stream=True),
    failing("finish_error", "empty_reply", stream(ROLE, sse(delta(None)), DONE), stream=True),
)


def _mid_stream(name: str, code: str, script: Script, text: str = "Hel", **more: Any) -> Fault:
    """A fault after text has gone out: no other model can take over, and the client is told."""
    return Fault(name, (script,), stream=True, code=code, text=text, spare=False, broken=True, **more)


_BEGUN = (ROLE, *words("Hel"))
_MID_STREAM = (
    _mid_stream(
        "error_event_mid_stream", "upstream_error", stream(*_BEGUN, sse({"error": {"message": SECRET, "code": 502}}))
    ),
    _mid_stream("truncated_stream", "upstream_truncated", stream(*_BEGUN)),
    _mid_stream("reset_mid_stream", "upstream_truncated", stream(*_BEGUN, then=(Reset(),))),
    _mid_stream("closed_mid_stream", "upstream_truncated", stream(*_BEGUN, then=(Close(),))),
    _mid_stream("cut_inside_an_event", "upstream_truncated", stream(*_BEGUN, b'data: {"id": "chatc', then=(Close(),))),
    _mid_stream("stall_mid_stream", "upstream_timeout", stream(*_BEGUN, then=(Stall(),)), timeouts=QUICK_IDLE),
)

_BIG = "x" * 1_000_000
_TEN_THOUSAND = [f"{n} " for n in range(10_000)]
_EMOJI = "Grüße, 世界 🦊👩‍👩‍👧! "


def _as_lines(*events: bytes, end: bytes) -> bytes:
    return b"".join(events).replace(b"\n", end)


_WHOLE_STREAM = b"".join((ROLE, *words("Hello ", "from ", "upstream."), FINISH, USAGE, DONE))

_HARMLESS = (
    Fault("good", (GOOD,)),
    Fault("good_stream", (GOOD,), stream=True),
    Fault("missing_done", (stream(ROLE, *words(ANSWER), FINISH),), stream=True),
    Fault("missing_done_and_close", (stream(ROLE, *words(ANSWER), FINISH, then=(Close(),)),), stream=True),
    Fault("no_blank_line_at_the_end", (stream(ROLE, *words(ANSWER), FINISH[:-2], then=(Close(),)),), stream=True),
    Fault("hangs_after_done", (stream(_WHOLE_STREAM, then=(Stall(),)),), stream=True),
    Fault("events_for_a_whole_reply", (good_stream(),)),
    Fault("whole_reply_for_a_stream", (reply(200, completion()),), stream=True),
    Fault("json_as_text_plain", (reply(200, completion(), "text/plain"),)),
    Fault("json_as_event_stream", (reply(200, completion(), "text/event-stream"),)),
    Fault("events_as_json", (stream(_WHOLE_STREAM, header=head(200, Transfer_Encoding="chunked")),), stream=True),
    Fault("no_content_type", (reply(200, completion(), None),)),
    Fault("gzip", (reply(200, gzip.compress(json.dumps(completion()).encode()), Content_Encoding="gzip"),)),
    Fault(
        "gzip_stream",
        (reply(200, gzip.compress(_WHOLE_STREAM), "text/event-stream", Content_Encoding="gzip"),),
        stream=True,
    ),
    Fault("huge_reply", (reply(200, completion(_BIG)),), text=_BIG),
    Fault("huge_chunk", (stream(ROLE, *words("a", _BIG), FINISH, DONE),), stream=True, text="a" + _BIG),
    Fault(
        "multi_byte_characters_split",
        ((Send(STREAM_HEAD), Drip(http_chunk(b"".join((ROLE, *words(*_EMOJI), FINISH, DONE))) + LAST_CHUNK, 7)),),
        stream=True,
        text=_EMOJI,
    ),
    Fault(
        "ten_thousand_chunks",
        (stream(ROLE, *words(*_TEN_THOUSAND), FINISH, DONE),),
        stream=True,
        text="".join(_TEN_THOUSAND),
    ),
    Fault("malformed_first", (stream(sse(b'{"choices": [{"del'), *words(ANSWER), FINISH, DONE),), stream=True),
    Fault(
        "malformed_mid_stream",
        (
            stream(
                ROLE,
                *words("Hello "),
                sse(b'{"id": "x", "choices": [{"delta": {"content": "no"}]}'),
                *words("from upstream."),
                FINISH,
                DONE,
            ),
        ),
        stream=True,
    ),
    Fault(
        "truncated_event_mid_stream",
        (
            stream(
                ROLE,
                *words("Hello "),
                sse(b'{"id":"x","choices":[{"delta":{"content":"no'),
                *words("from upstream."),
                FINISH,
                DONE,
            ),
        ),
        stream=True,
    ),
    Fault("crlf_lines", (stream(_as_lines(ROLE, *words(ANSWER), FINISH, DONE, end=b"\r\n")),), stream=True),
    Fault("cr_lines", (stream(_as_lines(ROLE, *words(ANSWER), FINISH, DONE, end=b"\r")),), stream=True),
    Fault("comments_first", (stream(b": OPENROUTER PROCESSING\n\n", b"\n\n", _WHOLE_STREAM),), stream=True),
    Fault("length_without_content", (reply(200, completion("", "length")),), text=""),
    Fault("content_filter_200", (reply(200, completion("", "content_filter")),), text=""),
    Fault("reasoning_only", (reply(200, completion("", reasoning_content="Hmm.")),), text=""),
    Fault("tiny_limit", (reply(200, completion("")),), text="", body={"max_tokens": 3}),
    Fault(
        "tiny_limit_stream", (stream(ROLE, sse(delta("length")), DONE),), text="", body={"max_tokens": 3}, stream=True
    ),
    Fault(
        "text_beside_the_finish",
        (stream(ROLE, *words("Hello "), sse(delta("stop", content="from upstream.")), DONE),),
        stream=True,
    ),
)

FAULTS: tuple[Fault, ...] = (*_STATUSES, *_RECOVERIES, *_CONNECTION, *_DEGRADED, *_MID_STREAM, *_HARMLESS)
