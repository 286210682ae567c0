"""What is imported is declared; what is private to a library is used in one file, and its version capped at the tested minor."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import cheaprouter

LINE = "doors/line.py"
PRIVATE = {
    "aiohttp": LINE,  # its connection is subclassed; tests/doors/test_line.py names all of it that is used
    "aiomqtt": "mqtt/connection.py",
    "paho-mqtt": "mqtt/connection.py",
    "amqtt": "mqtt/embedded.py",
}
"""Where which library's private parts are used."""

OF_AIOHTTP = {
    "_drain_helper", "_keepalive_timeout", "_kwargs", "_manager", "_messages", "_pause_transport_reading", "_read_bufsize",
    "_resume_transport_reading",
}  # fmt: skip
"""Private attributes of its connection and server that have no namesake here."""

UNDOCUMENTED = {
    "RequestHandler": {LINE},
    "RawRequestMessage": {LINE, "doors/heads.py"},
    "HttpRequestParser": {LINE, "doors/heads.py"},
    "HttpProcessingError": {"doors/heads.py"},
    "BaseProtocol": {"doors/output.py"},
    "rfc822_formatted_time": {"doors/output.py"},
}
"""Where names are imported that aiohttp's documentation leaves out."""


def trees(root: Path) -> Iterator[tuple[str, ast.Module]]:
    package = root / "cheaprouter"
    for path in sorted(package.rglob("*.py")):
        yield path.relative_to(package).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(module, name) of all that is imported from elsewhere than this package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.module or "", alias.name) for alias in node.names)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


def declared(root: Path) -> dict[str, str]:
    """Versions by name, with the extras."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["demo"], *extras["speed"]]
    return {name.lower(): versions for name, versions in (re.match(r"([\w-]+)(.*)", line).groups() for line in lines)}


def test_every_library_that_is_imported_is_declared(root):
    distributions = packages_distributions()
    used = {module.partition(".")[0] for _, tree in trees(root) for module, _ in imported(tree)}
    third_party = used - sys.stdlib_module_names - {"cheaprouter"}
    assert third_party >= {"aiohttp", "aiomqtt", "httptools", "paho", "yaml", "orjson", "voluptuous"}
    missing = {name for name in third_party if distributions[name][0].lower() not in declared(root)}
    assert missing == set()


def test_a_default_install_has_at_most_eight_direct_dependencies(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert len(project["dependencies"]) <= 8


@pytest.mark.parametrize("name", sorted(PRIVATE))
def test_a_library_whose_private_parts_are_used_is_capped_at_the_tested_minor(root, name):
    pinned = re.search(rf"^{name}==(\d+)\.(\d+)", (root / "constraints.txt").read_text(), re.MULTILINE)
    major, minor = int(pinned[1]), int(pinned[2])
    assert declared(root)[name] == f">={major}.{minor},<{major}.{minor + 1}"


def test_every_declared_dependency_is_pinned(root):
    pins = re.findall(r"^([\w-]+)==", (root / "constraints.txt").read_text().lower(), re.MULTILINE)
    assert declared(root).keys() <= set(pins)


def test_private_attributes_that_are_not_ours_are_used_in_one_file_each(root):
    made: set[str] = set()
    read: dict[str, set[str]] = {}
    for path, tree in trees(root):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                made.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                made.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                made.add(node.attr)
            elif isinstance(node, ast.Attribute) and is_private(node.attr):
                read.setdefault(node.attr, set()).add(path)
    theirs = {name: files for name, files in read.items() if name not in made}
    assert theirs == {
        **{name: {PRIVATE["aiohttp"]} for name in OF_AIOHTTP},
        "_connected": {PRIVATE["aiomqtt"]},
        "_disconnected": {PRIVATE["aiomqtt"]},
        "_in_packet": {PRIVATE["paho-mqtt"]},
        "_servers": {PRIVATE["amqtt"]},
        "_sock_close": {PRIVATE["paho-mqtt"]},
    }


def test_private_methods_of_a_library_are_overridden_in_one_file():
    for module in pkgutil.walk_packages(cheaprouter.__path__, "cheaprouter."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: dict[str, set[str]] = {}
    for name, module in list(sys.modules.items()):
        if not name.startswith("cheaprouter."):
            continue
        for kind in vars(module).values():
            if not isinstance(kind, type) or kind.__module__ != name:
                continue
            for base in kind.__mro__[1:]:
                top = base.__module__.partition(".")[0]
                if top == "cheaprouter" or top in sys.stdlib_module_names:
                    continue
                if any(is_private(n) and n in vars(base) for n in vars(kind)):
                    found.setdefault(top, set()).add(name)
    assert found == {"aiomqtt": {"cheaprouter.mqtt.connection"}, "aiohttp": {"cheaprouter.doors.line"}}


def test_undocumented_names_of_a_library_are_imported_where_it_is_said(root):
    found = {
        (path, name)
        for path, tree in trees(root)
        for module, name in imported(tree)
        if module.partition(".")[0] not in sys.stdlib_module_names
        and (name in UNDOCUMENTED or is_private(name) or any(map(is_private, module.split("."))))
    }
    assert found == {(path, name) for name, paths in UNDOCUMENTED.items() for path in paths}
