"""Help of the image's build: list what `pyproject.toml` needs at run time, and compile what was installed.

requirements.py PYPROJECT [EXTRA]...    print the requirements, one a line
requirements.py --compile FOLDER        write bytecode that stays valid whatever happens to the files' times
"""

import compileall
import sys
import tomllib
from pathlib import Path
from py_compile import PycInvalidationMode


def requirements(pyproject: Path, extras: list[str]) -> list[str]:
    """The project's dependencies and those of the extras."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]


def main(arguments: list[str]) -> int:
    """Do what the first argument says."""
    if arguments[0] == "--compile":
        done = compileall.compile_dir(arguments[1], quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
        return 0 if done else 1
    print(*requirements(Path(arguments[0]), arguments[1:]), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
