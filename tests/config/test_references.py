"""Settings by reference: put in where keys and addresses stand, refused by name elsewhere, and never shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cheaprouter.config import files
from cheaprouter.config.loader import Loaded, load, reload, start
from cheaprouter.config.settings import Auth, auth_of
from cheaprouter.core.errors import ConfigurationError
from tests.builders_house import make_house

KEY = "sk-from-elsewhere-1234"


def a_file(folder: Path, text: str, secrets: str | None = None) -> Path:
    path = folder / "cheaprouter.yaml"
    path.write_text(text, encoding="utf-8")
    if secrets is not None:
        (folder / "secrets.yaml").write_text(secrets, encoding="utf-8")
    return path


def lab(line: str) -> str:
    return f"providers:\n  lab:\n    kind: openai\n    base_url: http://127.0.0.1:9/v1\n    {line}\n"


def read(folder: Path, text: str, secrets: str | None = None, **environ: str) -> Loaded:
    return load(a_file(folder, text, secrets), folder, environ)


def told(folder: Path, text: str, secrets: str | None = None, **environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, text, secrets, **environ)
    return "\n".join(caught.value.problems)


def keys(loaded: Loaded) -> tuple[str, ...]:
    return loaded.settings.providers[0].api_keys


@pytest.mark.parametrize(
    "line",
    [
        "api_key: ${LAB_KEY}",
        "api_key: '${LAB_KEY}'",
        "api_key: os.environ/LAB_KEY",
        "api_key: $LAB_KEY",
        "api_key: ${LAB_KEY:-sk-other}",
        "api_key: !env_var LAB_KEY",
        "api_key: !env_var LAB_KEY sk-other",
        "api_keys: ['${LAB_KEY}']",
        "api_key: !secret lab_key",
        "api_keys: [!secret lab_key]",
    ],
)
def test_a_key_is_put_in_however_it_is_written(tmp_path, line):
    loaded = read(tmp_path, lab(line), f"lab_key: {KEY}\n", LAB_KEY=f"{KEY}\n")
    assert keys(loaded) == (KEY,)
    assert KEY in loaded.secrets


def test_a_part_of_a_header_an_address_and_a_login_is_put_in(tmp_path):
    text = lab("headers: {Authorization: 'Bearer ${T}'}") + "mqtt: 'mqtt://u:${P}@${H}:1883'\nadmin_key: ${A}\n"
    settings = read(tmp_path, text, T="t-1", P="p-1", H="broker.lan", A="a-1").settings
    assert settings.providers[0].headers == {"Authorization": "Bearer t-1"}
    assert (settings.mqtt.host, settings.mqtt.password, settings.admin_key) == ("broker.lan", "p-1", "a-1")


def test_a_variable_in_the_middle_of_an_address_is_put_in(tmp_path):
    text = "providers:\n  ollama:\n    base_url: http://${HOST}:11434/v1\n"
    assert read(tmp_path, text, HOST="nas.lan").settings.providers[0].base_url == "http://nas.lan:11434/v1"


def test_what_stands_behind_an_anchor_is_put_in_where_it_is_used(tmp_path):
    text = "x-common: &c {kind: openai, api_key: '${LAB_KEY}'}\nproviders: {lab: {<<: *c, base_url: 'http://h/v1'}}\n"
    assert keys(read(tmp_path, text, LAB_KEY=KEY)) == (KEY,)


def test_a_holder_that_nobody_uses_needs_no_variable(tmp_path):
    loaded = read(tmp_path, "x-old: {api_key: '${GONE}', k: !secret gone}\nauth: open\nbudget: {x-note: 1}\n")
    assert loaded.settings.auth is Auth.OPEN


def test_a_file_of_holders_alone_sets_nothing(tmp_path):
    assert "it sets nothing" in told(tmp_path, "x-a: 1\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("api_key: ${LAB_KEY}", "providers.lab.api_key: `${LAB_KEY}`: the environment variable LAB_KEY is not set"),
        ("api_key: os.environ/LAB_KEY", "`os.environ/LAB_KEY`: the environment variable LAB_KEY is not set"),
        ("api_keys: ['${LAB_KEY}', b]", "providers.lab.api_keys[0]: `${LAB_KEY}`"),
        ("headers: {X-Key: '${LAB_KEY}'}", "providers.lab.headers.X-Key: `${LAB_KEY}`"),
        ("api_key: !secret lab_key", "`!secret lab_key`: "),
        ("api_key: ${LAB_KEY", "`${` begins the name of a variable"),
        ("api_key: '${env:LAB_KEY}'", "`${` begins the name of a variable"),
        ("api_key: '{{ LAB_KEY }}'", "expected a key as the provider gave it"),
        ("api_key: <your key>", "expected a key as the provider gave it"),
        ("api_key: env:LAB_KEY", "expected a key as the provider gave it"),
        ("api_key: process.env.LAB_KEY", "expected a key as the provider gave it"),
        ("models: ['${MODEL}']", "providers.lab.models[0]: `${MODEL}` is not put in here"),
        ("models: !secret m", "providers.lab.models[0]: `!secret m`"),
        ("api_key_env: ${LAB_KEY}", "`${LAB_KEY}` is not put in here"),
    ],
)
def test_what_leads_nowhere_is_refused_by_its_name(tmp_path, line, said):
    assert said in told(tmp_path, lab(line))


@pytest.mark.parametrize(
    "text",
    [
        "http: {host: '${HOST}'}",
        "devices: {tv: {name: 'a ${HOST}'}}",
        "time_zone: ${HOST}",
        "mqtt: {base_topic: '${HOST}'}",
    ],
)
def test_the_routers_own_settings_take_no_variable_of_another_name(tmp_path, text):
    assert "`${HOST}` is not put in here" in told(tmp_path, text, HOST="x")


def test_two_dollars_stand_for_one(tmp_path):
    text = "mqtt: {password: 'a$${b}c'}\ndevices: {tv: {name: '$${x}'}}\n"
    settings = read(tmp_path, text).settings
    assert (settings.mqtt.password, settings.devices["tv"].name) == ("a${b}c", "${x}")


def test_dollars_that_name_nothing_stay_as_they_are(tmp_path):
    assert read(tmp_path, "mqtt: {password: 'pa$$w$rd'}\n").settings.mqtt.password == "pa$$w$rd"


class TestSecretsFile:
    @pytest.mark.parametrize("written", ["0123", "'0123'", "1e5", "true", "2020-01-01"])
    def test_a_secret_is_what_is_written(self, tmp_path, written):
        loaded = read(tmp_path, "mqtt: {password: !secret p}\n", f"p: {written}\n")
        assert loaded.settings.mqtt.password == written.strip("'")

    @pytest.mark.parametrize(
        ("secrets", "said"),
        [
            (None, "there is no such file"),
            ("", "`k` is not there"),
            ("other: 1\n", "`k` is not there"),
            ("k:\n", "`k` is empty"),
            ("k: [a]\n", "`k` is no text"),
            ("- k\n", "expected a mapping"),
            ("k: a\nk: b\n", "line 2, column 1"),
            ("other: 'x\n", "line 2"),
            ("other: *hunter22\n", "line 1, column 8: not YAML (an alias"),
            ("k: &k [*k]\n", "an anchor contains itself"),
        ],
    )
    def test_what_is_wrong_with_it_is_said_and_nothing_of_it_shown(self, tmp_path, secrets, said):
        text = told(tmp_path, lab("api_key: !secret k"), secrets)
        assert "providers.lab.api_key: `!secret k`: " in text
        assert said in text
        assert "hunter22" not in text

    def test_it_is_watched_as_the_file_is(self, tmp_path):
        loaded = read(tmp_path, lab("api_key: !secret k"), "k: one\n")
        assert tmp_path / "secrets.yaml" in loaded.files
        a_file(tmp_path, lab("api_key: !secret k"), "k: two\n")
        changed = reload(tmp_path / "cheaprouter.yaml", tmp_path, {}, loaded.texts)
        assert keys(changed) == ("two",)


# --- what was put in is never shown, nor written ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "providers: {lab: {kind: !secret s}}",
        "devices: {tv: {rpm: !secret s, name: [!secret s]}}",
        "log_level: !secret s",
        "aliases: {a: !secret s, b: {target: !secret s, max_cost: !secret s}}",
        "mqtt: {host: '${S} ${S}'}",
        "mqtt: {url: 'mqtt://u:p@h', host: '${S}'}",
        "providers: {lab: {kind: openai, base_url: 'ftp://${S}'}}",
        "fallbacks: {a: [!secret s, 1, {}]}",
    ],
)
@pytest.mark.parametrize("secret", ["abc", "hunter22hunter"])
def test_no_problem_shows_what_was_put_in(tmp_path, text, secret):
    config = a_file(tmp_path, text + "\nunknown: 1\n", f"s: {secret}\n")
    lenient = load(config, tmp_path, {"S": secret}, lenient=True)
    assert secret not in "\n".join(lenient.problems)


def test_no_problem_shows_a_name_that_was_put_in(tmp_path):
    text = "providers: {openai: {api_key: a, models: [!secret s, !secret s]}}"
    assert "hunter" not in told(tmp_path, text, "s: hunter22\n")


@pytest.mark.parametrize(
    "text",
    [
        "mqtt: {password: *hunter22}",
        "mqtt: {password: !hunter22}",
        "mqtt: {password: !hunter!22}",
        "mqtt: {password: !includehunter22}",
        "mqtt: {password: 'hunter22'hunter22}",
        'mqtt: {password: "hunter22\\q"}',
        "mqtt: {password: %hunter22}",
        "mqtt: {password: @hunter22}",
        "mqtt: {password: hunter22: hunter22: x}",
        "mqtt:\n  password: |hunter22\n",
        "mqtt:\n  password: !!int hunter22\n",
        "mqtt:\n  password: !!binary hunter22ü\n",
        "providers: {lab: {kind: openai, api_key: hunter22",
    ],
)
def test_a_password_that_is_no_yaml_is_not_shown(tmp_path, text):
    said = told(tmp_path, text)
    assert "line " in said
    assert "hunter22" not in said


def test_the_last_good_configuration_holds_references_and_no_secrets(tmp_path):
    a_file(tmp_path, lab("api_keys: [!secret k, '${LAB_KEY}']"), "k: sk-one-two-three\n")
    loaded = start(tmp_path, {"LAB_KEY": KEY}, {})
    assert keys(loaded) == ("sk-one-two-three", KEY)
    files.write_last_good(tmp_path, loaded.texts)
    kept = (tmp_path / files.LAST_GOOD).read_text()
    assert "!secret k" in kept
    assert "sk-one-two-three" not in kept
    assert KEY not in kept


# --- a start without what is put in -----------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["api_key: ${LAB_KEY}", "api_key: !secret k", "api_key_env: LAB_KEY"])
def test_a_start_without_it_leaves_the_provider_out_and_opens_nothing(tmp_path, line):
    text = lab(line) + "  ollama: {}\n"
    a_file(tmp_path, text, f"k: {KEY}\n")
    good = start(tmp_path, {"LAB_KEY": KEY}, {})
    assert auth_of(good.settings) is Auth.KEYS
    a_file(tmp_path, text, "")
    poor = start(tmp_path, {}, good.texts)
    assert [provider.name for provider in poor.settings.providers] == ["ollama"]
    assert auth_of(poor.settings) is Auth.KEYS
    assert not poor.settings.demo
    assert not poor.good


def test_the_apps_options_are_put_in_likewise(tmp_path):
    (tmp_path / "options.json").write_text(json.dumps({"openai_api_key": "${OPENAI_API_KEY}"}))
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY is not set"):
        load(None, tmp_path, {})
    assert keys(load(None, tmp_path, {"OPENAI_API_KEY": KEY})) == (KEY,)


async def test_an_address_that_was_put_in_is_not_shown_on_any_page(tmp_path):
    text = (
        "auth: open\nproviders: {lab: {kind: openai, api_key: k, base_url: 'http://127.0.0.1:9/${T}/v1'}, ollama: {}}"
    )
    loaded = read(tmp_path, text, T="hunter22")
    async with make_house(tmp_path / "house") as home:
        await home.house.reload(loaded)
        shown = {row["name"]: row["base_url"] for row in home.control.providers()}
        assert home.house.redactor.clean("GET http://127.0.0.1:9/hunter22/v1") == "GET http://127.0.0.1:9/***/v1"
    assert (shown["lab"], shown["ollama"]) == ("(not shown)", "http://127.0.0.1:11434/v1")
