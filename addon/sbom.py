"""What is installed, told to programs: a bill of materials in CycloneDX 1.6 (JSON), and the licences as a page.

sbom.py FOLDER LOCK VERSION       of the packages that LOCK names and FOLDER (a virtual environment) has, on standard output
sbom.py --licences FOLDER LOCK    the page of their licences, likewise

The same every time: no date, no serial number. A package of LOCK that FOLDER lacks is an error.
"""

import json
import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)([^\\]*)")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# SPDX names of what older packages say in words of their own; each was looked up in the package's own licence file.
SPDX = {
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Python Software Foundation License": "PSF-2.0",
}


def locked(lock: Path) -> dict[str, tuple[str, str, list[str]]]:
    """Version, condition ("" for none) and hashes by name, as a lock file has them."""
    found: dict[str, tuple[str, str, list[str]]] = {}
    name = ""
    for line in lock.read_text(encoding="utf-8").splitlines():
        if pin := PIN.match(line):
            name = plain(pin[1])
            found[name] = (pin[2], pin[3].strip().lstrip(";").strip(), [])
        elif (digest := HASH.search(line)) and name:
            found[name][2].append(digest[1])
    return found


def plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(folder: Path) -> dict[str, Distribution]:
    """What a virtual environment has."""
    places = [str(path) for path in folder.glob("lib/python3*/site-packages")]
    return {plain(found.metadata["Name"]): found for found in distributions(path=places)}


def licence(found: Distribution) -> str:
    """As an SPDX expression where it can be told, else as the package says it. Raises ValueError where it says nothing."""
    about = found.metadata
    classifiers = [
        line.rpartition(" :: ")[2] for line in about.get_all("Classifier", []) if line.startswith("License :: ")
    ]
    said = (
        about.get("License-Expression")
        or (about.get("License") or "").strip().partition("\n")[0]
        or " OR ".join(classifiers)
    )
    if not said or said == "UNKNOWN":
        raise ValueError(f"{about['Name']} says nothing of its licence")
    return SPDX.get(said, said)


def chosen(folder: Path, lock: Path) -> dict[str, tuple[Distribution, list[str]]]:
    """Of what is locked, all that is installed. Raises ValueError for what should be, of that version, and is not."""
    have, found = installed(folder), {}
    for name, (version, condition, hashes) in sorted(locked(lock).items()):
        if name not in have and condition:
            continue  # it is for another Python or another system
        if name not in have or have[name].version != version:
            raise ValueError(f"{name} {version} is locked and not installed")
        found[name] = (have[name], hashes)
    return found


def component(name: str, found: Distribution, hashes: list[str]) -> dict[str, object]:
    said = licence(found)
    simple = re.fullmatch(r"[A-Za-z0-9.+-]+", said)
    return {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}@{found.version}",
        "name": name,
        "version": found.version,
        "purl": f"pkg:pypi/{name}@{found.version}",
        "licenses": [{"license": {"id": said}}] if simple else [{"expression": said}],
        # One of these is the file that was installed: the lock has those of all systems.
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{name}/{found.version}/",
                "hashes": [{"alg": "SHA-256", "content": digest} for digest in hashes],
            }
        ],
    }


def bill(folder: Path, lock: Path, version: str) -> dict[str, object]:
    """The whole document."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "cheaprouter",
                "name": "cheaprouter",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [component(name, *found) for name, found in chosen(folder, lock).items()],
    }


def page(folder: Path, lock: Path) -> str:
    """The licences as a table."""
    rows = [
        f"| [{name}](https://pypi.org/project/{name}/{found.version}/) | {found.version} | {licence(found)} |"
        for name, (found, _) in chosen(folder, lock).items()
    ]
    head = [
        "# Licences of what CheapRouter runs on",
        "",
        "Made by `script/licences` of `locks/run.txt` and what the packages say of themselves. CheapRouter itself is under Apache-2.0.",
        "",
        "| package | version | licence |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def main(arguments: list[str]) -> int:
    try:
        if arguments[0] == "--licences":
            print(page(Path(arguments[1]), Path(arguments[2])), end="")
        else:
            print(json.dumps(bill(Path(arguments[0]), Path(arguments[1]), arguments[2]), indent=1))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
