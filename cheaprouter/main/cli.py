"""The command line. Each command imports what it needs, so that `--help` and `route` start at once."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..core.const import VERSION
from ..core.errors import CheapRouterError, ConfigurationError, NewerDatabaseError
from .imports import no_certificates

_APP_DATA: Final = Path("/data")
_DATA_HELP: Final = "folder for state (default: $CHEAPROUTER_DATA, /data, ~/.local/share/cheaprouter)"


def default_data(environ: Mapping[str, str] = os.environ) -> Path:
    """Where state is kept: CHEAPROUTER_DATA, the app's /data, or the user's own data folder."""
    if given := environ.get("CHEAPROUTER_DATA"):
        return Path(given)
    if (_APP_DATA / "options.json").exists():
        return _APP_DATA
    home = Path(environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return home / "cheaprouter"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = _parser()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in {"-h", "--help", "--version"}):
        arguments.insert(0, "serve")
    args = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except ConfigurationError as error:
        _complain(*error.problems)
        return 3 if isinstance(error, NewerDatabaseError) else 2
    except CheapRouterError as error:
        _complain(error.message)
        return 1
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has left; Python would complain at exit
        return 0
    except OSError as error:
        _complain(error.strerror or str(error))
        return 1


def _complain(*lines: str) -> None:
    for line in lines:
        print(f"error: {line}", file=sys.stderr)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: a whole number from 0 to 65535")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("cheaprouter", description="One OpenAI-compatible endpoint for a home.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=run)
        sub.add_argument("--config", type=Path, help="YAML file (default: cheaprouter.yaml in the data folder)")
        sub.add_argument("--data", type=Path, help=_DATA_HELP)
        return sub

    serve = add("serve", _serve, "Serve the API.")
    demo = add("demo", _demo, "Serve with the mock provider and an embedded MQTT broker, to try things out.")
    for sub in (serve, demo):
        sub.add_argument("--host", help="address to listen on (default: all, IPv4 and IPv6)")
        sub.add_argument("--port", type=_port, help="port of the API (default: 4000)")
        sub.add_argument("--ingress-port", type=_port, help="port of the status page (default: none; 8099 in the app)")
    demo.add_argument("--mqtt-port", type=_port, default=1883, help="port of the embedded broker (default: 1883)")
    add("check-config", _check_config, "Check the configuration and say everything that is wrong with it.")
    route = add("route", _route, "Explain which model a prompt would go to; nobody is called.")
    route.add_argument("prompt", nargs="?", help="what the user asks")
    route.add_argument(
        "--file", type=argparse.FileType("rb"), help="a chat body as JSON instead (- for standard input)"
    )
    route.add_argument("--profile", help="auto, eco, premium, free, or a model id")
    route.add_argument(
        "--forecast", action="store_true", help="what each step of cost_quality would have meant for the last requests"
    )
    route.add_argument("--jsonl", action="store_true", help="chat bodies as JSON lines in, one score a line out")
    rehearse = add("rehearse", _rehearse, "Replay the recorded requests by other settings; nobody is called.")
    rehearse.add_argument("--profile", action="append", default=[], help="auto, eco, premium or free; may be repeated")
    rehearse.add_argument(
        "--cost-quality", type=float, action="append", default=[], help="0 to 10, for auto; may be repeated"
    )
    rehearse.add_argument("--with", dest="other", type=Path, action="append", default=[], metavar="FILE",
                          help="another configuration (models, prices, rules); may be repeated")  # fmt: skip
    rehearse.add_argument("--last", type=int, default=1000, help="so many requests (default: 1000, at most 10000)")
    rehearse.add_argument("--json", action="store_true", help="as JSON")
    providers = add("providers", _providers, "List the providers and ask each one now.")
    providers.add_argument("--json", action="store_true", help="as JSON")
    backup = add("backup", _backup, "Write a consistent copy of the database, while the router runs.")
    backup.add_argument(
        "file", type=Path, nargs="?", help="where to (default: cheaprouter-backup.db in the data folder)"
    )
    backup.add_argument(
        "--done", action="store_true", help="remove the copy from the data folder: the backup was taken"
    )
    _add_keys(commands)
    return parser


def _add_keys(commands: Any) -> None:
    keys = commands.add_parser("keys", help="Add, list, renew and revoke devices' keys; show or renew the admin key.")
    verbs = keys.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(command=_keys, verb=name)
        sub.add_argument("--data", type=Path, help="folder for state")
        return sub

    add = verb("add", "Make a key for a device; it is shown once.")
    add.add_argument("device")
    add.add_argument("--days", type=int, help="for so many days; without it, for good")
    rotate = verb("rotate", "Make a new key in place of a device's keys, which go on for a while; it is shown once.")
    rotate.add_argument("key", help="the device's name for all of its keys, or one key's id")
    rotate.add_argument("--grace", type=float, metavar="HOURS", help="how long the old ones go on (default: 24)")
    rotate.add_argument("--days", type=int, help="for so many days; without it, for as many as the old one")
    verb("list", "The keys there are: ids, devices and dates (UTC), never the keys themselves.")
    verb("revoke", "Make a key worthless.").add_argument(
        "key", help="the key's id, or the device's name for all of its keys"
    )
    verb("admin", "Show where the admin key is, or renew it.").add_argument(
        "--reset", action="store_true", help="make a new one"
    )


def _data(args: argparse.Namespace) -> Path:
    data: Path = args.data or default_data()
    return data


def _serve(args: argparse.Namespace) -> int:
    token = os.environ.get("SUPERVISOR_TOKEN")
    return _run(args.config, _data(args), args.host, args.port, args.ingress_port, token)


def _demo(args: argparse.Namespace) -> int:
    data = args.data or default_data() / "demo"
    return _run(args.config, data, args.host, args.port, args.ingress_port, None, args.mqtt_port)


def _run(*options: Any) -> int:
    """Serve. `options`: as `app.Options` takes them."""
    gc.disable()  # what is made until all is ready stays; `app` switches it on again
    with no_certificates():
        from .app import Options, run  # noqa: PLC0415 - only serving needs the whole house

    return run(Options(*options))


def _check_config(args: argparse.Namespace) -> int:
    from ..config import files, loader  # noqa: PLC0415 - see above

    data = _data(args)
    if (problem := files.folder_problem(data)) is not None:
        raise ConfigurationError([problem])
    loaded = loader.load(args.config, data, os.environ)
    read = ", ".join(str(f) for f in loaded.files if f.exists()) or "no file: defaults and environment"
    print(f"The configuration is good ({read}).")
    if data.is_dir() and not os.access(data, os.W_OK | os.X_OK):
        print(f"  {data} cannot be written to: the router would serve, and forget at its end all that happened.")
    for provider in loaded.settings.providers:
        listed = (
            f"{len(provider.models)} models listed" if provider.models else "models from the catalogue or the provider"
        )
        print(f"  {provider.name}: {provider.kind}, {len(provider.api_keys)} key(s), {listed}")
    if loaded.settings.demo:
        print("  No provider is configured: demo mode, the mock answers.")
    return 0


def _route(args: argparse.Namespace) -> int:
    from . import commands  # noqa: PLC0415 - see above

    if args.jsonl:
        return commands.score_lines(sys.stdin.buffer, sys.stdout.buffer)
    if args.forecast:
        return commands.forecast(args.config, _data(args))
    return commands.explain_one(args.prompt, args.file, args.profile, args.config, _data(args))


def _rehearse(args: argparse.Namespace) -> int:
    from . import rehearsal  # noqa: PLC0415 - see above

    asked = rehearsal.Asked(args.profile, args.cost_quality, args.other, args.last, args.json)
    return rehearsal.run(args.config, _data(args), asked)


def _providers(args: argparse.Namespace) -> int:
    from . import commands  # noqa: PLC0415 - see above

    return asyncio.run(commands.list_providers(args.config, _data(args), as_json=args.json))


def _backup(args: argparse.Namespace) -> int:
    from ..books import backup  # noqa: PLC0415 - see above

    try:
        if args.done:
            backup.done(_data(args))
            return 0
        made = backup.make(_data(args), args.file)
    except (sqlite3.Error, OSError) as error:
        _complain(f"no copy of the database was made: {error}")
        return 1
    print(f"wrote {made}" if made else "there is no database yet")
    return 0


def _keys(args: argparse.Namespace) -> int:
    from . import commands  # noqa: PLC0415 - see above

    return commands.manage_keys(args, _data(args))
