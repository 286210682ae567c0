from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.accounts.callers import Keyring, identify
from cheaprouter.accounts.keys import Held, hash_key
from cheaprouter.core.errors import AuthenticationError
from cheaprouter.core.ids import address_id, clean_id, slugify, unique_slug
from cheaprouter.core.models import KeyKind


def held(key, device, expires_at=None):
    digest = hash_key(key)
    return {digest[:12]: Held(digest, device, expires_at)}


KNOWN = held("cr-kitchen", "kitchen")
EXPIRED = held("cr-attic", "attic", 1_700_000_000)


def who(headers=None, peer="192.168.1.5", *, keys_required=False, keyed=("kitchen",)):
    keyring = Keyring(KNOWN, hash_key("cr-admin-key"), frozenset(keyed), EXPIRED)
    return identify(headers or {}, peer, keyring, keys_required=keys_required)


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key"])
def test_a_device_is_known_by_its_key_wherever_clients_put_it(name):
    value = "Bearer cr-kitchen" if name == "authorization" else "cr-kitchen"
    caller = who({name: value, "x-device-id": "den"})
    assert (caller.device_id, caller.key, caller.source) == ("kitchen", KeyKind.DEVICE, "key")


def test_a_key_that_only_begins_like_one_is_not_that_one():
    digest = hash_key("cr-kitchen")
    other = {digest[:12]: Held(digest[:12] + "0" * 52, "kitchen")}
    with pytest.raises(AuthenticationError):
        identify({"x-api-key": "cr-kitchen"}, "", Keyring(other), keys_required=True)


def test_an_expired_key_is_refused_as_such():
    with pytest.raises(AuthenticationError, match="has expired, on 2023-11-14 at 22:13 UTC"):
        who({"x-api-key": "cr-attic"})


def test_a_placeholder_beside_a_key_does_not_hide_it():
    assert who({"authorization": "Bearer not-needed", "x-api-key": "cr-kitchen"}).device_id == "kitchen"


def test_the_word_bearer_may_be_written_in_any_case():
    assert who({"authorization": "bearer  cr-kitchen "}).device_id == "kitchen"


def test_the_admin_key_makes_an_admin():
    caller = who({"authorization": "Bearer cr-admin-key"})
    assert caller.admin
    assert caller.device_id == "admin"


def test_the_admin_may_speak_for_a_device_without_a_key_of_its_own():
    assert who({"x-api-key": "cr-admin-key", "x-device-id": "den"}).device_id == "den"
    assert who({"x-api-key": "cr-admin-key", "x-device-id": "kitchen"}).device_id == "admin"


def test_an_unknown_bearer_is_ignored_in_open_mode():
    caller = who({"authorization": "Bearer not-needed-in-demo-mode", "x-device-id": "den"})
    assert (caller.device_id, caller.key, caller.source) == ("den", KeyKind.NONE, "header")


@pytest.mark.parametrize("keys_required", [True, False])
def test_an_unknown_key_of_ours_is_refused_in_any_mode(keys_required):
    with pytest.raises(AuthenticationError, match="not known"):
        who({"authorization": "Bearer cr-wrong"}, keys_required=keys_required)


def test_without_a_key_keys_mode_says_what_to_send():
    with pytest.raises(AuthenticationError, match="cr-"):
        who({"x-device-id": "den"}, keys_required=True)


def test_keys_mode_refuses_placeholders():
    with pytest.raises(AuthenticationError):
        who({"authorization": "Bearer not-needed"}, keys_required=True)


def test_a_device_with_a_key_cannot_be_impersonated_by_the_header():
    assert who({"x-device-id": "kitchen"}).device_id == "lan-192.168.1.5"


@pytest.mark.parametrize("disguise", [" kitchen ", "kitchen\u200b", "kit\x00chen", "kitchen\u0085"])
def test_nor_by_a_name_that_only_looks_different(disguise):
    assert who({"x-device-id": disguise}).device_id == "lan-192.168.1.5"


def test_nor_by_an_address_whose_name_has_a_key():
    assert who(keyed=("lan-192.168.1.5",)).device_id == "lan-192.168.1.5-guest"


def test_open_webuis_user_is_a_device_of_its_own():
    caller = who({"x-openwebui-user-name": "Anna%20M%C3%BCller", "x-openwebui-user-id": "42"})
    assert (caller.device_id, caller.source, caller.sub_identity) == ("openwebui-Anna Müller", "client", "Anna Müller")


def test_behind_a_key_or_a_header_the_user_is_told_apart_within_the_device():
    caller = who({"x-device-id": "webui", "x-openwebui-user-email": "anna@home"})
    assert (caller.device_id, caller.sub_identity) == ("webui", "anna@home")
    assert who({"x-api-key": "cr-kitchen", "x-openwebui-user-id": "42"}).sub_identity == "42"


@pytest.mark.parametrize(
    ("peer", "device_id"),
    [
        ("192.168.1.5", "lan-192.168.1.5"),
        ("::ffff:192.168.1.5", "lan-192.168.1.5"),
        ("::FFFF:C0A8:0105", "lan-192.168.1.5"),
        ("fe80::1%eth0", "lan-fe80::1"),
        ("2001:0DB8:0000:0000:0000:0000:0000:0001", "lan-2001:db8::1"),
        ("[::1]", "lan-::1"),
        ("", "lan-unknown"),
        ("/run/socket", "lan-unknown"),
    ],
)
def test_an_address_has_one_name(peer, device_id):
    assert address_id(peer) == device_id
    assert who(peer=peer).device_id == device_id


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("Küche", "Küche"),
        ("Ku\u0308che", "Küche"),
        ("a\nb\tc", "abc"),
        ("x" * 100, "x" * 64),
        ("  ", ""),
        ("K\udcfcche", "Küche"),
        ("\udcff\ud83d", ""),
        ("🏠", "🏠"),
    ],
)
def test_an_id_is_trimmed_and_composed(sent, kept):
    assert clean_id(sent) == kept


def test_a_header_of_nothing_printable_counts_as_none():
    assert who({"x-device-id": "\x01\x02"}).device_id == "lan-192.168.1.5"


def test_nobody_is_called_like_the_sum_of_the_forgotten():
    assert clean_id("(forgotten)") == "forgotten"


@given(st.text(max_size=300))
def test_no_id_is_refused_and_each_is_clean(sent):
    cleaned = clean_id(sent)
    assert len(cleaned) <= 64
    assert cleaned == cleaned.strip()
    assert cleaned.isprintable()
    assert clean_id(cleaned) == cleaned


@given(st.text(max_size=100))
def test_a_slug_is_fit_for_topics_and_entities(sent):
    assert 1 <= len(slugify(sent)) <= 48
    assert set(slugify(sent)) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")


@given(st.lists(st.text(max_size=5), unique=True, max_size=60))
def test_no_two_devices_share_a_slug(ids):
    taken = {}
    for device_id in ids:
        slug = unique_slug(device_id, taken)
        assert slug not in taken
        taken[slug] = device_id


def test_a_slug_gets_a_hash_only_where_two_would_collide():
    assert unique_slug("Living Room", {}) == "living_room"
    assert unique_slug("living-room", {"living_room"}).startswith("living_room_")
