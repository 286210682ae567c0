"""What is put into the house: files and bodies. Each attack gives a line."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import _house_answers as evil
from _house_asking import MB, Stand, ask, chat, warm
from _house_stand import Line, running

ALIASES = "a: &a [1,2,3,4,5,6,7,8,9]\n" + "".join(f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))  # fmt: skip

FILES: dict[str, bytes] = {
    "an alias in itself": b"providers: &a {x: *a}\n",
    "aliases that multiply": ALIASES.encode(),
    "a merge of itself": b"a: &a\n  <<: *a\n",
    "merges that multiply": b"a0: &a0 {k: 1}\n" + b"".join(b"a%d: &a%d\n  <<: [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)),
    "flows without a bottom": b"[" * 90_000,
    "blocks without a bottom": b"".join(b" " * n + b"a:\n" for n in range(400)),
    "100 kB of brackets": b"a: [" + b"[],{}," * 16_000 + b"]\n",
    "1 MB of text": b"a: " + b"x" * MB,
    "a number of 90,000 digits": b"http: {port: " + b"9" * 90_000 + b"}\n",
    "numbers in base sixty": b"a: " + b":".join([b"59"] * 20_000) + b"\n",
    "an include": b"providers: !include /etc/passwd\n",
    "an object": b"a: !!python/object/apply:os.system [exit]\n",
    "half characters": b'a: "\\uD800"\n',
    "a date beyond dates": b"a: 2026-99-99T99:99:99Z\n",
    "numbers beyond all": b"devices: {defaults: {rpm: 1e999999, tpm: .inf, daily_budget: .nan, parallel: -1}}\n",
    "NULs": b"auth: open\x00\n",
    "not UTF-8": b"auth: \xff\xfe\n",
    "anchors by the thousand": b"".join(b"a%d: &x%d 1\n" % (n, n) for n in range(6_000)),
    "comments alone": b"# a\n" * 24_000,
    "keys by the thousand": b"".join(b"k%d: 1\n" % n for n in range(12_000)),
    "tags by the thousand": b"a: [" + b"!!str a, " * 10_000 + b"]\n",
    "quotes that do not end": b"a: '" + b"''" * 40_000,
    "folded lines": b"a: >\n" + b" b\n\n" * 20_000,
    "question marks": b"? " * 40_000 + b"\n",
    "dashes": b"- " * 40_000 + b"\n",
}  # fmt: skip


async def files(stand: Stand) -> AsyncIterator[Line]:
    """Files that are changed under a running house: its settings stay, and it goes on."""
    stays = stand.settings()
    with running(stand.folder / "files", stays) as product:
        await warm(product)
        path = product.data / "cheaprouter.yaml"
        options = product.data / "options.json"
        deep = {
            "options.json without a bottom": b"[" * 100_000 + b"]" * 100_000,
            "options.json of values": b'{"a": ' + evil.nested(MB) + b"}",
        }
        for name in stand.some([*FILES, *deep], 2):
            async with product.attack(f"file: {name}", size=1) as line:
                if name in FILES:
                    path.write_bytes(FILES[name])
                else:
                    options.write_bytes(deep[name])
                await asyncio.sleep(3.2)
                status, _ = await ask(product, chat("good/good"), line)
                line.said = str(status)
                line.lost += [f"a good model answered {status}"] if status != 200 else []
            options.unlink(missing_ok=True)
            yield line
        path.write_text(json.dumps(stays))
    # What was kept for the next start, spoilt; and so the other files that are read then.
    for name in ("last_good.json", "prices.json", "mqtt_retained.json", "instance_id", "options.json"):
        spoilt = {
            "deep": b"[" * 100_000,
            "absurd": b'{"version": 1, "read": 1e400, "models": {"openai": {"gpt-4o": [{"input": "1e999999"}]}}, "files": [{"path": "a", "text": "a: &a [*a]"}]}',
            "binary": bytes(range(256)) * 100,
        }
        for kind, content in spoilt.items():
            data = stand.folder / f"start-{name}-{kind}"
            data.mkdir()
            (data / name).write_bytes(content)
            line = Line(f"start with a {kind} {name}", 0, 0)
            try:
                with running(data, stand.settings(prices={"refresh": True})) as product:
                    status, _ = await ask(product, chat("good/good"), line)
                    await asyncio.sleep(0.3)
                    line.said = str(status)
                    line.lost += product.new_in_log()
            except RuntimeError as error:
                line.lost.append(str(error))
            yield line
        if stand.quick:
            break


# --- bodies and texts ---------------------------------------------------------------------------------------------


START = b'{"model": "good/good", "messages": [{"role": "user", "content": "hi"}], "x": '
MOST_VALUES, MOST_MEMBERS = 99_000, 49_000
"""Just below what a body may hold: these are read."""


def heavy() -> dict[str, bytes]:
    """As much as is taken, of what takes a parser longest."""
    digits = b"2.2250738585072011360574e-308"
    return {
        "members with long names": b"{" + b",".join('"é%055d":0'.encode() % n for n in range(MOST_MEMBERS)) + b"}",
        "texts with letters": b"[" + b",".join('"é%055d"'.encode() % n for n in range(MOST_VALUES)) + b"]",
        "numbers between two": b"[" + b",".join([digits] * MOST_VALUES) + b"]",
        "numbers of 800 digits": b"[" + b",".join([b"9007199254740993." + b"0" * 780 + b"1"] * 7_000) + b"]",
        "objects in a row": b"[" + b",".join([b'{"a":{}}'] * 9_900) + b"]",
        "emojis": '"😀a"'.replace("😀a", "😀a" * 1_200_000).encode(),
        "escapes": b'"' + b"\\ud83d\\ude00" * 500_000 + b'"',
    }  # fmt: skip


def bodies(*, quick: bool) -> dict[str, tuple[bytes, dict[str, str]]]:
    """Bodies that a client sends, with their headers."""
    size = 4 if quick else 20
    start = START
    text = b'{"model": "good/good", "messages": [{"role": "user", "content": "%s"}]}'
    message = b'{"role": "user", "content": "hi"},'
    picture = b'{"model": "good/good", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,%s"}}]}]}'
    return {
        f"{size} MB of small values": (start + evil.nested(size * MB) + b"}", {}),
        f"{size} MB of brackets": (start + b"[" * (size * MB // 2) + b"]" * (size * MB // 2) + b"}", {}),
        f"{size} MB of keys": (start + b"{" + b",".join(b'"%d":0' % n for n in range(size * MB // 10)) + b"}}", {}),
        f"{size} MB of messages": (
            b'{"model": "good/good", "messages": [' + (message * (size * MB // len(message)))[:-1] + b"]}",
            {},
        ),
        f"{size} MB of one text": (text % (b"word " * (size * MB // 5)), {}),
        f"{size} MB of escapes": (text % (b"\\u00e9" * (size * MB // 6)), {}),
        "a picture of 60 MB": (picture % (b"A" * 60 * MB), {}),
        "a picture of 60 MB in gzip": (gzip.compress(picture % (b"A" * 60 * MB), 1), {"Content-Encoding": "gzip"}),
        "a gzip bomb": (evil.packed(b" " * 1024, 1000, 31), {"Content-Encoding": "gzip"}),
    }


def texts(length: int) -> dict[str, str]:
    """Texts of which each was somebody's quadratic pattern once. `script/chaos text` grows more of them."""
    return {
        "blank lines": "\n" * length,
        "spaces": " " * length + "x",
        "brackets": "(" * length,
        "quotes": '"' * length,
        "backticks": "`" * length,
        "dashes": "-" * length,
        "digits": "1" * length,
        "urls": "http://" * (length // 7),
        "commas": "a," * (length // 2),
        "stars": "*" * length,
        "letters": "a" * length,
        "tags": "<think" * (length // 6),
    }


async def body_bombs(stand: Stand) -> AsyncIterator[Line]:
    """What clients may send."""
    with running(stand.folder / "bodies", stand.settings()) as product:
        await warm(product)
        for name, (body, headers) in bodies(quick=stand.quick).items():
            size = 60.0 if "60 MB" in name else len(body) / MB
            async with product.attack(f"body: {name}", size=size, large=size > 4) as line:
                status, _ = await ask(product, body, line, **headers)
                line.said = str(status)
            yield line
        every = heavy()
        for name in stand.some([*every], 2):
            body = START + every[name] + b"}"
            async with product.attack(f"body: {name}", size=len(body) / MB) as line:
                status, _ = await ask(product, body, line)
                line.said = str(status)
                line.lost += [] if status == 200 else ["it was not taken"]
            yield line
        length = 100_000 if stand.quick else 1_000_000
        shapes = texts(length)
        for name in stand.some([*shapes], 5):
            text = shapes[name]
            async with product.attack(f"text: {length:,} {name}", size=length / MB) as line:
                status, _ = await ask(product, chat("blockrun/auto", text=text), line)
                line.said = str(status)
            yield line
