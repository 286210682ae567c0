"""What can be seen and set from outside, as doors and bridges ask for it."""

from __future__ import annotations

import pytest

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
