"""Help of the image's build: list what `pyproject.toml` needs at run time, and finish what was installed.

requirements.py PYPROJECT [EXTRA]...    print the requirements, one a line
requirements.py --finish FOLDER         write bytecode that stays valid whatever happens to the files' times, and take out of
                                        libraries what is for debuggers alone: four fifths of their 12 MB
"""

import compileall
import struct
import sys
import tomllib
from pathlib import Path
from py_compile import PycInvalidationMode


def requirements(pyproject: Path, extras: list[str]) -> list[str]:
    """The project's dependencies and those of the extras."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]


def strip(library: bytes) -> bytes:
    """A shared library without what lies behind all that is loaded of it: symbols, debuggers' tables and the sections' headers.

    As `strip` of binutils does, which the image has not. ELF, 64 bits, little-endian, as both architectures' are; anything
    else stays as it is. A program is loaded by its program headers; sections are for linkers (System V ABI, chapters 4 and 5).
    """
    if library[:6] != b"\x7fELF\x02\x01":
        return library
    table, size, count = *struct.unpack_from("<Q", library, 32), *struct.unpack_from("<HH", library, 54)
    headers = range(table, table + size * count, size)
    offsets = [struct.unpack_from("<Q16xQ", library, header + 8) for header in headers]
    end = max(headers.stop, *(offset + length for offset, length in offsets))
    kept = bytearray(library[:end])
    struct.pack_into(
        "<Q", kept, 40, 0
    )  # where the section headers are, and below how many, and which one holds their names
    struct.pack_into("<HH", kept, 60, 0, 0)
    return bytes(kept)


def finish(folder: Path) -> bool:
    """Compile and strip; whether all of it worked."""
    for path in folder.rglob("*.so"):
        path.write_bytes(strip(path.read_bytes()))
    return bool(compileall.compile_dir(folder, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH))


def main(arguments: list[str]) -> int:
    """Do what the first argument says."""
    if arguments[0] == "--finish":
        return 0 if finish(Path(arguments[1])) else 1
    print(*requirements(Path(arguments[0]), arguments[1:]), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
