"""What the image's build does to the libraries that were installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import aiohttp
import multidict
import pytest

LIBRARIES = sorted(path for package in (aiohttp, multidict) for path in Path(package.__file__).parent.rglob("*.so"))

LOAD = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location(sys.argv[1], sys.argv[2])
print(len(vars(importlib.util.module_from_spec(spec))) > 0)
"""


@pytest.fixture
def helper(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("requirements", root / "addon" / "requirements.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", LIBRARIES, ids=lambda path: path.name)
def test_a_stripped_library_still_loads(path: Path, helper: ModuleType, tmp_path: Path):
    stripped = tmp_path / path.name
    stripped.write_bytes(helper.strip(path.read_bytes()))
    name = f"{path.parent.name}.{path.name.partition('.')[0]}"
    done = subprocess.run([sys.executable, "-c", LOAD, name, stripped], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", done.stderr


def test_what_is_for_debuggers_goes(helper: ModuleType):
    largest = max(LIBRARIES, key=lambda path: path.stat().st_size).read_bytes()
    assert len(helper.strip(largest)) < len(largest)


def test_stripping_twice_changes_nothing(helper: ModuleType):
    once = helper.strip(LIBRARIES[0].read_bytes())
    assert helper.strip(once) == once


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF\x01\x01 32 bits", b"\xca\xfe\xba\xbe another system's"])
def test_what_is_no_such_library_stays_as_it_is(data: bytes, helper: ModuleType):
    assert helper.strip(data) == data


def test_what_was_installed_is_compiled(helper: ModuleType, tmp_path: Path):
    (tmp_path / "module.py").write_text("x = 1\n")
    assert helper.main(["--finish", str(tmp_path)]) == 0
    assert list((tmp_path / "__pycache__").iterdir())
