"""Whose word is taken for where a request comes from."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from cheaprouter.core.addresses import Proxies, Seen

PEER = "172.30.33.2"
OURS = Proxies(tuple(map(ip_network, (PEER, "10.0.0.0/24", "fd00::/64"))))


def caller(headers, *, peer=PEER, proxies=OURS):
    return proxies.caller(peer, CIMultiDict(headers))


def by(*values, name="X-Forwarded-For"):
    return caller([(name, value) for value in values]).address


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Forwarded-Proto"])
def test_nothing_is_taken_from_a_peer_that_is_no_proxy_of_ours(name):
    said = {name: {"X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4;proto=https"}.get(name, "https")}
    assert caller(said, peer="192.168.1.9") == Seen("192.168.1.9")
    assert caller(said, proxies=Proxies()) == Seen(PEER)


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("192.168.1.7", "192.168.1.7"),
        ("  192.168.1.7\t", "192.168.1.7"),
        ("192.168.1.7:51234", "192.168.1.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:DB8::7]:51234", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.168.1.7", "192.168.1.7"),
    ],
)
def test_an_address_is_read_in_every_form_that_proxies_write(told, address):
    assert by(told) == address
    quoted = f'for="{told.strip()}"'
    assert by(quoted, name="Forwarded") == address


def test_the_caller_is_the_last_that_is_no_proxy():
    assert by("8.8.8.8, 192.168.1.7, 10.0.0.5, fd00::9") == "192.168.1.7"


def test_several_headers_are_one_list():
    assert by("8.8.8.8", "192.168.1.7, 10.0.0.5") == "192.168.1.7"


def test_where_all_are_proxies_the_first_of_them_asked():
    assert by("10.0.0.6, 10.0.0.5") == "10.0.0.6"


@pytest.mark.parametrize(
    "junk",
    [
        "unknown",
        "_hidden",
        "",
        "1.2.3",
        "1.2.3.4:x",
        "[::1",
        "999.1.1.1",
        "1.2.3.4 5",
        "[1.2.3.4]x",
        "x" * 5000,
        "\u0661.\u0662.\u0663.\u0664",
    ],
)
def test_what_cannot_be_read_is_not_believed_nor_anything_before_it(junk):
    assert by(f"8.8.8.8, {junk}") == PEER
    assert by(f"8.8.8.8, {junk}, 10.0.0.5") == "10.0.0.5"
    assert by(f"{junk}, 192.168.1.7") == "192.168.1.7"


def test_an_ipv4_proxy_that_came_by_ipv6_is_the_same():
    assert caller({"X-Forwarded-For": "192.168.1.7"}, peer=f"::ffff:{PEER}").address == "192.168.1.7"


def test_an_endless_list_is_not_read_to_its_beginning():
    assert by(", ".join(["192.168.1.7"] + ["10.0.0.5"] * 1000)) == "10.0.0.5"


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("for=192.168.1.7", "192.168.1.7"),
        ("For=192.168.1.7 ; Proto=https;by=203.0.113.43", "192.168.1.7"),
        ('for=8.8.8.8, for="[2001:db8::7]:4711"', "2001:db8::7"),
        ('for=8.8.8.8;x=", for=192.168.1.7', "192.168.1.7"),
        ('for=8.8.8.8;x=", for="[2001:db8::7]"', "2001:db8::7"),
        ("for=8.8.8.8, for=192.168.1.7;for=1.2.3.4", PEER),
        ("for=8.8.8.8, for", PEER),
        ("for=8.8.8.8, proto=https", PEER),
        ("for=_secret", PEER),
        ('for="8.8.8.8', PEER),
    ],
)
def test_the_standard_header_is_read_by_its_grammar(told, address):
    assert by(told, name="Forwarded") == address


def test_the_header_that_every_proxy_writes_wins_over_one_that_it_may_only_have_passed_on():
    assert caller({"Forwarded": "for=8.8.8.8", "X-Forwarded-For": "192.168.1.7"}).address == "192.168.1.7"


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ({"X-Forwarded-For": "192.168.1.7", "X-Forwarded-Proto": "https"}, "https"),
        ({"X-Forwarded-For": "192.168.1.7", "X-Forwarded-Proto": "HTTPS "}, "https"),
        ({"X-Forwarded-For": "8.8.8.8, 192.168.1.7", "X-Forwarded-Proto": "https"}, "https"),
        ({"X-Forwarded-For": "192.168.1.7, 10.0.0.5", "X-Forwarded-Proto": "https, http"}, "https"),
        ({"X-Forwarded-For": "8.8.8.8, 192.168.1.7", "X-Forwarded-Proto": "http, https"}, "https"),
        ({"X-Forwarded-Proto": "https"}, "https"),
        ({"X-Forwarded-Proto": "wss"}, "https"),
        ({"X-Forwarded-Proto": "javascript"}, ""),
        ({"Forwarded": "for=192.168.1.7;proto=https"}, "https"),
        ({"Forwarded": "for=192.168.1.7;proto=https, for=10.0.0.5;proto=http"}, "https"),
        ({"Forwarded": "for=192.168.1.7"}, ""),
        ({}, ""),
    ],
)
def test_the_scheme_is_the_one_by_which_the_caller_came(headers, scheme):
    assert caller(headers).scheme == scheme


@given(st.dictionaries(st.sampled_from(["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"]), st.text(max_size=200)))
def test_whatever_is_sent_an_address_comes_out(headers):
    assert OURS.trusts(PEER)
    found = caller(headers)
    assert found.address == PEER or found.address.replace(".", "").replace(":", "").isalnum()
    assert found.scheme in ("", "http", "https")


@given(st.lists(st.text(max_size=40), max_size=5))
def test_whatever_a_caller_sends_the_last_entry_is_the_proxys_own(sent):
    assert by(*sent, "192.168.1.7") == "192.168.1.7"
    assert by(", ".join([*sent, "192.168.1.7"])) == "192.168.1.7"
    assert by(", ".join([*sent, "for=192.168.1.7"]), name="Forwarded") == "192.168.1.7"
