"""YAML as a configuration may use it: no objects, no key twice, and nothing that grows beyond all bounds. Pure.

Anchors, aliases and merge keys work; an anchor that contains itself, nesting without end and aliases that multiply do not.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

import yaml

from ..core.errors import ConfigurationError
from ..core.models import Json

MOST_CHARACTERS: Final = 100_000
"""The parser takes some seconds for a megabyte; a large home's file has a tenth of this."""

MOST_VALUES: Final = 50_000
"""How many keys and values there may be once every alias is written out."""

DEEPEST: Final = 40
_LONGEST_NUMBER: Final = 100
_MERGE: Final = "tag:yaml.org,2002:merge"
_NUMBERS: Final = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_READ_OTHERWISE: Final = frozenset("\t\ufeff")
"""Where these are, libyaml and PyYAML do not read the same; PyYAML's word counts."""


def parse_yaml(text: str) -> Json:
    """A YAML file's top mapping. Raises ConfigurationError naming line and column; a key written twice is an error too."""
    if len(text) > MOST_CHARACTERS:
        raise ConfigurationError([f"not usable: {len(text)} characters, at most {MOST_CHARACTERS} are read"])
    try:
        raw = _load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigurationError([f"{where}not YAML ({error.problem or error.context})"]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError([f"not YAML ({str(error).splitlines()[0]})"]) from None
    except Exception:  # noqa: BLE001 - `!!bool x` is a KeyError in PyYAML, `!!int ""` an IndexError, and so on
        raise ConfigurationError(["not YAML (a value is not what its tag says)"]) from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise ConfigurationError([f"expected a mapping of settings at the top, got a {type(raw).__name__}"])
    return raw


def _load(text: str) -> Any:
    """By libyaml where it is there, in a fifth of the time. PyYAML's own parser says what is wrong: its words are the better."""
    if yaml.__with_libyaml__ and _READ_OTHERWISE.isdisjoint(text):
        with contextlib.suppress(yaml.YAMLError, ValueError):
            return yaml.load(text, _Quick)  # noqa: S506 - likewise
    return yaml.load(text, _Strict)  # noqa: S506 - a SafeLoader that also refuses keys written twice


class _Composer(yaml.composer.Composer):
    """With bounds; the parser beside it may be either."""

    _depth = 0

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _weigh(node, {})
        return node

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self._depth >= DEEPEST:
            here: Any = self.peek_event()  # type: ignore[attr-defined]
            raise _refused(f"nested more than {DEEPEST} levels deep", here.start_mark)
        self._depth += 1
        try:
            node: yaml.Node | None = super().compose_node(parent, index)
        finally:
            self._depth -= 1
        return node


class _Strict(_Composer, yaml.SafeLoader):
    pass


if yaml.__with_libyaml__:

    class _Quick(_Composer, yaml.CSafeLoader):
        """As `_Strict`, with libyaml's parser. Not with its composer: that one overflows the stack where nesting is deep."""

        def __init__(self, text: str) -> None:
            _Composer.__init__(self)
            yaml.CSafeLoader.__init__(self, text)


def _weigh(node: yaml.Node, weights: dict[yaml.Node, int]) -> int:
    """How many values it stands for with its aliases written out. 0 in `weights`: we are inside of it."""
    if node in weights:
        if not weights[node]:
            raise _refused("an anchor contains itself", node.start_mark)
        return weights[node]
    weights[node], weight = 0, 1
    if isinstance(node, yaml.MappingNode):
        _refuse_twins(node)
    elif isinstance(node, yaml.ScalarNode) and node.tag in _NUMBERS and len(node.value) > _LONGEST_NUMBER:
        raise _refused("a number of so many digits", node.start_mark)
    if isinstance(node, yaml.CollectionNode):
        for item in node.value:
            for part in item if isinstance(item, tuple) else (item,):
                weight += _weigh(part, weights)
                if weight > MOST_VALUES:
                    raise _refused(f"more than {MOST_VALUES} values, its aliases written out", node.start_mark)
    weights[node] = weight
    return weight


def _refuse_twins(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
            if (key.tag, key.value) in seen:
                raise _refused(f"`{key.value}` is written twice", key.start_mark)
            seen.add((key.tag, key.value))


def _refused(words: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, words, mark)
