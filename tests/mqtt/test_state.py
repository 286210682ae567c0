from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from cheaprouter.mqtt.payloads import encode, hub_details, provider_states, visible


def test_money_is_a_number_and_time_is_iso_8601():
    value = {
        "cost": Decimal("0.000012"),
        "whole": Decimal("2.00"),
        "at": datetime(2026, 11, 22, tzinfo=UTC),
        "none": None,
    }
    assert encode(value) == b'{"cost":0.000012,"whole":2,"at":"2026-11-22T00:00:00Z","none":null}'


def test_a_budget_without_end_is_null():
    assert encode({"b": Decimal("Infinity")}) == b'{"b":null}'


def test_providers_tell_their_state_and_nothing_else():
    providers = [
        {"name": "a", "state": "down", "api_key": "sk-1"},
        {"name": "b", "state": "odd"},
        {"name": "c", "state": "available"},
    ]
    assert provider_states(providers) == {"a": "down", "b": "unknown", "c": "available"}
    assert hub_details("1", providers, None)["providers_down"] == ["a"]


def test_the_latest_version_is_the_stores_where_it_is_known():
    assert hub_details("1", [], None)["latest_version"] == "1"
    assert hub_details("1", [], None, "2")["latest_version"] == "2"


def test_the_mock_is_shown_only_while_there_is_nothing_else():
    mock, real = {"name": "mock", "kind": "mock"}, {"name": "lab", "kind": "openai"}
    assert visible([mock, real]) == [real]
    assert visible([mock]) == [mock]
