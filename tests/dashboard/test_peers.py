from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.dashboard.peers import Visitor, admit, base_path

LOCAL = {"Host": "localhost:8099"}


@pytest.mark.parametrize("peer", ["172.30.32.2", "::ffff:172.30.32.2"])
def test_the_supervisor_is_let_in_under_any_host(peer: str) -> None:
    assert admit(peer, {"Host": "anything.example"}) == Visitor()


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost:8099", "127.0.0.1", "[::1]:8099", "LOCALHOST"])
def test_this_machine_is_let_in(peer: str, host: str) -> None:
    assert admit(peer, {"Host": host}) == Visitor()


@pytest.mark.parametrize(
    "peer",
    [
        "172.30.32.1",
        "172.30.33.5",
        "192.168.1.5",
        "8.8.8.8",
        "::",
        "fe80::1%eth0",
        "0.0.0.0",
        "",
        None,
        "nonsense",
        "172.30.32.2.evil",
    ],
)
def test_everybody_else_stays_outside_whatever_they_claim(peer: str | None) -> None:
    claims = {
        "X-Forwarded-For": "172.30.32.2",
        "X-Real-IP": "127.0.0.1",
        "X-Ingress-Path": "/api/hassio_ingress/abc",
        "Host": "localhost",
    }
    assert admit(peer, claims) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8099", "localhost.evil.example", "", "127.0.0.1.nip.io:8099"]
)
def test_a_page_with_a_name_that_leads_here_is_refused(host: str) -> None:
    assert admit("127.0.0.1", {"Host": host}) is None


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        ("http://localhost:8099", True),
        ("http://localhost:3000", False),
        ("null", False),
        ("https://evil.example", False),
    ],
)
def test_a_page_of_another_origin_is_refused_on_this_machine(origin: str, welcome: bool) -> None:
    assert (admit("127.0.0.1", LOCAL | {"Origin": origin}) is not None) is welcome


def test_the_users_name_comes_from_home_assistant() -> None:
    assert admit(
        "172.30.32.2", {"X-Remote-User-Name": "ann", "X-Remote-User-Display-Name": "Ann\x00 O\u2019Hara"}
    ) == Visitor("Ann O\u2019Hara")


def test_a_long_name_is_cut() -> None:
    assert len(admit("172.30.32.2", {"X-Remote-User-Name": "x" * 500}).name) == 64


@pytest.mark.parametrize("path", ["/api/hassio_ingress/aB3-_x", "/api/hassio_ingress/aB3-_x/"])
def test_the_base_path_is_taken_from_its_header(path: str) -> None:
    assert base_path(path) == "/api/hassio_ingress/aB3-_x"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//evil.example",
        "https://evil.example/",
        "/api/hassio_ingress/",
        "/api/hassio_ingress/a/b",
        '/api/hassio_ingress/"><script>',
        "/api/hassio_ingress/..",
        "/api/hassio_ingress/a\n",
    ],
)
def test_any_other_base_path_counts_for_nothing(path: str) -> None:
    assert base_path(path) == ""


@given(st.text())
def test_no_base_path_can_leave_an_attribute(path: str) -> None:
    assert not set(base_path(path)) & set("\"'<>& \n")
