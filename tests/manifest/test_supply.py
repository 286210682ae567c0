"""What is installed is what was locked, file by file; what it is and under which licences is told."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

LOCKS = ("run", "demo", "test", "build", "audit")


@pytest.fixture
def sbom(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", root / "addon" / "sbom.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def locks(root: Path, sbom: ModuleType) -> dict[str, dict]:
    return {name: sbom.locked(root / "locks" / f"{name}.txt") for name in LOCKS}


def test_every_locked_package_has_hashes(locks):
    for name, found in locks.items():
        assert found, name
        assert [package for package, (_, _, hashes) in found.items() if not hashes] == []


def test_all_locks_agree_on_versions(locks, root, sbom):
    pins = re.findall(r"^([\w.-]+)==(\S+)$", (root / "constraints.txt").read_text(), re.MULTILINE)
    versions = {sbom.plain(name): version for name, version in pins}
    assert versions == {name: version for name, (version, *_) in locks["test"].items()}
    for name in ("run", "demo"):
        assert {package: found[0] for package, found in locks[name].items()}.items() <= versions.items()


def test_each_lock_holds_what_is_declared(locks, root, sbom):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]

    def named(*lists):
        return {sbom.plain(re.match(r"[\w.-]+", line)[0]) for lines in lists for line in lines}

    assert named(project["dependencies"]) <= set(locks["run"])
    assert named(project["dependencies"], extras["demo"], extras["speed"]) <= set(locks["demo"])
    assert named(project["dependencies"], extras["demo"], extras["speed"], extras["test"]) <= set(locks["test"])
    assert not (named(extras["test"]) | {"uvloop", "amqtt"}) & set(locks["run"])


def commands(text: str) -> list[str]:
    """Each `pip install`, on one line."""
    joined = re.sub(r"\\\n\s*", " ", text)
    found = re.findall(r"(?:pip|bin/pip)(?: --python \S+)? install[^&\n]*", joined)
    return [line for line in found if not line.startswith("pip install -c")]


@pytest.mark.parametrize("path", ["Dockerfile", "script/lib.sh", "script/audit"])
def test_nothing_is_installed_that_is_not_checked_by_its_hash(root, path):
    found = commands((root / path).read_text())
    assert found
    for command in found:
        locked = "--require-hashes" in command and "--no-deps" in command
        ourselves = "--no-build-isolation" in command and "--no-deps" in command
        assert locked or ourselves, command


def test_the_licences_that_are_told_are_those_of_what_is_locked(root, locks):
    """Run script/licences where this fails."""
    rows = re.findall(
        r"^\| \[([\w.-]+)\]\(\S+\) \| (\S+) \| (.+) \|$", (root / "docs/licences.md").read_text(), re.MULTILINE
    )
    told = {name: version for name, version, _ in rows}
    always = {name: version for name, (version, condition, _) in locks["run"].items() if not condition}
    assert always.items() <= told.items()
    assert told.items() <= {name: version for name, (version, *_) in locks["run"].items()}.items()
    assert all(licence.strip() not in {"", "UNKNOWN"} for *_, licence in rows)


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment with two packages, as installers leave them."""
    packages = tmp_path / "lib/python3.13/site-packages"
    for name, version, said in (("One", "1.0", "License-Expression: MIT"), ("two_b", "2.0", "License: BSD License")):
        folder = packages / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{said}\n")
    return tmp_path


def lock(folder: Path, *lines: str) -> Path:
    path = folder / "lock.txt"
    path.write_text("".join(f"{line} \\\n    --hash=sha256:{'a' * 64}\n" for line in lines))
    return path


def test_the_bill_of_materials_names_each_package_with_its_hashes_and_licence(environment, sbom):
    found = sbom.bill(environment, lock(environment, "one==1.0", "two-b==2.0"), "0.2.0")
    assert (found["bomFormat"], found["specVersion"], found["metadata"]["component"]["version"]) == (
        "CycloneDX",
        "1.6",
        "0.2.0",
    )
    told = [(c["purl"], c["licenses"], c["externalReferences"][0]["hashes"][0]["content"]) for c in found["components"]]
    assert told == [
        ("pkg:pypi/one@1.0", [{"license": {"id": "MIT"}}], "a" * 64),
        ("pkg:pypi/two-b@2.0", [{"license": {"id": "BSD-3-Clause"}}], "a" * 64),
    ]
    assert json.dumps(found) == json.dumps(sbom.bill(environment, lock(environment, "one==1.0", "two-b==2.0"), "0.2.0"))


@pytest.mark.parametrize("lines", [["one==1.1"], ["one==1.0", "missing==1"]])
def test_what_is_locked_and_not_installed_is_an_error(environment, sbom, lines):
    with pytest.raises(ValueError, match="is locked and not installed"):
        sbom.bill(environment, lock(environment, *lines), "1")


def test_what_is_for_another_system_may_be_missing(environment, sbom):
    found = sbom.bill(environment, lock(environment, "one==1.0", "colorama==1 ; sys_platform == 'win32'"), "1")
    assert [component["name"] for component in found["components"]] == ["one"]


def test_a_package_without_a_licence_is_an_error(environment, sbom):
    folder = environment / "lib/python3.13/site-packages/bare-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: bare\nVersion: 1\n")
    assert sbom.main(["--licences", str(environment), str(lock(environment, "bare==1"))]) == 1


def test_the_image_carries_its_bill_of_materials(root):
    text = (root / "Dockerfile").read_text()
    assert "sbom.py /opt/venv run.txt" in text
    assert "COPY --from=package /opt/sbom.cdx.json /opt/sbom.cdx.json" in text


def test_each_hole_that_is_ignored_has_a_reason(root):
    for line in (root / "locks/audit-ignored.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            assert len(line.split()) > 3, line
