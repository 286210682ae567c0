"""YAML as a configuration may use it: no objects, no key twice, and nothing that grows beyond all bounds. Pure.

Anchors, aliases and merge keys work; an anchor that contains itself, nesting without end and aliases that multiply do not.
Of Home Assistant's tags `!secret NAME` and `!env_var NAME` work, see `references`. What is wrong is said with its line, and
without the words of the file: they may be a password that nobody put in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, Final

import yaml

from ..core.errors import ConfigurationError
from ..core.models import Json
from .references import SecretName, variable_text

MOST_CHARACTERS: Final = 100_000
"""The parser takes some seconds for a megabyte; a large home's file has a tenth of this."""

MOST_VALUES: Final = 50_000
"""How many keys and values there may be once every alias is written out."""

DEEPEST: Final = 40
_LONGEST_NUMBER: Final = 100
_MERGE: Final = "tag:yaml.org,2002:merge"
_NO_NAMES: Final = ("tag:yaml.org,2002:null", "!secret")
_NUMBERS: Final = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_READ_OTHERWISE: Final = frozenset("\t\ufeff")
"""Where these are, libyaml and PyYAML do not read the same; PyYAML's word counts."""

_WORTH_BETTER_WORDS: Final = 20_000
"""Characters that PyYAML's parser reads in a fifth of a second on a small machine; beyond, libyaml's words have to do."""

_QUOTED: Final = re.compile(r"""'(?!<)(?:[^'\\]|\\.){2,}'|"(?:[^"\\]|\\.){2,}\"""")
_PLAINER: Final = {
    "found undefined alias": "an alias, and no anchor of that name; a text that begins with * has to be quoted",
    "could not determine a constructor": "an unknown tag; a text that begins with ! has to be quoted",
    "found undefined tag handle": "an unknown tag; a text that begins with ! has to be quoted",
}
"""For sentences of PyYAML's that help nobody, by how they begin."""

_LONGEST_WORDS: Final = 500
_HALF: Final = re.compile(r"[\ud800-\udfff]")


def parse_yaml(text: str) -> Json:
    """A YAML file's top mapping. Raises ConfigurationError naming line and column; a key written twice is an error too."""
    return _parsed(text, _load)


def _parsed(text: str, load: Callable[[str], Any]) -> Json:
    if len(text) > MOST_CHARACTERS:
        line = _line(text, MOST_CHARACTERS)
        raise ConfigurationError(
            [f"line {line}: not usable: at most {MOST_CHARACTERS} characters are read, and it goes on"]
        )
    try:
        raw = load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigurationError([f"{where}not YAML ({_words(error)})"]) from None
    except yaml.reader.ReaderError as error:
        raise ConfigurationError([f"line {_line(text, int(error.position))}: not YAML ({error.reason})"]) from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise ConfigurationError([f"line 1: expected a mapping of settings at the top, got a {type(raw).__name__}"])
    return raw


def parse_secrets(text: str) -> Json:
    """A `secrets.yaml`: names and texts, each as it is written there (`007` is no number). Raises ConfigurationError likewise."""
    return _parsed(text, _texts)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _words(error: yaml.MarkedYAMLError) -> str:
    """What PyYAML says is wrong, less what it quotes, but for single characters and the names of its own parts."""
    said = (error.problem or error.context or "")[:_LONGEST_WORDS]
    for beginning, words in _PLAINER.items():
        if said.startswith(beginning):
            return words
    return _QUOTED.sub("(not shown)", said)


def _load(text: str) -> Any:
    """By libyaml where it is there, in a fifth of the time. PyYAML's own parser says what is wrong: its words are the better."""
    if yaml.__with_libyaml__ and _READ_OTHERWISE.isdisjoint(text):
        try:
            return yaml.load(text, _Quick)  # noqa: S506 - likewise
        except (yaml.composer.ComposerError, yaml.constructor.ConstructorError):
            raise  # the parser's events were good: these words are the same
        except yaml.YAMLError:
            if len(text) > _WORTH_BETTER_WORDS:
                raise
    return yaml.load(text, _Strict)  # noqa: S506 - a SafeLoader that also refuses keys written twice


def compose(text: str) -> yaml.Node | None:
    """The nodes of a text that `parse_yaml` takes, for where in it things stand."""
    quick = yaml.__with_libyaml__ and _READ_OTHERWISE.isdisjoint(text)
    return yaml.compose(text, _Quick if quick else _Strict)


def _texts(text: str) -> Any:
    return yaml.load(text, _Texts)  # noqa: S506 - of texts, lists and mappings alone


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


def _secret(loader: Any, node: yaml.Node) -> SecretName:
    return SecretName(_name(loader, node))


def _variable(loader: Any, node: yaml.Node) -> str:
    return variable_text(*_name(loader, node).split(maxsplit=1))


def _name(loader: Any, node: yaml.Node) -> str:
    """What follows `!secret` and `!env_var`."""
    name = str(loader.construct_scalar(node)).strip() if isinstance(node, yaml.ScalarNode) else ""
    if not name:
        raise _refused(f"a name has to follow `{node.tag}`", node.start_mark)
    return name


def _foreign(_loader: Any, rest: str, node: yaml.Node) -> None:
    tag = node.tag.removesuffix(rest)
    raise _refused(f"`{tag}` means nothing in this file; of Home Assistant's tags `!secret` does", node.start_mark)


class _Constructor(yaml.constructor.SafeConstructor):
    """Knows Home Assistant's tags, and says of every value that cannot be made where it stands."""

    yaml_constructors: ClassVar[dict[Any, Any]] = {
        **yaml.constructor.SafeConstructor.yaml_constructors,
        "!secret": _secret,
        "!env_var": _variable,
    }
    yaml_multi_constructors: ClassVar[dict[Any, Any]] = dict.fromkeys(("!include", "!input"), _foreign)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's signature
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except Exception:  # noqa: BLE001 - `!!bool x` is a KeyError in PyYAML, `!!int ""` an IndexError, and so on
            raise _refused("a value is not what its tag says", node.start_mark) from None


class _Texts(_Composer, yaml.BaseLoader):
    """Knows no types: a text is what is written."""


class _Strict(_Composer, _Constructor, yaml.SafeLoader):
    pass


if yaml.__with_libyaml__:

    class _Quick(_Composer, _Constructor, yaml.CSafeLoader):
        """As `_Strict`, with libyaml's parser. Not with its composer: that one overflows the stack where nesting is deep."""

        def __init__(self, text: str) -> None:
            _Composer.__init__(self)
            yaml.CSafeLoader.__init__(self, text)


def _weigh(node: yaml.Node, weights: dict[yaml.Node, tuple[int, int]]) -> tuple[int, int]:
    """How many values it stands for with its aliases written out, and how deep they are. (0, 0): we are inside of it."""
    if node in weights:
        if not weights[node][0]:
            raise _refused("an anchor contains itself", node.start_mark)
        return weights[node]
    weights[node], weight, depth = (0, 0), 1, 0
    if isinstance(node, yaml.ScalarNode):
        _refuse_odd(node)
    elif isinstance(node, yaml.MappingNode):
        _refuse_twins(node)
    if isinstance(node, yaml.CollectionNode):
        for item in node.value:
            for part in item if isinstance(item, tuple) else (item,):
                inner = _weigh(part, weights)
                weight, depth = weight + inner[0], max(depth, inner[1])
                if weight > MOST_VALUES:
                    raise _refused(f"more than {MOST_VALUES} values, its aliases written out", node.start_mark)
                if depth >= DEEPEST:
                    raise _refused(f"more than {DEEPEST} levels deep, its aliases written out", node.start_mark)
    weights[node] = (weight, depth + 1)
    return weights[node]


def _refuse_odd(node: yaml.ScalarNode) -> None:
    if node.tag in _NUMBERS and len(node.value) > _LONGEST_NUMBER:
        raise _refused("a number of so many digits", node.start_mark)
    if not node.value.isascii() and _HALF.search(node.value):
        raise _refused("half a character (\\uD800 to \\uDFFF); write it as it is", node.start_mark)


def _refuse_twins(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if key.tag in _NO_NAMES:
            raise _refused("a key has to be a name", key.start_mark)
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
            if (key.tag, key.value) in seen:
                raise _refused(f"`{key.value}` is written twice", key.start_mark)
            seen.add((key.tag, key.value))


def _refused(words: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, words, mark)
