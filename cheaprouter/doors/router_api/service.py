"""What is there and how it is: `/health`, `/metrics`, the predecessor's `/v1/audit` and `/v1/metrics`, and `/`."""

from __future__ import annotations

import html
from string import Template
from typing import Final

from aiohttp import web

from ...core.const import VERSION
from ...core.errors import InvalidRequestError
from ..context import CONTROL, json_response, require_reader

_MOST_AUDIT_ROWS: Final = 10_000


async def health(request: web.Request) -> web.Response:
    """Always 200 while the process serves; says what is degraded."""
    return json_response(request.app[CONTROL].health())


async def audit(request: web.Request) -> web.Response:
    """The newest requests first, refusals included: `?limit=100`."""
    require_reader(request)
    raw = request.query.get("limit", "100")
    if not (raw.isascii() and raw.isdigit()) or not 1 <= int(raw) <= _MOST_AUDIT_ROWS:
        raise InvalidRequestError(f"`limit` must be a whole number from 1 to {_MOST_AUDIT_ROWS}.", param="limit")
    rows = await request.app[CONTROL].reports.audit(int(raw))
    return json_response({"data": rows, "count": len(rows)})


async def metrics_summary(request: web.Request) -> web.Response:
    """Totals and each device's, as JSON."""
    require_reader(request)
    return json_response(await request.app[CONTROL].reports.summary())


async def prometheus(request: web.Request) -> web.Response:
    """The same figures in Prometheus' text format."""
    require_reader(request)
    text = request.app[CONTROL].prometheus()
    return web.Response(body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def landing(request: web.Request) -> web.Response:
    """Explain the service to whoever opens it in a browser."""
    control = request.app[CONTROL]
    state = control.health()
    note = (
        "Demo mode: a built-in mock answers, no provider is configured."
        if state["demo"]
        else "Providers are configured."
    )
    page = _PAGE.substitute(
        base=html.escape(f"{request.scheme}://{request.host}/v1"), note=note, version=VERSION, status=state["status"]
    )
    return web.Response(
        text=page,
        content_type="text/html",
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
    )


_PAGE: Final = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>CheapRouter</title><style>
:root{color-scheme:light dark;font:16px/1.6 system-ui,sans-serif}
body{max-width:42rem;margin:3rem auto;padding:0 1rem}
pre{overflow:auto;padding:1rem;border-radius:.5rem;background:color-mix(in srgb,currentColor 8%,transparent)}
code{font-size:.9em}
</style></head><body>
<h1>CheapRouter</h1>
<p>This is an OpenAI-compatible API. Give any OpenAI client this base URL:</p>
<pre><code>$base</code></pre>
<p>$note Version $version, status: $status.</p>
<p>Models to ask for: <code>blockrun/auto</code>, <code>blockrun/eco</code>, <code>blockrun/premium</code>,
<code>blockrun/free</code>, or any id of <a href="v1/models"><code>/v1/models</code></a>.</p>
<pre><code>curl $base/chat/completions \\
  -H "Content-Type: application/json" -H "X-Device-ID: my-laptop" \\
  -d '{"model": "blockrun/auto", "messages": [{"role": "user", "content": "Hello!"}]}'</code></pre>
<p>See also <a href="health"><code>/health</code></a>, <a href="router/providers"><code>/router/providers</code></a>,
<a href="router/usage"><code>/router/usage</code></a> and <a href="metrics"><code>/metrics</code></a>.</p>
</body></html>
""")
