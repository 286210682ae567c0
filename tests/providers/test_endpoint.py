"""The bytes that requests begin with: made once, and never more headers than were meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.config.settings import ProviderSettings
from cheaprouter.providers.adapters import adapter_for
from cheaprouter.providers.endpoint import DIRECT, Endpoint, Link, Origin, proxy_address


def test_a_request_is_its_line_its_headers_its_length_and_its_body():
    endpoint = Endpoint("POST", "https://api.example/v1/chat", {"Authorization": "Bearer k"})
    assert endpoint.message(b"{}") == (
        b"POST /v1/chat HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer k\r\nContent-Length: 2\r\n\r\n{}"
    )


def test_a_request_without_a_body_says_no_length():
    assert Endpoint("GET", "http://a:1/b", {"X": "y"}).message(None) == b"GET /b HTTP/1.1\r\nHost: a:1\r\nX: y\r\n\r\n"


def test_the_users_host_wins_and_lengths_are_not_the_users():
    headers = {"host": "inner.home", "Content-Length": "7", "TRANSFER-ENCODING": "chunked"}
    assert Endpoint("GET", "http://a/", headers).message(None) == b"GET / HTTP/1.1\r\nhost: inner.home\r\n\r\n"


def test_a_login_in_an_address_is_not_sent_along():
    assert b"secret" not in Endpoint("GET", "http://me:secret@a/", {}).message(None)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_header_makes_two(name, value):
    endpoint = Endpoint("GET", "http://a/", {name: value})
    if not endpoint.problem:
        assert endpoint.message(None).count(b"\r") == endpoint.message(None).count(b"\n") <= 4


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://x/", "http://", "http://a b/", "http://x:port/", "mock://"])
def test_an_address_that_is_none_of_http_is_a_problem_only_for_who_sends_there(url):
    endpoint = Endpoint("POST", url, {})
    assert (endpoint.url, endpoint.origin, endpoint.problem != "") == (url, None, True)


def test_requests_share_connections_by_scheme_host_port_and_settings():
    def origin(url, link=DIRECT):
        return Endpoint("GET", url, {}, link).origin

    assert origin("https://a/x") == origin("https://A:443/y?z") == Origin(tls=True, host="a", port=443, link=DIRECT)
    others = [origin("http://a:443/"), origin("https://b/"), origin("https://a:444/"), origin("https://a/", Link("f"))]
    assert len({origin("https://a/"), *others}) == 5


def test_a_proxy_is_told_the_whole_address_of_http_alone():
    link = Link(proxy="http://u:p@proxy:3128")
    assert Endpoint("GET", "http://a:1/b", {}, link).message(None) == (
        b"GET http://a:1/b HTTP/1.1\r\nHost: a:1\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
    )
    assert Endpoint("GET", "https://a/b", {}, link).message(None) == b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://10.0.0.1:3128", ("10.0.0.1", 3128, "")),
        ("http://proxy.home", ("proxy.home", 80, "")),
        ("http://u:p%40ss@[::1]:1", ("::1", 1, "Basic dTpwQHNz")),
        ("http://u@h:1", ("h", 1, "Basic dTo=")),
    ],
)
def test_a_proxys_address_is_read_in_parts(url, address):
    assert proxy_address(url) == address


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("anthropic", "https://api.anthropic.com/v1/models?limit=1000"),  # of 20 a page it would tell the newest alone
        ("groq", "https://api.groq.com/openai/v1/models"),
        ("zai", "https://api.z.ai/api/paas/v4/models"),
    ],
)
def test_the_whole_list_of_models_is_asked_for_where_the_preset_has_it(kind, url):
    assert adapter_for(ProviderSettings(kind, kind)).models_request(None).url == url
