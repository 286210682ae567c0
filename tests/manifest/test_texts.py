from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from cheaprouter.config.loader import load as load_settings
from cheaprouter.dashboard.site import strings

from .conftest import load
from .store_rules import TRANSLATION

LANGUAGES = ("en", "de", "fr", "es", "nl")


@pytest.fixture(params=LANGUAGES)
def texts(request: pytest.FixtureRequest) -> dict:
    return load(f"translations/{request.param}.yaml")


def test_every_language_keeps_the_stores_form(texts: dict) -> None:
    TRANSLATION(texts)


def test_every_option_has_its_words(texts: dict, manifest: dict) -> None:
    assert list(texts["configuration"]) == list(manifest["schema"])
    for name, kind in manifest["schema"].items():
        fields = texts["configuration"][name].get("fields", {})
        assert list(fields) == (list(kind) if isinstance(kind, dict) else [])


def test_every_port_has_its_words(texts: dict, manifest: dict) -> None:
    assert set(texts["network"]) == set(manifest["ports"])


def test_the_page_has_the_same_words_and_places_in_every_language(texts: dict) -> None:
    def places(words: dict) -> dict[str, list[str]]:
        return {key: sorted(re.findall(r"\{\w+\}", text)) for key, text in words.items()}

    assert places(texts["dashboard"]) == places(load("translations/en.yaml")["dashboard"])


def test_no_text_is_empty(texts: dict) -> None:
    def values(node: object) -> list[str]:
        return [v for n in node.values() for v in values(n)] if isinstance(node, dict) else [node]

    assert all(isinstance(v, str) and v.strip() for v in values(texts))


def test_no_language_is_left_in_english() -> None:
    english = load("translations/en.yaml")["dashboard"]
    for language in LANGUAGES[1:]:
        same = [
            k
            for k, v in load(f"translations/{language}.yaml")["dashboard"].items()
            if v == english[k] and len(v.split()) > 2
        ]
        assert not same, (language, same)


def test_there_is_no_other_language_file(root: Path) -> None:
    assert {p.stem for p in (root / "translations").iterdir()} == set(LANGUAGES)


def test_the_package_carries_the_same_words_as_the_translations(root: Path) -> None:
    """Run script/update-strings where this fails."""
    script = runpy.run_path(str(root / "script" / "update-strings"))
    for part, target in script["TARGETS"].items():
        assert target.read_text(encoding="utf-8") == script["render"](root / "translations", part)


def test_every_word_that_the_page_asks_for_exists(root: Path) -> None:
    static = root / "cheaprouter/dashboard/static"
    asked = set(re.findall(r'data-t="(\w+)"', (static / "page.html").read_text()))
    asked |= set(re.findall(r'\bt\("(\w+)"', (static / "app.js").read_text()))
    asked |= set(re.findall(r'\b(?:tile|field)\("(\w+)"', (static / "app.js").read_text()))
    assert asked <= set(strings()["en"])


def test_the_page_uses_every_word(root: Path) -> None:
    page = "".join((root / "cheaprouter/dashboard/static" / name).read_text() for name in ("page.html", "app.js"))
    unused = [k for k in strings()["en"] if f'"{k}"' not in page and not k.startswith(("state_", "health_"))]
    assert not unused


def test_the_documentation_names_every_option(root: Path) -> None:
    text = (root / "DOCS.md").read_text(encoding="utf-8")
    missing = [
        name for name in load("config.yaml")["schema"] if not name.endswith("_api_key") and f"`{name}" not in text
    ]
    assert not missing


@pytest.mark.parametrize("name", ["DOCS.md", "CHANGELOG.md", "README.md"])
def test_the_store_has_its_pages(root: Path, name: str) -> None:
    assert len((root / name).read_text(encoding="utf-8")) > 300


def test_the_documentation_holds_the_mqtt_page_as_it_is(root: Path) -> None:
    """Run script/update-docs where this fails."""
    render = runpy.run_path(str(root / "script" / "update-docs"))["render"]
    page = (root / "DOCS.md").read_text(encoding="utf-8")
    assert page == render(page, (root / "docs/mqtt.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["DOCS.md", "docs/configuration.md", "config.yaml"])
def test_what_is_made_of_the_table_of_settings_is_up_to_date(root: Path, name: str) -> None:
    """Run script/update-docs where this fails."""
    page = (root / name).read_text(encoding="utf-8")
    assert page == runpy.run_path(str(root / "script" / "update-docs"))["MADE"][name](page)


def test_the_documentation_says_what_each_option_is_at_first(root: Path) -> None:
    text = (root / "DOCS.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", text, re.MULTILINE))
    for name, value in load("config.yaml")["options"].items():
        if value != {}:
            assert any(f"`{name}`" in names and f"`{value}`" in first for names, first in rows.items()), name


def test_links_within_the_documentation_lead_somewhere(root: Path) -> None:
    page = re.sub(r"^```.*?^```$", "", (root / "DOCS.md").read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= anchors


def test_the_file_in_the_documentation_loads(root: Path, tmp_path: Path) -> None:
    page = (root / "DOCS.md").read_text(encoding="utf-8").split("## More settings in a file")[1]
    (tmp_path / "cheaprouter.yaml").write_text(
        re.search(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1], encoding="utf-8"
    )
    loaded = load_settings(None, tmp_path, {})
    assert loaded.settings.devices["kids-tablet"].schedule
