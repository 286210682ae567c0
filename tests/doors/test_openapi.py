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

EXAMPLES = 12
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


def attempts(door):
    """Right requests as the admin and as nobody, and wrong ones of the admin where something can be wrong."""
    yield "right", True
    yield "right", False
    if door.body or door.query:
        yield "wrong", True


ATTEMPTS = [(door, kind, signed_in) for door in DOORS for kind, signed_in in attempts(door)]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("door", "kind", "signed_in"),
    ATTEMPTS,
    ids=[
        f"{door.method} {door.path}, {kind}, {'admin' if signed_in else 'nobody'}" for door, kind, signed_in in ATTEMPTS
    ],
)
def test_what_it_says_is_true(served, door, kind, signed_in):
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis of the extra `test` is not installed")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis import GenerationMode

    operation = schemathesis.openapi.from_dict(document())[door.path][door.method.upper()]
    mode = GenerationMode.POSITIVE if kind == "right" else GenerationMode.NEGATIVE
    headers = served.admin if signed_in else {}
    true = checks()

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case):
        case.validate_response(case.call(base_url=served.url, headers=headers, timeout=30), checks=true)

    attempt()


TRUE = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
"""Of schemathesis' checks those about what the document says. What a body may hold is more than it tells: fields pass through."""


def checks():
    from schemathesis.checks import CHECKS, load_all_checks

    load_all_checks()
    return CHECKS.get_by_names(list(TRUE))
