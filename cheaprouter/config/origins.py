"""Where settings came from, for whoever has to mend them: the file and the line, the option, the variable. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import yaml

from .problems import Path as Place
from .problems import Problem, dotted
from .strict_yaml import compose

_MERGE: Final = "<<"


class Origins:
    """`sources`: of each dotted path. `texts`: of the files in YAML among them, all of which were read before."""

    def __init__(self, sources: Mapping[str, str], texts: Mapping[Path, str]) -> None:
        self._sources = sources
        self._texts = {str(path): text for path, text in texts.items()}
        self._nodes: dict[str, yaml.Node | None] = {}

    def told(self, problem: Problem) -> str:
        """A problem with where it came from."""
        found = ", ".join(sorted(self._place(source, problem.path) for source in self._of(problem.path)))
        return f"{problem.text} ({found})" if found else problem.text

    def _of(self, path: Place) -> set[str]:
        while path:
            here = dotted(path)
            if here in self._sources:
                return {self._sources[here]}
            if inner := {source for key, source in self._sources.items() if key.startswith((f"{here}.", f"{here}["))}:
                return inner
            path = path[:-1]
        return set()

    def _place(self, source: str, path: Place) -> str:
        if source not in self._texts:
            return source
        if source not in self._nodes:  # read a second time: it is only needed where something is wrong
            self._nodes[source] = compose(self._texts[source])
        mark = _mark(self._nodes[source], path)
        return source if mark is None else f"{source}, line {mark.line + 1}"


def _mark(node: yaml.Node | None, path: Place) -> yaml.Mark | None:
    """Where the deepest part of a path stands that is written there."""
    mark: yaml.Mark | None = None
    for part in path:
        found = next(_inside(node, part), None)
        if found is None:
            break
        mark, node = found
    return mark


def _inside(node: yaml.Node | None, part: str | int) -> Iterator[tuple[yaml.Mark, yaml.Node]]:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        yield node.value[part].start_mark, node.value[part]
    if isinstance(node, yaml.MappingNode):
        yield from ((key.start_mark, value) for key, value in node.value if key.value == str(part))
        for key, value in node.value:
            if key.value == _MERGE:
                for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    yield from _inside(merged, part)
