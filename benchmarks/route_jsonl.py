"""Chat payloads as JSON lines on stdin, one judgement a line on stdout, whatever the input: python benchmarks/route_jsonl.py"""

from __future__ import annotations

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from cheaprouter.routing.difficulty import DifficultyModel
from cheaprouter.routing.explain import score_payload


def main() -> None:
    model = DifficultyModel.load()
    for line in sys.stdin.buffer:
        try:
            payload = json.loads(line)
        except (ValueError, RecursionError):
            payload = None
        print(json.dumps(score_payload(model, payload)))


if __name__ == "__main__":
    main()
