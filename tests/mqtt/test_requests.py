from __future__ import annotations

import orjson
import pytest

from cheaprouter.core.errors import LimitError
from tests.fakes.mosquitto import watching


@pytest.fixture
async def ask(broker, run, home):
    home.add("Kitchen Tablet")
    async with watching(broker.port) as seen, run(broker):
        await seen.online()

        async def send(verb, payload=b"", answer=None):
            return await seen.ask(f"cheaprouter/request/{verb}", payload, f"cheaprouter/response/{answer or verb}")

        yield send


async def test_the_envelope_to_the_byte(broker, run, home, monkeypatch):
    async def report(query):
        return orjson.dumps({"query": query, "cost": 1.5})

    monkeypatch.setattr(home.control.reports, "usage", report)
    async with watching(broker.port) as seen, run(broker):
        await seen.online()
        await seen.client.publish("cheaprouter/request/usage", b'{"from":"2026-11-22","transaction":"a"}', qos=1)
        await seen.until(lambda: seen.on("cheaprouter/response/usage"))
        assert seen.on("cheaprouter/response/usage") == [
            b'{"status":"ok","data":{"query":{"from":"2026-11-22"},"cost":1.5},"error":null,"transaction":"a"}'
        ]


async def test_a_fault_of_ours_is_told_and_logged(ask, home, monkeypatch, caplog):
    monkeypatch.setattr(home.control, "health", lambda: 1 / 0)
    assert (await ask("health"))["error"]["code"] == "internal_error"
    assert "ZeroDivisionError" in caplog.text


async def test_an_odd_query_is_refused(ask):
    assert (await ask("usage", {"from": ["x"]}))["error"]["param"] == "from"


async def test_a_route_is_explained_as_that_device_would_get_it(ask, home):
    home.control.set_device("Kitchen Tablet", "model", "lab/big")
    body = {"messages": [{"role": "user", "content": "hi"}], "transaction": 1}
    answers = [await ask("route", body), await ask("route", body | {"device": "kitchen_tablet"})]
    assert [a["data"]["model"] for a in answers] == ["lab/small", "lab/big"]
    assert [a["transaction"] for a in answers] == [1, 1]


async def test_an_error_keeps_the_transaction(ask, home, monkeypatch):
    def refuse(body, device_id):
        raise LimitError("no", retry_after=1.5, limit="requests")

    monkeypatch.setattr(home.control, "explain", refuse)
    answer = await ask("route", {"transaction": "x"})
    assert (answer["status"], answer["transaction"], answer["error"]["retry_after"]) == ("error", "x", 2)


async def test_providers_show_no_secret(ask):
    lab, mock = (await ask("providers"))["data"]
    assert lab == {"name": "lab", "state": "available", "kind": "openai", "local": False, "keys": 1, "cooldowns": [],
                   "first_token_ms": {}}  # fmt: skip
    assert mock["name"] == "mock"
    assert lab.keys() == mock.keys()


async def test_devices_models_and_health_can_be_read(ask, home):
    assert (await ask("devices"))["data"][0]["slug"] == "kitchen_tablet"
    assert "lab/small" in [m["id"] for m in (await ask("models"))["data"]]
    assert (await ask("health"))["data"] == home.control.health()


async def test_a_device_is_set_by_id_or_slug_with_the_topics_parsers(ask, home):
    answer = await ask("set_device", {"device": "kitchen_tablet", "rpm": 7, "daily_budget": "0.5", "enabled": False})
    assert answer["status"] == "ok"
    settings = home.state("Kitchen Tablet")
    assert (settings["rpm"], settings["daily_budget"], settings["enabled"]) == (7, 0.5, False)
    assert home.control.device_report("Kitchen Tablet")["sources"]["rpm"] == "run time"


async def test_one_bad_value_sets_none(ask, home):
    answer = await ask("set_device", {"device": "Kitchen Tablet", "rpm": 7, "tpm": "lots"})
    assert (answer["error"]["param"], home.state("Kitchen Tablet")["rpm"]) == ("tpm", None)


@pytest.mark.parametrize("bad", [{"model": "no/such"}, {"profile": "cheapest"}])
async def test_a_value_that_only_the_house_knows_to_be_wrong_sets_none_either(ask, home, bad):
    answer = await ask("set_device", {"device": "Kitchen Tablet", "rpm": 7, **bad})
    assert (answer["error"]["param"], home.state("Kitchen Tablet")["rpm"]) == (*bad, None)
    answer = await ask("set_hub", {"cost_quality": 9, "profile": "cheapest"})
    assert (answer["error"]["param"], home.control.hub_state()["cost_quality"]) == ("profile", 5)


@pytest.mark.parametrize("body", [{"api_key": "x"}, {}, {"rpm": [1]}, {"reset_today": "PRESS"}])
async def test_what_is_no_setting_is_refused(ask, body):
    assert (await ask("set_device", {"device": "Kitchen Tablet", **body}))["status"] == "error"


async def test_the_hub_is_set(ask, home):
    assert (await ask("set_hub", {"profile": "eco"}))["data"]["profile"] == "eco"


async def test_budgets_are_reset_of_day_and_month(ask, home):
    home.control.set_hub_many({"daily_budget": 1, "monthly_budget": 1})
    home.control.set_device_many("Kitchen Tablet", {"daily_budget": 1, "monthly_budget": 1})
    await home.serve("Kitchen Tablet", "lab/big")
    spent = [home.control.hub_state()["budget_percent"], home.state("Kitchen Tablet")["budget_percent"]]
    await ask("reset_budget", {"device": "Kitchen Tablet"})
    left = [home.control.hub_state()["budget_percent"], home.state("Kitchen Tablet")["budget_percent"]]
    await ask("reset_budget")
    assert (spent, left, home.control.hub_state()["budget_percent"]) == ([18, 18], [18, 0], 0)


@pytest.mark.parametrize("device", [None, 5, "nobody", [], ""])
async def test_an_unknown_device_is_an_error(ask, device):
    assert (await ask("set_device", {"device": device, "rpm": 1}))["status"] == "error"


@pytest.mark.parametrize("payload", [b"[1]", b"{", b"\xff", b"5", b'"x"', b"[" * 50_000])
async def test_junk_is_answered_with_an_error(ask, payload):
    assert (await ask("usage", payload))["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("transaction", [{"a": 1}, [1], True, 2**60, 1.5])
async def test_an_odd_transaction_is_left_out(ask, transaction):
    assert (await ask("health", {"transaction": transaction}))["transaction"] is None


async def test_an_unknown_verb_is_told_what_there_is(ask):
    answer = await ask("keys", answer="unknown")
    assert "usage, route, providers" in answer["error"]["message"]
