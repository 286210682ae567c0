"""What changed files have lost. A file that is cut short may still be good: what it no longer says must open nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .files import LAST_GOOD, OPTIONS
from .settings import Auth, Settings, auth_of

_Texts = Mapping[Path, str]
_MEANT: Final = {"auth": "`auth: open`", "providers": "`providers: {}`"}
OPENERS: Final = frozenset(_MEANT)
"""Whoever takes these out of his files may open doors, or start the demo."""


def emptied(before: _Texts, texts: _Texts, *, app: bool) -> list[str]:
    """What held settings at the last start and is blank now; nobody but a mishap takes away an app's options."""
    problems = [
        f"{path}: it is empty, and held settings before (to go without it, remove it)"
        for path in before
        if path in texts and not texts[path].strip()
    ]
    gone = [path for path in before if app and path.name == OPTIONS and path not in texts]
    return problems + [f"{path}: the app's options are gone" for path in gone]


def cut_off(before: _Texts, texts: _Texts) -> dict[Path, str]:
    """Files that are the beginning of what they held before, wherever that ends: only half of them may have been written."""
    words = "its end is missing, so it seems half-written (if you took it out, add a last line, if only a comment)"
    pairs = {path: (old.rstrip(), texts.get(path, "").rstrip()) for path, old in before.items()}
    return {
        path: f"{path}: {words}" for path, (old, new) in pairs.items() if new and new != old and old.startswith(new)
    }


def may_grow(before: _Texts, texts: _Texts) -> bool:
    """Whether a changed file lacks the end it had: it may be a new version that somebody is still writing."""
    return any(not _has_end(before.get(path), new) for path, new in texts.items() if path.name != OPTIONS)


def _has_end(old: str | None, new: str) -> bool:
    if old is None or new.startswith(old):
        return old is not None
    last, lines = _lines(old)[-1:], _lines(new)
    # Where the same line is repeated, it is the last one only if there are as many as before.
    return lines[-1:] == last and all(lines.count(line) >= _lines(old).count(line) for line in last)


def _lines(text: str) -> list[str]:
    lines = (line.rstrip() for line in text.splitlines())
    return [line for line in lines if line and not line.lstrip().startswith("#")]


def opened(
    said: Mapping[Path, frozenset[str]], says: Mapping[Path, frozenset[str]], before: Settings, now: Settings
) -> dict[Path, str]:
    """Files whose silence would open what was closed. `said`, `says`: which of OPENERS each said and says, lowest first."""
    open_door = auth_of(before) is Auth.KEYS and auth_of(now) is Auth.OPEN
    demo = now.demo and not before.demo
    opening = {"auth"} if open_door else set()
    if demo or (open_door and now.auth is None):
        opening.add("providers")
    danger, found, order = "the demo would start" if demo else "nobody would need a key", {}, list(says)
    for path, keys in said.items():
        # What a file above says in its stead is said.
        spoken = [says[above] for above in order[order.index(path) :]] if path in says else []
        if silent := sorted((keys & opening).difference(*spoken)):
            found[path] = _told(path, silent, danger)
    return found


def _told(path: Path, silent: list[str], danger: str) -> str:
    keys, meant = (" and ".join(words) for words in ([f"`{key}`" for key in silent], [_MEANT[key] for key in silent]))
    return (
        f"{path}: it says nothing of {keys} any more, and {danger}; "
        f"if that is meant, write {meant}, or remove the file and {LAST_GOOD} and restart"
    )
