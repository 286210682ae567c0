"""Log lines of requests that are not booked: everything but what asks a model."""

from __future__ import annotations

import logging
from typing import Final

from aiohttp import web

from ..core.access import ACCESS, log_request
from ..gateway import CLIENT_CLOSED
from .context import BOOKED, CALLER, CONTROL, Handler

_WATCHED: Final = frozenset({"/health", "/metrics"})
"""Asked all day by machines that watch us."""


@web.middleware
async def log_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write a line for each request that has no other; those of machines that watch us only at `debug`."""
    if not ACCESS.isEnabledFor(logging.DEBUG if request.path in _WATCHED else logging.INFO):
        return await handler(request)
    control, status, request_id = request.app[CONTROL], CLIENT_CLOSED, None
    monotonic = control.accounts.clock.monotonic
    began = monotonic()
    try:
        response = await handler(request)
        status = response.status
        if not response.prepared:
            response.headers.setdefault("x-request-id", control.gateway.new_id())
        request_id = response.headers.get("x-request-id")
    finally:
        if BOOKED not in request:
            caller = request.get(CALLER)
            device = None if caller is None else caller.device_id
            path, ms = request.rel_url.raw_path, (monotonic() - began) * 1000
            log_request(request.method, path, status, ms, device=device, id=request_id)
    return response
