from __future__ import annotations

from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.config import fields
from cheaprouter.config.fields import DEVICE, HUB, read
from cheaprouter.config.settings import BudgetAction
from cheaprouter.config.values import NO_BUDGET
from cheaprouter.core.errors import SettingError
from cheaprouter.core.models import Profile


@pytest.mark.parametrize(
    ("name", "sent", "value"),
    [
        ("rpm", "60", 60),
        ("rpm", 60.0, 60),
        ("tpm", "unlimited", 0),
        ("parallel", 0, 0),
        ("daily_budget", "0.10", Decimal("0.10")),
        ("daily_budget", 0.1, Decimal("0.1")),
        ("monthly_budget", "unlimited", NO_BUDGET),
        ("enabled", "ON", True),
        ("enabled", "off", False),
        ("enabled", False, False),
        ("profile", "eco", Profile.ECO),
        ("profile", "blockrun/premium", Profile.PREMIUM),
        ("budget_action", "Free", BudgetAction.FREE),
        ("model", "AUTO", "auto"),
        ("model", " lab/small ", "lab/small"),
        ("models", "lab/*, blockrun/eco", ("lab/*", "blockrun/eco")),
        ("models", ["lab/*"], ("lab/*",)),
        ("schedule", "mon,wed 07:00-08:00; sat", ("mon,wed 07:00-08:00", "sat")),
        ("schedule", "unlimited", ()),
        ("cost_quality", "7.5", 7.5),
        ("name", " Kitchen tablet ", "Kitchen tablet"),
    ],
)
def test_values_are_read_as_people_and_programs_send_them(name, sent, value):
    assert read(DEVICE, name, sent) == value


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("rpm", -1), ("rpm", 1.5), ("rpm", True), ("rpm", "many"), ("rpm", [1]), ("rpm", "nan"), ("rpm", 10**13),
        ("daily_budget", "-1"), ("daily_budget", "inf"), ("daily_budget", "$5"), ("daily_budget", {}), ("daily_budget", "1e10"),
        ("enabled", "maybe"), ("enabled", ""), ("profile", "cheap"), ("profile", None), ("budget_action", "explode"),
        ("model", ""), ("model", 7), ("model", "x" * 300), ("model", "a\nb"), ("models", [1]), ("models", {"a": 1}),
        ("schedule", "whenever"), ("schedule", ["mon 25:00-26:00"]), ("cost_quality", 11), ("name", "\x00"), ("name", 5),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_naming_the_setting_and_what_is_allowed(name, sent):
    with pytest.raises(SettingError) as caught:
        read(DEVICE, name, sent)
    assert caught.value.param == name
    assert caught.value.status == 400
    assert DEVICE[name].allowed in str(caught.value)


def test_an_unknown_setting_is_refused_naming_those_there_are():
    with pytest.raises(SettingError, match="rpm"):
        read(DEVICE, "rmp", 5)


@given(
    st.sampled_from(sorted(DEVICE)),
    st.none() | st.text() | st.floats() | st.integers() | st.lists(st.text()) | st.booleans(),
)
def test_any_value_is_taken_or_refused_never_a_crash_and_survives_being_kept(name, sent):
    try:
        value = read(DEVICE, name, sent)
    except SettingError:
        return
    assert read(DEVICE, name, orjson.loads(orjson.dumps(fields.dump(value)))) == value


def test_the_hubs_settings_are_those_that_mqtt_and_the_dashboard_know():
    assert {"profile", "cost_quality", "daily_budget", "monthly_budget", "cloud_paused"} <= set(HUB)


def test_every_device_setting_of_the_contract_is_there():
    assert {"profile", "model", "rpm", "tpm", "parallel", "daily_budget", "monthly_budget", "enabled"} <= set(DEVICE)
