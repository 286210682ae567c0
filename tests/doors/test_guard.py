"""Which hosts and origins are of this home."""

import pytest

from cheaprouter.doors.guard import host_name, is_home_name, origin_allowed


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "192.168.1.2",
        "::1",
        "homeassistant",
        "homeassistant.local",
        "pi.lan",
        "router.home.arpa",
        "a.fritz.box",
    ],
)
def test_a_name_of_the_home_is_known(name):
    assert is_home_name(name)


@pytest.mark.parametrize("name", ["evil.com", "evil.local.com", "local.evil.com", "a.b.c", "xn--e1afmkfd.xn--p1ai"])
def test_a_name_that_anyone_can_register_is_not(name):
    assert not is_home_name(name)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Pi.LAN:4000", "pi.lan"),
        ("192.168.1.2:4000", "192.168.1.2"),
        ("[fe80::1]:4000", "fe80::1"),
        ("pi.lan.", "pi.lan"),
        ("[bad", ""),
    ],
)
def test_the_port_is_cut_off(host, name):
    assert host_name(host) == name


def test_a_page_of_this_very_site_may_call():
    assert origin_allowed("http://192.168.1.2:4000", "192.168.1.2:4000", ())


def test_a_page_of_another_site_may_not():
    assert not origin_allowed("http://evil.com", "192.168.1.2:4000", ())


def test_a_rebound_name_may_not_although_it_looks_like_this_site():
    assert not origin_allowed("http://evil.com:4000", "evil.com:4000", ())


def test_an_opaque_origin_may_not():
    assert not origin_allowed("null", "192.168.1.2:4000", ())


def test_a_configured_origin_may():
    assert origin_allowed("https://chat.example.org", "192.168.1.2:4000", ("https://chat.example.org",))


def test_a_star_lets_all_in():
    assert origin_allowed("http://evil.com", "192.168.1.2:4000", ("*",))


def test_a_page_of_this_site_behind_a_proxy_with_tls_may_call_and_its_double_without_may_not():
    assert origin_allowed("https://router.lan", "router.lan", (), scheme="https")
    assert not origin_allowed("http://router.lan", "router.lan", (), scheme="https")


def test_a_page_of_a_name_that_is_allowed_may_call_under_that_name():
    assert origin_allowed("https://llm.example.com", "llm.example.com", (), ("llm.example.com",))
    assert not origin_allowed("https://evil.com", "llm.example.com", (), ("llm.example.com",))
