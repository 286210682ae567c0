from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest

from cheaprouter.config import files
from cheaprouter.config.loader import load, parse_yaml, reload, secrets, start
from cheaprouter.config.schema import build
from cheaprouter.config.settings import Auth
from cheaprouter.core.errors import ConfigurationError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path


def options(data: Path, **values: object) -> None:
    (data / "options.json").write_text(json.dumps(values))


def file(data: Path, text: str, name: str = "cheaprouter.yaml") -> Path:
    path = data / name
    path.write_text(text)
    return path


def problems(*args, **kwargs) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(*args, **kwargs)
    return caught.value.problems


def test_an_empty_folder_gives_defaults(data):
    loaded = load(None, data, {})
    assert loaded.settings.demo
    assert loaded.problems == ()


def test_the_yaml_file_wins_over_the_options(data):
    options(data, rpm=10, tpm=20)
    file(data, "devices: {defaults: {rpm: 99}}")
    defaults = load(None, data, {}).settings.device_defaults
    assert (defaults.rpm, defaults.tpm) == (99, 20)


def test_the_environment_wins_over_the_yaml_file(data):
    file(data, "log_level: warning")
    assert load(None, data, {"CHEAPROUTER_LOG_LEVEL": "debug"}).settings.log_level == "debug"


def test_every_value_says_where_it_is_from(data):
    options(data, rpm=10)
    path = file(data, "time_zone: Europe/Berlin")
    sources = load(None, data, {"CHEAPROUTER_PORT": "4001"}).sources
    assert sources == {
        "devices.defaults.rpm": "option rpm",
        "time_zone": str(path),
        "http.port": "environment variable CHEAPROUTER_PORT",
    }


def test_a_named_file_replaces_the_usual_one(data):
    file(data, "log_level: warning")
    other = file(data, "max_devices: 7", "other.yaml")
    settings = load(other, data, {}).settings
    assert (settings.max_devices, settings.log_level) == (7, "info")


def test_a_named_file_that_is_missing_is_an_error(data):
    assert "there is no such file" in problems(data / "nope.yaml", data, {})[0]


def test_a_named_file_that_sets_nothing_is_told_with_everything_else_that_is_wrong(data):
    options(data, rpm="many")
    assert ["rpm" in line or "sets nothing" in line for line in problems(file(data, "# none"), data, {})] == [
        True,
        True,
    ]


def test_a_named_file_may_say_that_there_is_no_provider(data):
    assert load(file(data, "providers: {}"), data, {}).settings.demo


def test_the_apps_own_folder_is_read_only_in_the_app(data):
    folder = data / "app"
    folder.mkdir()
    file(folder, "max_devices: 9")
    assert load(None, data, {}, app_folder=folder).settings.max_devices == 10_000
    assert load(None, data, {"SUPERVISOR_TOKEN": "t"}, app_folder=folder).settings.max_devices == 9


def test_the_store_manifest_is_never_read(data):
    file(data, "nonsense: 1", "config.yaml")
    assert load(None, data, {}).settings.demo


def test_a_variable_can_hold_a_known_providers_key(data):
    provider = load(None, data, {"CHEAPROUTER_GROQ_API_KEY": "gsk-1"}).settings.providers[0]
    assert (provider.name, provider.kind, provider.api_keys) == ("groq", "groq", ("gsk-1",))


def test_a_variable_can_hold_the_key_of_a_provider_from_the_file(data):
    file(data, "providers: {my-lab: {kind: openai, base_url: 'http://h/v1'}}")
    assert load(None, data, {"CHEAPROUTER_MY_LAB_API_KEY": "k"}).settings.providers[0].api_keys == ("k",)


def test_a_key_in_a_higher_place_replaces_all_ways_of_giving_one_below(data):
    file(data, "providers: {openai: {api_keys: [old1, old2]}}")
    assert load(None, data, {"CHEAPROUTER_OPENAI_API_KEY": "new"}).settings.providers[0].api_keys == ("new",)


def test_a_broker_address_from_the_environment_replaces_the_files(data):
    file(data, "mqtt: {host: old, port: 1, username: u, password: p, base_topic: t}")
    mqtt = load(None, data, {"CHEAPROUTER_MQTT_URL": "mqtt://new"}).settings.mqtt
    assert (mqtt.host, mqtt.port, mqtt.username, mqtt.base_topic) == ("new", 1883, None, "t")


def test_a_password_alone_adds_to_the_files_broker(data):
    file(data, "mqtt: {host: h, username: u}")
    mqtt = load(None, data, {"CHEAPROUTER_MQTT_PASSWORD": "12345"}).settings.mqtt
    assert (mqtt.host, mqtt.username, mqtt.password) == ("h", "u", "12345")


def test_a_variable_nobody_knows_is_a_problem_with_a_hint(data):
    told = problems(None, data, {"CHEAPROUTER_LOG_LEVL": "info"})
    assert told == ["environment variable CHEAPROUTER_LOG_LEVL: unknown name; did you mean `CHEAPROUTER_LOG_LEVEL`?"]


def test_other_peoples_variables_are_nobodys_business(data):
    assert load(None, data, {"OPENAI_API_KEY": "sk", "PORT": "1"}).settings.demo


def test_a_variable_named_by_the_file_is_read_and_not_unknown(data):
    file(data, "providers: {openai: {api_key_env: CHEAPROUTER_SECRET_ONE}}")
    assert load(None, data, {"CHEAPROUTER_SECRET_ONE": "k"}).settings.providers[0].api_keys == ("k",)


def test_a_problem_says_which_place_it_is_in(data):
    told = problems(None, data, {"CHEAPROUTER_PORT": "many"})
    assert told == [
        "http.port: expected a whole number from 0 to 65535, got the string 'many' (environment variable CHEAPROUTER_PORT)"
    ]


def test_broken_yaml_names_line_and_column(data):
    path = file(data, "auth: open\nproviders:\n  lab: [\n")
    assert problems(None, data, {})[0].startswith(f"{path}: line 4, column 1: not YAML")


def test_a_key_written_twice_is_an_error():
    with pytest.raises(ConfigurationError, match="line 2, column 1: not YAML"):
        parse_yaml("auth: open\nauth: keys\n")


def test_yaml_cannot_make_objects():
    with pytest.raises(ConfigurationError, match="not YAML"):
        parse_yaml("a: !!python/object/apply:os.getcwd []")


def test_broken_options_name_line_and_column(data):
    file(data, '{"rpm": 1,}', "options.json")
    assert "options.json: line 1, column" in problems(None, data, {})[0]


def test_strict_loading_raises_for_all_places_at_once(data):
    options(data, rpmm=1)
    file(data, "auth: opn")
    assert len(problems(None, data, {"CHEAPROUTER_NOPE": "1", "CHEAPROUTER_PORT": "x"})) == 4


class TestLenient:
    def load(self, data: Path, text: str, environ: dict | None = None):
        return load(file(data, text), data, environ or {}, lenient=True)

    def test_a_bad_provider_is_left_out_and_the_rest_serves(self, data):
        loaded = self.load(data, "providers: {bad: {kind: nope}, ollama: {}}")
        assert [p.name for p in loaded.settings.providers] == ["ollama"]
        assert "this provider is left out" in loaded.problems[0]

    def test_a_doubtful_address_never_sends_the_key_elsewhere(self, data):
        assert self.load(data, "providers: {openai: {api_key: k, base_url: 'htp:/x'}}").settings.providers == ()

    def test_a_mistyped_address_key_never_sends_the_key_elsewhere(self, data):
        assert self.load(data, "providers: {openai: {api_key: k, base_ulr: 'http://x'}}").settings.providers == ()

    def test_two_bad_models_of_three_leave_the_good_one(self, data):
        text = "providers: {ollama: {models: [{quality: 500, contxt: 1}, {id: good}, {id: b, price: x}]}}"
        assert [m.id for m in self.load(data, text).settings.providers[0].models] == ["ollama/good"]

    def test_a_doubtful_auth_asks_for_keys(self, data):
        assert self.load(data, "auth: opne").settings.auth is Auth.KEYS

    def test_a_doubtful_budget_counts_as_spent(self, data):
        assert self.load(data, "devices: {kid: {daily_budget: 'a lot'}}").settings.devices["kid"].daily_budget == 0

    def test_a_doubtful_allow_list_locks_the_device(self, data):
        assert self.load(data, "devices: {kid: {models: {a: b}, rpm: 5}}").settings.devices["kid"].enabled is False

    def test_a_doubtful_limit_leaves_the_default(self, data):
        assert self.load(data, "devices: {defaults: {rpm: 5}, kid: {rpm: x}}").settings.devices["kid"].rpm is None

    def test_a_doubtful_broker_leaves_mqtt_off(self, data):
        assert not self.load(data, "mqtt: {url: 'nonsense', base_topic: a}").settings.mqtt.enabled

    def test_an_unknown_key_is_left_out(self, data):
        loaded = self.load(data, "what: 1\nmax_devices: 4")
        assert loaded.settings.max_devices == 4
        assert "what: unknown key" in loaded.problems[0]

    def test_a_currency_without_its_rate_is_shown_in_dollars(self, data):
        assert self.load(data, "currency: EUR").settings.currency == "USD"

    def test_a_broken_file_leaves_options_in_force(self, data):
        options(data, rpm=11)
        assert self.load(data, "a: [").settings.device_defaults.rpm == 11

    def test_a_problem_that_shows_only_after_the_first_is_found_too(self, data):
        loaded = self.load(data, "auth: x\nproviders: {lab: {}}")
        assert loaded.settings.providers == ()
        assert len(loaded.problems) == 2


def test_secrets_are_collected_for_the_log():
    settings = build(
        {
            "admin_key": "admin-1",
            "mqtt": {"url": "mqtt://u:broker-1@h"},
            "providers": {"openai": {"api_keys": ["k-1"], "headers": {"X-Api-Key": "k-2", "X-Title": "home"}}},
        }
    )
    assert secrets(settings) == {"admin-1", "broker-1", "k-1", "k-2"}


def bomb(kind: str) -> str:
    return "a0: &a0 {k: 1}\n" + "".join(
        f"a{i}: &a{i} {{{kind}: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 20)
    )


class TestYaml:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("auth: open\nproviders: &x\n  lab: *x\n", "line 2, column 12: not YAML (an anchor contains itself)"),
            ("a: &x [1, *x]", "line 1, column 4: not YAML (an anchor contains itself)"),
            ("a: &x\n  <<: *x\n", "line 1, column 4: not YAML (an anchor contains itself)"),
            (bomb("b"), "line 6, column 13: not YAML (more than 50000 values, its aliases written out)"),
            (bomb("<<"), "line 6, column 14: not YAML (more than 50000 values, its aliases written out)"),
            ("a: " + "[" * 50_000, "line 1, column 43: not YAML (nested more than 40 levels deep)"),
            ("max_devices: " + ":".join(["59"] * 30_000), "line 1, column 14: not YAML (a number of so many digits)"),
            ("a: !!bool x", "line 1, column 4: not YAML (a value is not what its tag says)"),
            ("a: 1\n" * 30_000, "line 20001: not usable: at most 100000 characters are read, and it goes on"),
        ],
        ids=["anchor", "list", "merge", "aliases", "merges", "depth", "digits", "tag", "size"],
    )
    def test_what_grows_beyond_all_bounds_is_refused_in_time(self, text, said):
        began = time.process_time()
        with pytest.raises(ConfigurationError) as caught:
            parse_yaml(text)
        assert time.process_time() - began < 1
        assert caught.value.problems == [said]

    def test_anchors_aliases_and_merge_keys_work(self):
        text = "base: &b {rpm: 1, tpm: 2}\na: {<<: *b, rpm: 3}\nc: {<<: [*b], x: *b}\n"
        read = parse_yaml(text)
        assert read["a"] == {"rpm": 3, "tpm": 2}
        assert read["c"] == {"rpm": 1, "tpm": 2, "x": {"rpm": 1, "tpm": 2}}

    def test_a_mapping_that_is_merged_before_it_is_made_is_not_written_twice(self):
        assert parse_yaml("x: {y: &b {<<: &a {k: 1}, k: 2}}\nz: {<<: *b, k: 3}\n")["z"] == {"k": 3}


GOOD = "auth: keys\nproviders: {ollama: {}}\ndevices: {kid: {rpm: 7}}\n"


LONG = """# my house
log_level: info
providers:
  lab: {kind: openai, base_url: 'http://h/v1', api_key: k}
auth: keys
devices:
  kid:
    rpm: 5
    daily_budget: 1
"""


class TestStart:
    """What a start makes of files; `before`: they were good at the start before, as GOOD."""

    def before(self, data: Path) -> dict[Path, str]:
        file(data, GOOD)
        files.write_last_good(data, start(data, {}, {}).texts)
        return files.read_last_good(data)

    def test_good_files_count_whatever_was_before(self, data):
        before = self.before(data)
        file(data, "auth: open\nproviders: {}")
        loaded = start(data, {}, before)
        assert (loaded.good, loaded.problems, loaded.settings.auth) == (True, (), Auth.OPEN)
        assert loaded.settings.demo

    @pytest.mark.parametrize(
        "text",
        [
            *("auth: [", "auth: maybe", "", "  \n", "- a list", "\0\0\0\0", "what: 1", GOOD[:-5]),
            *("auth: keys\nproviders: {ollama: {}}\n", "# none\n", "auth: keys", "log_level: info", None),
        ],
        ids=[
            *("broken", "value", "empty", "blank", "list", "zeros", "unknown key", "half-written"),
            *("half of the lines", "comment", "one line", "other line", "gone"),
        ],
    )
    def test_a_wrong_file_leaves_the_last_good_configuration_as_a_whole(self, data, text):
        before = self.before(data)
        replace(data, text)
        loaded = start(data, {}, before)
        assert loaded.settings == load_good(data)
        assert not loaded.good
        assert str(data / "cheaprouter.yaml") in " ".join(loaded.problems)
        assert "last good" in loaded.problems[-1]

    def test_a_file_that_cannot_be_read_likewise(self, data):
        before = self.before(data)
        (data / "cheaprouter.yaml").unlink()
        (data / "cheaprouter.yaml").mkdir()
        assert start(data, {}, before).settings == load_good(data)

    def test_wrong_options_likewise(self, data):
        options(data, rpm=3)
        before = self.before(data)
        options(data, rpm="many")
        loaded = start(data, {}, before)
        assert loaded.settings.device_defaults.rpm == 3
        assert "rpm" in loaded.problems[0]

    def test_the_apps_options_do_not_vanish_by_themselves(self, data):
        options(data, rpm=3)
        before = self.before(data)
        (data / "options.json").unlink()
        assert start(data, {"SUPERVISOR_TOKEN": "t"}, before).settings.device_defaults.rpm == 3

    @pytest.mark.parametrize("text", ["", "{}"])
    def test_options_that_are_gone_or_empty_open_nothing(self, data, text):
        options(data, auth="keys", local_url="http://h:11434")
        files.write_last_good(data, start(data, {}, {}).texts)
        file(data, text, "options.json")
        loaded = start(data, {}, files.read_last_good(data))
        assert (loaded.settings.auth, loaded.settings.demo, loaded.good) == (Auth.KEYS, False, False)

    def test_what_is_taken_out_of_whole_options_is_meant(self, data):
        options(data, auth="keys", local_url="http://h:11434")
        files.write_last_good(data, start(data, {}, {}).texts)
        options(data, auth="auto")
        loaded = start(data, {}, files.read_last_good(data))
        assert (loaded.good, loaded.settings.demo) == (True, True)

    def test_options_do_not_speak_for_the_file_above_them(self, data):
        options(data, auth="auto")
        before = self.before(data)
        (data / "cheaprouter.yaml").unlink()
        loaded = start(data, {}, before)
        assert (loaded.settings.auth, loaded.settings.demo, loaded.good) == (Auth.KEYS, False, False)

    @pytest.mark.parametrize("text", [None, "# nothing for now\n"])
    def test_who_removes_a_file_that_kept_nothing_closed_means_it(self, data, text):
        file(data, "devices: {kid: {rpm: 7}}\n")
        files.write_last_good(data, start(data, {}, {}).texts)
        replace(data, text)
        assert start(data, {}, files.read_last_good(data)).good

    def test_who_forgets_the_last_good_one_begins_anew(self, data):
        self.before(data)
        (data / "cheaprouter.yaml").unlink()
        assert start(data, {}, {}).settings.demo

    def test_a_wrong_environment_excuses_no_silence(self, data):
        before = self.before(data)
        file(data, "log_level: info")
        assert not start(data, {"CHEAPROUTER_NOPE": "1"}, before).settings.demo

    @pytest.mark.parametrize("text", ["auth: [", "auth: opn\nproviders: {ollama: {}}", "log_level: loud", "storage: 5"])
    def test_without_a_good_one_nobody_is_asked_and_keys_are_needed(self, data, text):
        options(data, rpm=3, mqtt={"host": "broker"}, openai_api_key="sk-1")
        file(data, text)
        loaded = start(data, {}, {})
        settings = loaded.settings
        assert (settings.auth, settings.providers, settings.demo, loaded.good) == (Auth.KEYS, (), False, False)
        assert (settings.mqtt.host, settings.device_defaults.rpm) == ("broker", 3)

    def test_a_wrong_environment_is_not_the_files_fault(self, data):
        before = self.before(data)
        file(data, GOOD.replace("7", "8"))
        loaded = start(data, {"CHEAPROUTER_PORT": "many", "CHEAPROUTER_NOPE": "1"}, before)
        assert loaded.settings.devices["kid"].rpm == 8
        assert (len(loaded.problems), loaded.good) == (2, False)


def replace(data: Path, text: str | None) -> None:
    """A new content, or none."""
    if text is None:
        (data / "cheaprouter.yaml").unlink()
    else:
        file(data, text)


def load_good(data: Path):
    folder = data / "good"
    folder.mkdir()
    return load(file(folder, GOOD), folder, {}).settings


class TestReload:
    @pytest.fixture
    def in_force(self, data) -> dict[Path, str]:
        file(data, GOOD)
        return dict(load(None, data, {}).texts)

    @pytest.mark.parametrize("text", ["", "# later\n", "{}", None], ids=["empty", "comment", "nothing", "gone"])
    def test_a_file_that_sets_nothing_any_more_is_a_problem(self, data, text):
        file(data, "devices: {kid: {rpm: 7}}\n")
        in_force = load(None, data, {}).texts
        replace(data, text)
        with pytest.raises(ConfigurationError, match="stays in force until a restart"):
            reload(None, data, {}, in_force)

    @pytest.mark.parametrize("before", [LONG, LONG.rstrip("\n")], ids=["with", "without"])
    def test_whatever_begins_a_file_is_half_of_it(self, data, before):
        """Cut anywhere, whether it had a newline at its end or not."""
        file(data, before)
        in_force = load(None, data, {}).texts
        for length in range(len(LONG.rstrip())):
            file(data, LONG[:length])
            with pytest.raises(ConfigurationError):
                reload(None, data, {}, in_force)

    def test_it_says_how_to_take_out_the_end(self, data, in_force):
        file(data, "auth: keys\nproviders: {ollama: {}}\n")
        with pytest.raises(ConfigurationError, match=r"half-written .*comment"):
            reload(None, data, {}, in_force)
        file(data, "auth: keys\nproviders: {ollama: {}}\n# no devices\n")
        assert reload(None, data, {}, in_force).settings.devices == {}

    def test_an_end_that_says_nothing_may_go(self, data):
        file(data, GOOD + "# the end\n")
        in_force = load(None, data, {}).texts
        file(data, GOOD)
        assert reload(None, data, {}, in_force).good

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("log_level: info\n", "`auth` and `providers` any more"),
            ("auth:\nproviders:\n", "`auth` and `providers` any more"),
            ("providers: {ollama: {enabled: true}}\n", "write `auth: open`"),
            ("auth: open\n", "write `providers: {}`"),
            ("auth: keys\nlog_level: info", "write `providers: {}`"),
        ],
    )
    def test_nothing_is_opened_by_silence(self, data, in_force, text, said):
        file(data, text)
        with pytest.raises(ConfigurationError, match=said):
            reload(None, data, {}, in_force)

    def test_what_is_said_is_meant(self, data, in_force):
        file(data, "auth: open\nproviders: {}\n")
        assert reload(None, data, {}, in_force).settings.demo

    def test_a_paid_provider_that_goes_takes_the_need_of_a_key_along_where_others_are_listed(self, data):
        file(data, "providers: {ollama: {}, openai: {api_key: k}}\n")
        in_force = load(None, data, {}).texts
        file(data, "providers: {ollama: {}}\n")
        assert reload(None, data, {}, in_force).settings.auth is None
        options(data, local_url="http://h:11434")
        file(data, "log_level: info")
        with pytest.raises(ConfigurationError, match="nobody would need a key"):
            reload(None, data, {}, in_force)

    def test_a_changed_file_is_taken(self, data, in_force):
        file(data, GOOD + "log_level: debug\n")
        assert reload(None, data, {}, in_force).settings.log_level == "debug"


class TestLastGood:
    def test_it_is_for_its_owner_alone(self, data):
        files.write_last_good(data, {data / "cheaprouter.yaml": "admin_key: secret-1"})
        assert stat.S_IMODE((data / files.LAST_GOOD).stat().st_mode) == 0o600
        assert files.read_last_good(data) == {data / "cheaprouter.yaml": "admin_key: secret-1"}

    def test_what_is_the_same_is_not_written_again(self, data):
        files.write_last_good(data, {data / "a": "b: 1"})
        number = (data / files.LAST_GOOD).stat().st_ino
        files.write_last_good(data, {data / "a": "b: 1"})
        assert (data / files.LAST_GOOD).stat().st_ino == number

    def test_where_no_file_sets_anything_there_is_nothing_to_keep(self, data):
        files.write_last_good(data, {data / "a": "b: 1"})
        files.write_last_good(data, {})
        assert list(data.iterdir()) == []

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 2, "files": []}', '{"version": 1, "files": [1]}'])
    def test_one_that_makes_no_sense_is_none(self, data, text):
        file(data, text, files.LAST_GOOD)
        assert files.read_last_good(data) == {}

    def test_a_folder_that_takes_no_file_is_no_failure(self, data):
        files.write_last_good(data / "nowhere", {data / "a": "b: 1"})

    def test_its_texts_are_in_no_representation(self, data):
        file(data, "admin_key: secret-1")
        assert "admin_key: secret-1" not in repr(load(None, data, {}))
