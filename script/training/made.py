"""Requests made up for this project: tools that fit, that do not, and that look alike; homes with their tools; asks about code.

No row of any benchmark is among them. What they stand for are rates commonly reported of such tasks for 7 to 9 B models of 2024
(and, for the gain, of large models then), rounded; see `RATES`. The same seed makes the same rows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

RATES = {
    "one": (0.27, 0.20), "some": (0.28, 0.21), "twice": (0.52, 0.42), "none": (0.38, 0.22), "typed": (0.56, 0.26), "chat": (0.20, 0.12),
    "home": (0.20, 0.02), "odd": (0.03, 0.01),
    "code trivial": (0.03, 0.01), "code light": (0.12, 0.06), "code mid": (0.34, 0.20), "code hard": (0.52, 0.32), "code hardest": (0.62, 0.38),
}  # fmt: skip
"""By kind: how likely a small model fails, and how much likelier a large one succeeds."""


class Made(NamedTuple):
    """A request made up, of a kind of `RATES`."""

    kind: str
    said: str
    tools: list[dict[str, Any]]


def tool(name: str, does: str, needed: str, other: str = "") -> dict[str, Any]:
    """A function's schema; parameters are words, `name:type` where it is no text, `name=a|b` where it is one of some."""
    fields: dict[str, Any] = {}
    for word in (*needed.split(), *other.split()):
        if "=" in word:
            key, _, choices = word.partition("=")
            fields[key] = {
                "type": "string",
                "enum": choices.split("|"),
                "description": f"One of {choices.replace('|', ', ')}.",
            }
        else:
            key, _, kind = word.partition(":")
            fields[key] = {"type": kind or "string", "description": f"The {key.replace('_', ' ')}."}
            if kind == "array":
                fields[key]["items"] = {"type": "string"}
    required = [word.partition("=")[0].partition(":")[0] for word in needed.split()]
    parameters = {"type": "object", "properties": fields, "required": required}
    return {"type": "function", "function": {"name": name, "description": does, "parameters": parameters}}


TOOLS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (tool("weather.forecast", "Forecast for a place on a day.", "place", "day units=metric|imperial"),
     ("What will the weather be in Lisbon on Friday?", "Will it rain in Bergen tomorrow?", "Forecast for Graz in metric units")),
    (tool("convert_currency", "Convert an amount of money from one currency into another.", "amount:number source target"),
     ("How much is 250 euros in yen?", "Convert 99.50 dollars into Swiss francs")),
    (tool("book_table", "Reserve a table in a restaurant.", "restaurant date time guests:integer", "seating=inside|outside note"),
     ("Book a table for four at Luigi's on 3 May at 19:30, outside if possible", "Reserve two seats at the Golden Fork tonight at eight")),
    (tool("flights.search", "Look for flights between two airports.", "origin destination departure", "back cabin=economy|business stops:integer"),
     ("Find a flight from Vienna to Porto on the 12th, coming back on the 19th", "Cheapest business flight from Oslo to Rome next Monday without stops")),
    (tool("triangle_area", "Area of a triangle from its base and height.", "base:number height:number", "unit"),
     ("What is the area of a triangle with base 12 and height 7?", "Compute the area of a triangle 3 cm wide and 4 cm high")),
    (tool("compound_interest", "Value of a sum after years of compound interest.", "principal:number rate:number years:integer", "times_a_year:integer"),
     ("What do 2000 dollars become at 4 percent in 12 years?", "Final value of 500 at 3.5 percent compounded monthly for 6 years")),
    (tool("calendar_add", "Put an event into the calendar.", "title start", "end place attendees:array"),
     ("Put a dentist appointment into my calendar on Tuesday at nine", "Schedule a call with Mia and Tom for 14:00 tomorrow, half an hour")),
    (tool("send_mail", "Send an e-mail.", "to:array subject body", "copy:array urgent:boolean"),
     ("Mail Anna that I will be late for dinner", "Write to the landlord about the broken heating, copy my wife")),
    (tool("stock_price", "Latest price of a share.", "symbol", "exchange currency"),
     ("What does a share of ACME cost?", "Latest price of NVX on the Frankfurt exchange")),
    (tool("recipes.find", "Find recipes by ingredients.", "ingredients:array", "diet=vegan|vegetarian|any minutes:integer"),
     ("Find me a vegan dinner with lentils and spinach in under 30 minutes", "What can I cook with eggs, leek and cheese?")),
    (tool("translate_text", "Translate a text.", "text target", "source formal:boolean"),
     ("How do you say good evening in Finnish?", "Translate 'where is the station' into Portuguese, formally")),
    (tool("route_plan", "Plan a way from one place to another.", "start end", "mode=walk|bike|car|train avoid:array"),
     ("How do I get from the harbour to the museum by bike?", "Route from Linz to Passau by car without motorways")),
    (tool("movies.showtimes", "When a film is shown near a place.", "title place", "date"),
     ("When is The Long Night shown in Leeds today?", "Showtimes of Blue River near Ghent on Saturday")),
    (tool("dna.transcribe", "Transcribe a strand of DNA into RNA.", "sequence", "direction=5|3"),
     ("Transcribe the sequence ATTGCC", "What is the RNA of TACGGA read from the 5 end?")),
    (tool("matrix_determinant", "Determinant of a square matrix.", "matrix:array"),
     ("Determinant of [[1,2],[3,4]]", "Is the matrix [[2,1],[4,2]] singular? Use the determinant.")),
    (tool("hotel_search", "Look for hotel rooms.", "city arrival departure guests:integer", "stars:integer breakfast:boolean most:number"),
     ("A room in Riga from 4 to 7 June for two with breakfast", "Four-star hotel in Split, three nights from the 10th, at most 150 a night")),
    (tool("law_case", "Look up a court case.", "number", "court year:integer"),
     ("Show the ruling in case 2019-447", "What did the Court of Appeal decide in case C-112 in 2008?")),
    (tool("player_stats", "A player's figures in a season.", "player season", "competition figures:array"),
     ("How many goals did Rossi score in 2012?", "Assists and minutes of Lena Berg in the cup of 2021")),
    (tool("paint_needed", "How much paint a wall takes.", "width:number height:number", "coats:integer litres_a_metre:number"),
     ("How much paint do I need for a wall 5 by 2.6 metres, two coats?", "Paint for a 12 m wide, 3 m high wall")),
    (tool("database.query", "Rows of a table that fit some conditions.", "table conditions:array", "columns:array order limit:integer"),
     ("Show the names of customers in Graz with more than three orders, newest first", "List ten employees older than 40 from the staff table")),
    (tool("music_search", "Find songs.", "words", "artist genre=rock|pop|jazz|classical year:integer"),
     ("Find jazz songs from 1959", "Look for the song with 'paper moon' in it by Ella")),
    (tool("physics.fall_time", "How long something falls from a height.", "height:number", "gravity:number"),
     ("How long does a stone fall from 80 metres?", "Fall time from 20 m on the Moon, where gravity is 1.62")),
    (tool("parcel_status", "Where a parcel is.", "number", "carrier"),
     ("Where is my parcel 8841-22?", "Status of parcel JX77 with Swift Post")),
    (tool("histogram", "Draw a histogram of numbers.", "values:array", "bins:integer title"),
     ("Draw a histogram of 1, 4, 4, 5, 9 with three bins", "Plot how often each of 2, 2, 3, 8 comes")),
]  # fmt: skip

HOME = [
    tool("HassTurnOn", "Turns on, opens or presses a device.", "", "name area floor domain:array device_class:array"),
    tool("HassTurnOff", "Turns off or closes a device.", "", "name area floor domain:array device_class:array"),
    tool(
        "HassLightSet",
        "Sets brightness or colour of a light.",
        "",
        "name area floor brightness:integer color temperature:integer",
    ),
    tool(
        "HassClimateSetTemperature", "Sets the target temperature of a thermostat.", "temperature:number", "name area"
    ),
    tool("HassMediaPause", "Pauses a media player.", "", "name area"),
    tool("HassMediaNext", "Skips to the next track.", "", "name area"),
    tool("HassSetVolume", "Sets the volume of a media player.", "volume_level:integer", "name area"),
    tool("HassSetPosition", "Sets the position of a cover or valve.", "position:integer", "name area"),
    tool("HassListAddItem", "Adds an item to a to-do list.", "item name"),
    tool("HassVacuumStart", "Starts a vacuum cleaner.", "", "name area"),
    tool("HassStartTimer", "Starts a timer.", "", "hours:integer minutes:integer seconds:integer name"),
    tool("todo_get_items", "Items of a to-do list.", "todo_list", "status=needs_action|completed|all"),
    tool("calendar_get_events", "Events of a calendar.", "calendar range=today|week"),
    tool("GetLiveContext", "Current state, value or mode of devices, sensors, entities and areas.", ""),
]
"""A home's tools, shaped as Home Assistant's Assist offers them."""

CODE_ASKS = {
    "code trivial": ("How many lines is this?", "Which language is this?", "Is this Python?", "How many functions are there?"),
    "code light": ("Add a docstring.", "Rename the variables to something readable.", "Format this.", "Add comments.", "What does this roughly do?"),
    "code mid": ("Explain this step by step.", "Fix the bug.", "fix this", "Write unit tests for it.", "Make it shorter.", "Add type hints and error handling.", "Convert this to JavaScript."),
    "code hard": ("What does this return for the last call?", "Find the bug and explain why it happens.", "Rewrite this without recursion.", "Port this to Rust.", "Why is this slow, and how do I make it fast?", "Review this thoroughly."),
    "code hardest": ("What are the final values of all variables?", "Make this thread-safe and argue why it is.", "Is there a race condition here? Fix it.", "Find an input for which this breaks.", "Reduce the complexity and show that the result is the same."),
}  # fmt: skip


def made(homely: list[str], easy: list[str], seed: int = 11) -> Iterator[Made]:
    """All rows. `homely`: commands to a home; `easy`: questions that need no tool."""
    rng = random.Random(seed)
    yield from _with_tools(rng, easy)
    for said in rng.sample(homely, min(500, len(homely))):
        yield Made("home", said, rng.sample(HOME, rng.randint(6, len(HOME))))
    for said in rng.sample(homely, min(200, len(homely))):
        yield Made("odd", said, [one for one, _ in rng.sample(TOOLS, rng.randint(1, 8))])
    for kind, asks in CODE_ASKS.items():
        for _ in range(50):
            ask, code = rng.choice(asks), _code(rng)
            fence = rng.choice(("```python\n{}\n```", "```\n{}\n```", "{}"))
            parts = (ask, fence.format(code)) if rng.random() < 0.6 else (fence.format(code), ask)
            yield Made(kind, "\n\n".join(parts), [])


def _with_tools(rng: random.Random, easy: list[str]) -> Iterator[Made]:
    for place, (fitting, asks) in enumerate(TOOLS):
        others = [one for at, (one, _) in enumerate(TOOLS) if at != place]
        for ask in asks:
            yield Made("one", ask, [fitting])
            yield Made("some", ask, _shuffled(rng, [fitting, *rng.sample(others, rng.randint(1, 4))]))
            yield Made("some", ask, _shuffled(rng, [fitting, *rng.sample(others, rng.randint(5, 14))]))
            yield Made("none", ask, rng.sample(others, 1))
            yield Made("none", ask, rng.sample(others, rng.randint(2, 5)))
            drawn = rng.sample(TOOLS, rng.randint(1, 3))
            more = [rng.choice(asked) for _, asked in drawn]
            yield Made(
                "twice",
                _all_of(rng, [ask, *more]),
                _shuffled(rng, [fitting, *(one for one, _ in drawn if one is not fitting)]),
            )
            yield Made(
                "twice",
                _all_of(rng, [ask, *(_varied(rng, one) for one in rng.choices(asks, k=rng.randint(1, 3)))]),
                [fitting],
            )
        yield Made(
            "typed",
            f"Call {fitting['function']['name']} with the values of the configuration object and a callback: {asks[0]}",
            [_typed(fitting)],
        )
    for said in rng.sample(easy, min(120, len(easy))):
        yield Made("chat", said, [one for one, _ in rng.sample(TOOLS, rng.randint(1, 6))])


def _all_of(rng: random.Random, asks: list[str]) -> str:
    """Several asks in one request."""
    joint = rng.choice((", and ", ". Also, ", " Then: ", ", and then "))
    return joint.join([asks[0].rstrip("?."), *(f"{ask[:1].lower()}{ask[1:].rstrip('?.')}" for ask in asks[1:])]) + "."


def _varied(rng: random.Random, ask: str) -> str:
    """The same with other numbers."""
    return "".join(str(rng.randint(1, 9)) if c.isdigit() else c for c in ask)


def _typed(one: dict[str, Any]) -> dict[str, Any]:
    function = one["function"]
    fields = {
        **function["parameters"]["properties"],
        "options": {"type": "object", "properties": {"retries": {"type": "integer"}}},
        "callback": {"type": "string"},
    }
    return {
        "type": "function",
        "function": {
            **function,
            "parameters": {
                **function["parameters"],
                "properties": fields,
                "required": [*function["parameters"]["required"], "options"],
            },
        },
    }


def _shuffled(rng: random.Random, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rng.shuffle(tools)
    return tools


_NAMES = "total items count node left right value queue seen path key table price rate cache limit index result step room".split()  # noqa: SIM905 - a list of words reads best as a text
_TESTS = ("{a} > {n}", "{a} % {n} == 0", "{a} in {b}", "not {b}", "len({b}) < {n}")
_DOES = (
    "{a} += {n}",
    "{b}.append({a})",
    "{a} = {a} * {n} - 1",
    "{a} = {b}[{n}]",
    "{b} = sorted({b})",
    "{a}, {b} = {b}, {a}",
    "{b}[{a}] = {n}",
)


def _code(rng: random.Random) -> str:
    """A few functions of no use, each with loops and branches."""
    return "\n\n".join(
        _function(rng, f"{rng.choice(('get', 'make', 'sum', 'walk', 'find'))}_{rng.choice(_NAMES)}")
        for _ in range(rng.randint(1, 5))
    )


def _function(rng: random.Random, name: str) -> str:
    a, b, n = *rng.sample(_NAMES, 2), rng.randint(2, 99)
    lines = [f"def {name}({a}, {b}):"]
    depth = 1
    for _ in range(rng.randint(2, 12)):
        pad = "    " * depth
        draw = rng.random()
        if draw < 0.25 and depth < 4:
            lines.append(f"{pad}for {a} in {rng.choice((f'range({n})', b))}:")
            depth += 1
        elif draw < 0.5 and depth < 4:
            lines.append(f"{pad}if {rng.choice(_TESTS).format(a=a, b=b, n=n)}:")
            depth += 1
        else:
            lines.append(pad + rng.choice(_DOES).format(a=a, b=b, n=rng.randint(0, 9)))
            depth = max(1, depth - rng.randint(0, 2))
    if lines[-1].endswith(":"):
        lines.append("    " * depth + "pass")
    return "\n".join([*lines, f"    return {rng.choice((a, b))}"])
