"""The OpenAPI document tells of every endpoint, is the same everywhere, and is true: schemathesis tries it on a running router."""

from __future__ import annotations

import asyncio
import json
import re
import threading

import pytest

from cheaprouter.core.const import VERSION
from cheaprouter.doors.openapi import DOORS, ERRORS, document
from cheaprouter.doors.server import build_app
from tests.builders_house import SECRET, make_house
from tests.doors.wire import lines
from tests.fakes.router import router

EXAMPLES = 15
"""Requests for each operation and each way of making them, the same ones each time."""


def operations():
    return {(method, path): told for path, methods in document()["paths"].items() for method, told in methods.items()}


async def test_every_route_is_in_it_and_nothing_else(tmp_path):
    async with make_house(tmp_path) as home:
        routes = {(r.method.lower(), r.resource.canonical) for r in build_app(home.control).router.routes()}
    assert set(operations()) == {route for route in routes if route[0] != "head"}


def test_every_operation_has_a_name_of_its_own_and_words():
    told = operations().values()
    assert len({one["operationId"] for one in told}) == len(told)
    assert all(one["summary"] for one in told)


def test_every_reference_leads_somewhere():
    text = json.dumps(document())
    names = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert names <= set(document()["components"]["schemas"])
    assert names >= set(document()["components"]["schemas"]) - {"Message"}


def test_every_error_has_openais_shape():
    for told in operations().values():
        for status, answer in told["responses"].items():
            if int(status) >= 400:
                assert int(status) in ERRORS
                assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}


async def test_it_is_served_the_same_to_everyone_and_holds_nothing_of_the_house(home, api):
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: pi.lan\r\n\r\n"
    first, second = await api.ask(ask, ask)
    assert (first.status, first.header("Content-Type")) == (200, "application/json")
    assert first.body == second.body
    assert first.json["info"]["version"] == VERSION
    assert first.json["openapi"].startswith("3.1")
    for secret in (SECRET, home.house.admin_key, "lab/small", "kitchen-tablet"):
        assert secret not in first.body.decode()


async def test_with_keys_it_needs_one_as_every_read_does(tmp_path):
    async with make_house(tmp_path, auth="keys") as home, lines(home.control) as api:
        [answer] = await api.ask(b"GET /openapi.json HTTP/1.1\r\nHost: pi.lan\r\n\r\n")
    assert answer.status == 401


# --- tried on a running router -----------------------------------------------------------------------------------


class Served:
    """A router in a thread of its own, since schemathesis blocks."""

    def __init__(self, folder):
        self.url, self.admin = "", {}
        self._folder = folder
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    async def _run(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with router(self._folder, {"auth": "keys", "aliases": {"*": "mock/default"}}) as client:
            self.url, self.admin = client.url, client.admin()
            self._ready.set()
            await self._stop.wait()

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with Served(tmp_path_factory.mktemp("openapi")) as made:
        yield made


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("signed_in", [True, False], ids=["admin", "nobody"])
@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.method} {door.path}")
def test_what_it_says_is_true(served, door, signed_in):
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis of the extra `test` is not installed")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis import GenerationMode

    schema = schemathesis.openapi.from_dict(document())
    operation = schema[door.path][door.method.upper()]
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        try:
            cases = operation.as_strategy(generation_mode=mode)
        except (TypeError, ValueError):
            continue

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases)
        def attempt(case):
            headers = served.admin if signed_in else {}
            response = case.call(base_url=served.url, headers=headers, timeout=30)
            case.validate_response(response, checks=CHECKS(schemathesis))

        attempt()


def CHECKS(schemathesis):  # noqa: N802
    from schemathesis.checks import not_a_server_error
    from schemathesis.openapi.checks import (
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    return [
        not_a_server_error,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
        status_code_conformance,
    ]
