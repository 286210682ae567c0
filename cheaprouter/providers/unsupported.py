"""The learned rule, second half: what is changed from then on in requests to a model, and what it turned out not to be able to."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from ..core.models import Capability, Json, Model
from . import refusals
from .complaints import PARTS, ROLE, Changes

__all__ = ["Changes", "Lacking", "Learned", "apply"]

Lacking = dict[Capability, str]
"""Abilities that a model has not, and how its server said so."""


def apply(body: Json, learned: Changes) -> None:
    """Rename or drop in a body that is ours to change. A name with dots is a path: into lists, too."""
    for name, new in learned.items():
        if name == ROLE:
            body["messages"] = [_with_role(message, new) for message in body["messages"]]
        elif name == PARTS:
            body["messages"] = [_with_text(message) for message in body["messages"]]
        elif name in body:
            value = body.pop(name)
            if new is not None:
                body.setdefault(new, value)
        elif "." in name and new is None:
            root, *path = name.split(".")
            if root in body and (kept := _without(body[root], path)) != {}:
                body[root] = kept
            else:
                body.pop(root, None)
    if (most := learned.get(refusals.CEILING)) is not None:
        refusals.clamp(body, most)


def _without(node: Any, path: list[str]) -> Any:
    """A copy without what is at the path."""
    if isinstance(node, list):
        return [_without(one, path) for one in node]
    if not isinstance(node, dict) or path[0] not in node:
        return node
    if len(path) == 1:
        return {name: value for name, value in node.items() if name != path[0]}
    return {**node, path[0]: _without(node[path[0]], path[1:])}


def _with_role(message: Json, role: str | None) -> Json:
    return {**message, "role": role} if message["role"] == "developer" else message


def _with_text(message: Json) -> Json:
    """Several texts as one; anything else, pictures say, stays as it is."""
    parts = message.get("content")
    if not isinstance(parts, list) or any(part.get("type") != "text" for part in parts):
        return message
    return {**message, "content": "\n".join(str(part.get("text") or "") for part in parts)}


_MOST: Final = 500
_MOST_CHANGES: Final = 64
_NOTHING: Final[Changes] = MappingProxyType({})


class Learned:
    """What was learned of models, by provider and upstream id, as long as the process runs; the oldest go first.

    `lacking`: the abilities that they turned out not to have.
    """

    def __init__(self) -> None:
        self._changes: dict[tuple[str, str], dict[str, str | None]] = {}
        self.lacking: dict[tuple[str, str], Lacking] = {}

    def of(self, model: Model) -> Changes:
        """The changes for requests to this model."""
        return self._changes.get((model.provider, model.upstream), _NOTHING) if self._changes else _NOTHING

    def learn(self, model: Model, change: Changes) -> bool:
        """Remember a change; False where it was known already, so that another try is pointless.

        A rename is never turned back.
        """
        known = self._changes.setdefault((model.provider, model.upstream), {})
        fresh = {name: new for name, new in change.items() if name not in known and name not in known.values()}
        if not fresh or len(known) >= _MOST_CHANGES:
            return False
        known.update(fresh)
        _cut(self._changes)
        return True

    def lack(self, model: Model, ability: str, reason: str) -> bool:
        """Remember that a model has not that ability, and how its server said so; False where that was known, or is none."""
        try:
            capability = Capability(ability)
        except ValueError:
            return False
        known = self.lacking.setdefault((model.provider, model.upstream), {})
        if capability in known:
            return False
        known[capability] = reason
        _cut(self.lacking)
        return True

    def forget(self, provider: str) -> None:
        """The server is another one now."""
        for learned in (self._changes, self.lacking):
            for key in [key for key in learned if key[0] == provider]:
                del learned[key]

    def forget_lacking(self, provider: str | None = None, upstream: str | None = None) -> bool:
        """Whoever lacked something may have it now: of that provider and model, or of all. Says whether somebody did."""
        gone = [key for key in self.lacking if provider in (None, key[0]) and upstream in (None, key[1])]
        for key in gone:
            del self.lacking[key]
        return bool(gone)

    def status(self, provider: str) -> Json:
        """For people: upstream model to its changes; "" for a parameter that is left out."""
        return {
            model: {name: new or "" for name, new in changes.items()}
            for (owner, model), changes in self._changes.items()
            if owner == provider and changes
        }

    def lacks(self, provider: str) -> Json:
        """For people: upstream model to what it cannot do, and how its server said so."""
        return {
            model: {str(ability): reason for ability, reason in lacking.items()}
            for (owner, model), lacking in self.lacking.items()
            if owner == provider
        }


def _cut(learned: dict[tuple[str, str], Any]) -> None:
    while len(learned) > _MOST:
        del learned[next(iter(learned))]
