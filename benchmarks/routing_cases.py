"""Hand-written requests with the tiers that a sensible person would accept, and harmless ways to say the same thing differently."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any, Final

FILE: Final = pathlib.Path(__file__).parent.parent / "tests" / "routing" / "tiers.tsv"
TIERS: Final = {"S": "SIMPLE", "M": "MEDIUM", "C": "COMPLEX", "R": "REASONING"}
_PAGE: Final = "The ferry to the island runs hourly in summer and twice a day in winter, weather permitting. " * 30
_PROOF: Final = "Prove that every prime p = 1 mod 4 is a sum of two squares."
_TOOLS: Final = [
    {
        "type": "function",
        "function": {"name": f"tool_{i}", "description": "Does a thing. " * 8, "parameters": {"type": "object"}},
    }
    for i in range(20)
]

Case = tuple[str, set[str], dict[str, Any]]


def written() -> Iterator[Case]:
    """Kind, accepted tiers and body of each line of the file."""
    for line in FILE.read_text(encoding="utf8").splitlines():
        if line and not line.startswith("#"):
            accepted, kind, text = line.split("\t")
            yield kind, {TIERS[letter] for letter in accepted}, ask(text)


def built() -> Iterator[Case]:
    """Cases that need more than one line: pastes, conversations, tools, pictures, junk."""
    easy, hard = {"SIMPLE", "MEDIUM"}, {"COMPLEX", "REASONING"}
    simple = {"SIMPLE"}
    yield "paste", easy, ask(f'Text:\n"""\n{_PAGE}"""\nHow often does it run in summer?')
    yield "paste", easy, ask(f"```\n{_PAGE}\n```\nTranslate the first sentence into German.")
    yield "paste", easy, ask(f"{_PAGE}\n\nWhen does the ferry run?")
    yield "paste", easy, ask(f"What is this text about?\n\n{_PAGE}")
    yield (
        "paste",
        easy,
        ask(f"<document>{_PAGE} Prove the theorem. Derive the lemma.</document>\nHow long is this document?"),
    )
    yield "paste", easy, ask("> Prove that P differs from NP.\n> Derive it.\n\nWho sent me this mail?")
    yield "paste", easy, ask('Mail from Bob: "' + _PROOF * 6 + '"\nWhat does Bob want?')
    yield "paste", hard, ask(f"```\n{_PAGE}\n```\nIgnore the text. {_PROOF}")
    yield "paste", hard, ask(f"{_PROOF}\n\n```\n{_PAGE}\n```")
    yield "turns", simple, chat(_PROOF, "Use Gaussian integers.", "thanks a lot!")
    yield "turns", simple, chat(_PROOF, "Use Gaussian integers.", "ok great, turn off the lights")
    yield "turns", simple, chat(_PROOF, "Use Gaussian integers.", "perfect, bye")
    yield "turns", hard, chat(_PROOF, "Use Gaussian integers.", "and the converse?")
    yield "turns", hard, chat(_PROOF, "Use Gaussian integers.", "why does that work?")
    yield "turns", hard, chat(_PROOF, "Use Gaussian integers.", "Can you generalise it?")
    yield "turns", hard, chat("turn on the lamp", "Done.", _PROOF)
    yield "turns", simple, chat("turn on the lamp", "Done.", "and the fan")
    yield "turns", easy, chat(_PROOF, "Use Gaussian integers.", "What's the capital of Peru?")
    yield "turns", easy, chat(_PROOF, "Use Gaussian integers.", "What's the weather tomorrow?")
    yield "tools", simple, {**ask("lights off"), "tools": _TOOLS}
    yield "tools", simple, {**ask("what's the temperature in the hall?"), "tools": _TOOLS}
    yield "tools", hard, {**ask(_PROOF), "tools": _TOOLS}
    yield (
        "system",
        simple,
        {
            "messages": [
                {"role": "system", "content": "You prove theorems rigorously. " * 60},
                {"role": "user", "content": "dim the lamp"},
            ]
        },
    )
    yield "vision", easy, look("What is in this picture?")
    yield "vision", easy, look("Is the parcel on the porch?")
    yield (
        "vision",
        hard,
        look("Derive the governing equations of the mechanism in this drawing and prove it is stable."),
    )
    yield "repeated", simple, ask("turn on the lamp " * 9)
    yield "repeated", hard, ask((_PROOF + " ") * 9)
    yield "junk", easy, {}
    yield "junk", easy, {"messages": []}
    yield "junk", easy, {"messages": [{"role": "user", "content": None}]}
    yield "junk", easy, {"messages": [{"role": "user", "content": [{"type": "text"}]}]}


def ask(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def chat(*turns: str) -> dict[str, Any]:
    return {"messages": [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]}


def look(text: str) -> dict[str, Any]:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": text}, picture]}]}


def _typo(text: str) -> str:
    at = len(text) // 2
    return text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]


PERTURBATIONS: Final[dict[str, Callable[[str], Any]]] = {
    "polite before": lambda t: f"Could you please help me with this? {t}",
    "polite hello": lambda t: f"Hi there! {t}",
    "polite please": lambda t: f"Please {t[:1].lower()}{t[1:]}",
    "thanks after": lambda t: f"{t} Thanks in advance!",
    "signature": lambda t: f"{t}\n\nBest regards,\nAnna Miller",
    "phone": lambda t: f"{t}\n\nSent from my iPhone",
    "upper": str.upper,
    "lower": str.lower,
    "spaces": lambda t: "  " + t.replace(" ", "   ") + "\n\n",
    "quoted": lambda t: f'"{t}"',
    "no stop": lambda t: t.rstrip(".?!"),
    "exclaimed": lambda t: t.rstrip(".?!") + "!!!",
    "typo": _typo,
    "parts": lambda t: [{"type": "text", "text": t}],
    "bold": lambda t: f"**{t}**",
    "emoji": lambda t: f"{t} 🙏",
    "asap": lambda t: f"{t} I need this as soon as possible.",
    "twice": lambda t: f"{t} {t}",
}
