# ruff: noqa: RUF001 - other scripts' letters and punctuation are data here
"""What a person asks now, out of what was sent: pastes, quotations, pleasantries and repetitions taken off. Pure.

A keyword that is only mentioned ("what does 'derive' mean?"), a page that was pasted, "please" and a signature say
nothing about how hard the question is. What is cut is still counted, so that it can be weighed.
"""

from __future__ import annotations

import re
from typing import Final

from ..core.records import dataclass
from . import lexicon
from .marks import quotations, without_emphasis, without_tagged

END: Final = 120
"""Thanks and signatures are looked for in so many characters at the end."""
CLIP: Final = 2400
"""Characters of an ask that are looked at: head, middle and tail of a longer one."""
LONG_QUOTE: Final = 200
"""A quotation longer than this is a paste."""
MENTION_WORDS: Final = 8
"""A quotation of at most so many words is a mention: a name, a title, a keyword."""
LONGEST: Final = 100_000
"""Of a message that is longer still, head, middle and tail of so many characters are looked at in all."""
LONG: Final = 4000
"""A message longer than this is shortened before it is looked at more closely."""
PASSAGE: Final = 350
"""A paragraph longer than this, with a short question after or before it, is what the question is about."""

_FENCE: Final = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
_TRIPLE: Final = re.compile(r'"""(?:.*?)(?:"""|\Z)|\'\'\'(?:.*?)(?:\'\'\'|\Z)', re.DOTALL)
_QUOTED_LINES: Final = re.compile(r"(?m)^[ \t]*>.*$")
_DATA_URL: Final = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=]+")
_BLOB: Final = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/=_-]{180,}")
_OPTION: Final = re.compile(r"(?m)^[ \t]*\(?[A-J][.):]\s")
_CODE: Final = re.compile(
    r"(?m)^[^\S\n]*(?:def |class |import |from \w[\w.]* import|#include|public |private |function |const |let |var |return\b"
    r"|SELECT |INSERT |using |package |func |fn |\}|//|/\*)"
)
_CODE_MARKS: Final = re.compile(r"[(){}\[\];=<>]|->|==")
_QUOTE_MARKS: Final = re.compile(
    r"(?m)^[ \t]*(?:>[ \t>]*|#{1,6}[ \t]|```\w{0,20}|~~~\w{0,20})|```|~~~|\"\"\"|'''|</?[a-zA-Z][\w-]{0,30}>"
)
_TAGS: Final = re.compile(r"</?[a-zA-Z][\w-]{0,30}>")
_OPERAND: Final = 12
"""Characters after an order to translate or to summarise that are its object."""
_TRIMMINGS: Final = re.compile(r"[\"'`~<>*\n]")
"""Without any of these an ASCII text holds no paste, quotation or markup."""
_PICTOGRAPHS: Final = re.compile(r"[\u2600-\u27bf\ufe0f\u200d\U0001f000-\U0001faff]+")
_CLAUSE: Final = re.compile(r"([^:.!?,;—–\n]{3,90})[:.!?,;—–]+\s+(?=\S)")
_LAST: Final = re.compile(r"[.!?;]\s+([^:.!?;\n]{3,90})[.!?]*\Z")
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_MOST_ROUNDS: Final = 12
_STOPS: Final = " .!?,;:…。！？；：؟।"
_PAIRED: Final = {'"': '"', "“": "”", "„": "“", "«": "»", "「": "」", "'": "'", "`": "`", "*": "*", "(": ")", "[": "]"}
_SENTENCES: Final = re.compile(r"[^.!?。！？\n]*[.!?。！？\n]|[^.!?。！？\n]+")
_ENDS: Final = frozenset(".!?。！？\n")
_SENTENCE_END: Final = re.compile(r"[.!?。！？\n]")
_SENTENCE_BREAK: Final = re.compile(r"[.!?;]\s")
_JOINTS: Final = (" ", "", ". ", "? ", "! ")
_SPACES: Final = " \t\n\r\v\f\x1c\x1d\x1e\x1f"


@dataclass(frozen=True, slots=True)
class Ask:
    """The ask and what was taken off it. `pasted` and `mentioned` in characters; `code`: code came along, `attached`: some of it."""

    text: str
    pasted: int = 0
    mentioned: int = 0
    code: bool = False
    attached: str = ""


def find_ask(said: str) -> Ask:
    """The question without what it is about. Falls back on the paste itself where nothing else was said."""
    if len(said) < 300 and said.isascii() and not _TRIMMINGS.search(said):
        text, operand = _without_operand(_plain(said), code=False)
        return Ask(text, operand)
    gone = len(said)
    if gone > LONG:
        said = _shorten(clip(said, LONGEST))
    gone -= len(said)
    said = _unwrap(said)
    code = _holds_code(said)
    asked, pasted = _without_pastes(said, code=code)
    asked, mentioned, quoted = _without_quotes(asked)
    pasted += quoted + gone
    if not _OPTION.search(asked) and not code:
        asked, passage = _without_passage(asked)
        pasted += passage
    asked, operand = _without_operand(asked, code=code)
    text = _plain(asked)
    if not code and (pasted or mentioned) and _says_nothing(text):
        # What was quoted is what is asked.
        asked, operand = _without_operand(_given_back(said), code=False)
        text, pasted, mentioned = _plain(asked) or once(squeeze(clip(said))), gone, 0
    elif len(text) < 3 and (pasted or mentioned):
        text = once(squeeze(clip(said)))
    return Ask(text, pasted + operand, mentioned, code, said[:LONG] if code else "")


def _holds_code(said: str) -> bool:
    """Whether there is code in a message, fenced or not: lines that begin as code does, or many of its marks in a fence."""
    if _CODE.search(said[:LONG]):
        return True
    if "```" not in said:
        return False
    inside = said[:LONG].split("```")[1]
    return 12 * len(_CODE_MARKS.findall(inside)) > len(inside)


def _says_nothing(text: str) -> bool:
    """Whether a text only announces what comes: "solve this", "question", "answer the following"."""
    words = _WORD.findall(text[:END].casefold())
    return len(text) <= END and all(word in lexicon.CARRIERS for word in words)


def _given_back(said: str) -> str:
    """What a message quotes, without the marks of quoting and the lines that only announce it."""
    bare = _QUOTE_MARKS.sub("", said[:LONG])
    lines = [line for line in bare.split("\n") if line.strip() and not _says_nothing(line)]
    if not lines:
        return ""
    head, colon, rest = lines[0].partition(":")
    if colon and rest.strip() and _says_nothing(head):
        lines[0] = rest
    return _unwrap("\n".join(lines))


def _without_operand(text: str, *, code: bool) -> tuple[str, int]:
    """What is to be translated, summarised or proofread cut off the order to do so: it may be hard, that is not."""
    if code:
        return text, 0
    polite = lexicon.LEADING.match(text)
    order = lexicon.EASY_ORDER.match(text, polite.end() if polite else 0)
    if order is not None and len(text) - order.end() >= _OPERAND:
        return text[: order.end()].rstrip(_STOPS + "\n"), len(text) - order.end()
    before, line, last = text.rstrip().rpartition("\n")
    if line and len(before) >= _OPERAND and len(last) <= END and lexicon.EASY_ABOVE.match(last):
        return last, len(before)
    return text, 0


def _shorten(said: str) -> str:
    """A very long message without its fenced parts, and if it is long still, its head, middle and tail."""
    for fence in ("```", '"""', "~~~"):
        if fence in said:
            kept = said.split(fence)[::2]
            said = "\n".join(kept) if sum(map(len, kept)) > 3 else said
    if len(said) <= LONG:
        return said
    middle = len(said) // 2
    return f"{said[:1600]}\n{said[middle : middle + 600]}\n{said[-1600:]}"


def _plain(text: str) -> str:
    squeezed = squeeze(text)
    told = once(squeezed)
    trimmed = trim(told)
    return told if squeezed == told == trimmed else once(trimmed)


def _unwrap(said: str) -> str:
    """A message that stands in quotes as a whole, bold, or among pictographs: what it says."""
    if "**" in said or "__" in said:
        said = without_emphasis(said)
    if not said.isascii():
        said = _PICTOGRAPHS.sub(" ", said)
    bare = said.strip()
    if len(bare) > 2 and _PAIRED.get(bare[0]) == bare[-1] and _encloses(bare):
        return bare[1:-1]
    lines = bare.split("\n")
    if lines[0].startswith(">") and all(line.startswith(">") or not line.strip() for line in lines):
        return "\n".join(line.lstrip("> ") for line in lines)
    return said


def _encloses(bare: str) -> bool:
    """Whether the first and the last character are one pair, not the ends of two quotations."""
    second = bare.find(bare[-1], 1)
    return second == len(bare) - 1 or (bare[0] == bare[-1] and bare[second - 1].isspace())


def squeeze(text: str) -> str:
    """Runs of white space as one space, none at the ends."""
    return " ".join(text.split())


def clip(text: str, limit: int = CLIP) -> str:
    """Head, middle and tail of a text too long to read whole."""
    if len(text) <= limit:
        return text
    third = limit // 3
    middle = (len(text) - third) // 2
    return f"{text[:third]} {text[middle : middle + third]} {text[-third:]}"


def once(text: str) -> str:
    """A text that says the same thing several times, said once, whether whole or by the sentence."""
    while (period := _period(text)) < len(text):
        text = text[:period]
    if not _SENTENCE_END.search(text, 0, len(text) - 1):
        return text.strip() if text[-1:] in _ENDS and text.strip(_STOPS) else text
    parts: dict[str, str] = {}
    for part in _SENTENCES.findall(text):
        parts.setdefault(part.strip(_STOPS), part.strip())
    if text[-1:] in _ENDS:
        parts.setdefault("", "")
    return " ".join(part for key, part in parts.items() if key) if len(parts) > 1 else text


def _period(text: str) -> int:
    """The length of what a text repeats, with or without a space or a stop between; its own length if it repeats nothing."""
    for joint in _JOINTS:
        if text[-1:] + joint + text[:1] not in text:
            continue  # where a copy ends the next one begins
        doubled = text + joint
        period = (doubled + doubled).find(doubled, 1)
        if 0 < period < len(doubled):
            return period - len(joint)
    return len(text)


def trim(text: str) -> str:
    """Greetings, politeness, claims about the question and signatures off both ends."""
    for _ in range(_MOST_ROUNDS):
        previous = text
        text = lexicon.LEADING.sub("", text, count=1)
        text = _without_end(text)
        text = _without_claim(text)
        if text == previous:
            break
    return text.rstrip(_STOPS)


def _without_end(text: str) -> str:
    tail = text[-END:]
    if tail.isascii() and not _may_end(tail.lower()):
        return text
    bare = lexicon.TRAILING.sub(r"\1\2", tail, count=1)
    return text if len(bare) == len(tail) else text[: len(text) - len(tail)] + bare


def _may_end(tail: str) -> bool:
    """Whether the pattern of thanks and signatures, which costs far more, could match at all. ASCII, lower case."""
    bare = tail.rstrip(_SPACES + ".!,;:)")
    return bare.endswith(lexicon.LAST_WORDS) or any(mark in tail for mark in lexicon.BEFORE_A_NAME)


def _without_claim(text: str) -> str:
    """A text without a first clause, or a last sentence, that only says how easy, hard or urgent it all is."""
    first = _CLAUSE.match(text)
    if first and _claims(first.group(1)):
        return text[first.end() :]
    last = None
    for end in _SENTENCE_BREAK.finditer(text, max(0, len(text) - END)):
        last = end  # a last sentence begins nowhere else
    if last:
        last = _LAST.match(text, last.start())
    if last and _claims(last.group(1)):
        return text[: last.start() + 1]
    return text


def _claims(clause: str) -> bool:
    core = False
    for match in _WORD.finditer(clause.casefold().replace("-", " ")):
        word = match.group()
        if word in lexicon.CLAIM_CORE:
            core = True
        elif word not in lexicon.CLAIM_FILL:
            return False
    return core


def is_closing(text: str) -> bool:
    """Whether a message only thanks, agrees, greets or says goodbye. Expects squeezed, case-folded text."""
    bare = text.strip(" .!?,;:)(🙏👍😀😊🙂❤️")
    return bare in lexicon.CLOSINGS or (len(bare) < 60 and bool(lexicon.CLOSING.fullmatch(bare)))


def follows_up(text: str) -> bool:
    """Whether a short message only makes sense after the one before it. Expects squeezed, case-folded text."""
    if not text or len(text) > 90:
        return False
    return bool(lexicon.FOLLOW_UP.match(text) or lexicon.REFERS.search(text))


def _without_pastes(said: str, *, code: bool) -> tuple[str, int]:
    before = len(said)
    if "base64," in said:
        said = _DATA_URL.sub(" ", said)
    if before > LONG_QUOTE:
        said = _BLOB.sub(" ", said)
        if "</" in said:
            said = without_tagged(said)
    elif "</" in said and not code:
        said = _TAGS.sub(" ", said)
    if "```" in said or "~~~" in said:
        said = _FENCE.sub(" ", said)
    if not code and ('"""' in said or "'''" in said):
        said = _TRIPLE.sub(" ", said)
    if said.lstrip().startswith(">") or "\n>" in said:
        said = _QUOTED_LINES.sub(" ", said)
    return said, before - len(said)


def _without_quotes(text: str) -> tuple[str, int, int]:
    mentioned = quoted = at = 0
    kept: list[str] = []
    for start, end in quotations(text):
        inside = text[start + 1 : end - 1]
        if len(inside) > LONG_QUOTE:
            quoted += len(inside)
            kept += (text[at:start], " ")
        elif len(inside.split()) <= MENTION_WORDS and len(inside) < 80:
            mentioned += len(inside)
            kept += (text[at:start], " x ")
        else:
            continue
        at = end
    return "".join((*kept, text[at:])) if kept else text, mentioned, quoted


def _without_passage(text: str) -> tuple[str, int]:
    """A long passage of prose and one short question about it: the question alone."""
    if len(text) <= PASSAGE:
        return text, 0
    parts = [part for part in (part.strip() for part in text.split("\n")) if part]
    if len(parts) < 2:
        return text, 0
    short = [part for part in parts if len(part) <= PASSAGE]
    long = len(text) - sum(map(len, short))
    asks = [part for part in (short[:1] + short[-1:]) if _asks(part)]
    if long < PASSAGE or len(short) > 4 or not asks:
        return text, 0
    return " ".join(dict.fromkeys(short)), long


def _asks(part: str) -> bool:
    return part.rstrip().endswith(("?", "？", "؟", ";", ":", "：", "。", ".", "!")) or len(part) < 160
