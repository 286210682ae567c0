"""What goes into the image, by the linters that exist here; a linter that is not installed is left out, not failed."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cheaprouter.core.const import DEFAULT_PORT


def tool(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def clean(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:24])


def test_the_icon_is_square(root: Path) -> None:
    assert png_size(root / "icon.png") == (128, 128)


def test_the_logo_has_the_stores_shape(root: Path) -> None:
    assert png_size(root / "logo.png") == (250, 100)


def test_the_apparmor_profile_is_valid(root: Path) -> None:
    clean(tool("apparmor_parser"), "-Q", "-K", str(root / "apparmor.txt"))


def test_the_apparmor_profile_is_one_of_our_name(root: Path, manifest: dict) -> None:
    """The Supervisor renames the one profile that begins at the line's start, and refuses any other number of them."""
    assert re.findall(r"^profile (\S+)", (root / "apparmor.txt").read_text(), re.MULTILINE) == [manifest["slug"]]


def test_apparmor_lets_us_write_to_our_folders_alone(root: Path) -> None:
    rules = re.findall(r"^  (/\S+) (\w+),$", (root / "apparmor.txt").read_text(), re.MULTILINE)
    writable = {path for path, rights in rules if "w" in rights}
    assert writable == {"/data/{,**}", "/config/{,**}", "/tmp/{,**}", "/dev/shm/{,**}", "/dev/tty"}


def test_the_dockerfile_is_clean(root: Path) -> None:
    clean(tool("hadolint"), str(root / "Dockerfile"))


SHELL = ["addon/start.sh", "script/build-image", "script/run-image"]


@pytest.mark.parametrize("name", SHELL)
def test_shell_scripts_are_clean(root: Path, name: str) -> None:
    clean(tool("shellcheck"), "-x", str(root / name))


def test_the_image_starts_one_program_without_a_shell_in_between(root: Path) -> None:
    text = (root / "Dockerfile").read_text()
    assert 'CMD ["python", "-m", "cheaprouter", "serve", "--data", "/data"]' in text
    assert 'exec "$@"' in (root / "addon/start.sh").read_text()


def test_the_image_takes_wheels_alone(root: Path) -> None:
    assert "--only-binary=:all:" in (root / "Dockerfile").read_text()


def test_what_the_dockerfile_copies_is_in_the_build_context(root: Path) -> None:
    allowed = {line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        word.partition("/")[0]
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", (root / "Dockerfile").read_text(), re.MULTILINE)
        for word in line.split()
    }
    assert {word.replace("*", "") for word in copied} <= allowed


def test_the_compose_example_is_valid(root: Path) -> None:
    compose = yaml.safe_load((root / "docker-compose.yaml").read_text())
    router = compose["services"]["cheaprouter"]
    assert router["read_only"] is True
    assert f"{DEFAULT_PORT}:{DEFAULT_PORT}" in router["ports"]


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).resolve().parents[2] / ".github/workflows").glob("*.yaml")), ids=lambda p: p.name
)
def test_workflows_are_yaml_with_least_rights(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert {"jobs", "name"} <= set(workflow)
