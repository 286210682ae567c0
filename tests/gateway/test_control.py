"""What can be seen and set from outside, as doors and bridges ask for it."""

from __future__ import annotations

import pytest

from cheaprouter.core.errors import SettingError
from tests.builders import a_house, a_model_row, saying
from tests.fakes.fault_server import fault_server
from tests.fakes.router import router


async def ask(client, model="lab/small"):
    await client.sdk.chat.completions.create(model=model, messages=saying("Say hello, please."), max_tokens=50)


async def test_money_is_shown_in_the_currency_of_the_house(tmp_path):
    async with fault_server() as server:
        settings = a_house(server.url, a_model_row(), currency="EUR", usd_rate=2)
        async with router(tmp_path, settings) as client:
            await ask(client)
            control = client.app.house.control
            paid = (await client.audit())[0]["cost_usd"]
            hub, device = control.hub_state(), control.device_state("test")
    assert paid > 0
    assert [hub[name] for name in ("cost_today", "cost_month", "cost_total")] == [pytest.approx(2 * paid)] * 3
    assert device["cost_total"] == pytest.approx(2 * paid)


async def test_a_device_can_be_held_to_a_model_that_exists_and_let_go_again(tmp_path):
    async with router(tmp_path) as client:
        control = client.app.house.control
        control.set_device("test", "model", "mock/default")
        assert control.device_state("test")["model"] == "mock/default"
        with pytest.raises(SettingError, match="not `lab/none`"):
            control.set_device("test", "model", "lab/none")
        assert control.device_state("test")["model"] == "mock/default"
        control.set_device("test", "model", "auto")
        assert control.device_report("test")["sources"]["model"] == "default"


async def test_profiles_aliases_and_models_are_listed_once_each(tmp_path):
    aliases = {"gpt-4o": "lab/small", "*": "lab/small"}
    async with (
        fault_server() as server,
        router(tmp_path, a_house(server.url, a_model_row(), aliases=aliases)) as client,
    ):
        listed = {row["id"]: row["owned_by"] for row in client.app.house.control.models()}
        assert len(listed) == len(client.app.house.control.models())
        told = {row["id"]: row["cheaprouter"] for row in client.app.house.control.models()}
    assert (listed["blockrun/auto"], listed["gpt-4o"]) == ("cheaprouter", "alias")
    assert told["gpt-4o"] == told["lab/small"] != told["blockrun/auto"]
    assert "*" not in listed


async def test_a_models_details_tell_its_price_and_none_where_it_is_unknown(tmp_path):
    models = [a_model_row(), {"id": "lab/mystery"}]
    async with fault_server() as server, router(tmp_path, a_house(server.url, *models)) as client:
        details = {row["id"]: row for row in client.app.house.control.model_details()}
    small, mystery = details["lab/small"], details["lab/mystery"]
    assert (small["input"], small["output"], small["context"], small["provider"]) == (1.0, 2.0, 128_000, "lab")
    assert (mystery["input"], mystery["output"]) == (None, None)


async def test_a_budget_is_reset_of_the_device_that_is_named(tmp_path):
    settings = {"devices": {"defaults": {"daily_budget": 0.001}}}
    async with fault_server() as server, router(tmp_path, a_house(server.url, a_model_row(), **settings)) as client:
        await ask(client)
        control = client.app.house.control
        before = control.device_state("test")["budget_percent"]
        control.reset_budget("test", "day")
        after = control.device_state("test")["budget_percent"]
    assert before > after == 0
