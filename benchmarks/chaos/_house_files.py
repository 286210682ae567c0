"""Reads mutated files as `serve` does: says what goes wrong, a line each.

python benchmarks/chaos/_house_files.py SEED FOLDER NUMBER
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _house_mutate import Mutator
from _house_samples import CONFIG

from cheaprouter.config import files, loader
from cheaprouter.core.errors import ConfigurationError

OPTIONS: dict[str, Any] = {"auth": "open", "log_level": "info", "rpm": 60, "daily_budget": 1, "providers": []}
SAMPLES: dict[str, Any] = {
    "cheaprouter.yaml": CONFIG,
    "options.json": OPTIONS,
    "last_good.json": {"version": 1, "files": [{"path": "cheaprouter.yaml", "text": json.dumps(CONFIG)}]},
}
OFTEN = ("cheaprouter.yaml", "cheaprouter.yaml", "options.json", "last_good.json")
VARIABLES = ("CHEAPROUTER_AUTH", "CHEAPROUTER_LOG_LEVEL", "CHEAPROUTER_HTTP_PORT", "CHEAPROUTER_USD_RATE")


def one(folder: Path, name: str, content: bytes, environ: dict[str, str]) -> str | None:
    """Read one file, as it is read at a start and as it is read when it changes; what went wrong."""
    path = folder / name
    path.write_bytes(content)
    try:
        loader.start(folder, environ, files.read_last_good(folder))
        loader.load(path, folder, environ)
    except ConfigurationError:
        pass
    except Exception as error:  # noqa: BLE001 - whatever else it raises is what is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{where.name} ({Path(where.filename).name}:{where.lineno})"
        return f"{type(error).__name__} in {place} of {name}: {content[:200]!r} {environ}"
    finally:
        path.unlink(missing_ok=True)
    return None


def main(seed: int, parent: Path, number: int) -> None:
    dice = random.Random(seed)
    mutate, folder = Mutator(dice), Path(tempfile.mkdtemp(dir=parent))
    for _ in range(number):
        name = dice.choice(OFTEN)
        content, environ = mutate.body(SAMPLES[name]), {}
        if dice.random() > 0.8:
            value = dice.choice((mutate.text(), mutate.number()))
            environ = {dice.choice(VARIABLES): value.replace("\0", "")}
        if (wrong := one(folder, name, content, environ)) is not None:
            print(wrong)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
