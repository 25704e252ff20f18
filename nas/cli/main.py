"""The entry point ``hwnas``: its commands, and errors in one sentence.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

import errno
import json
import os
import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer
from typer.exceptions import TyperException

from nas.cli import (
    agent,
    agents,
    audit,
    batch,
    bench,
    calibrate,
    data,
    database,
    devices,
    doctor,
    front,
    keys,
    measure,
    measurements,
    predict,
    quickstart,
    recommend,
    search,
    sensitivity,
    train,
    worker,
)
from search_spaces.errors import NasError

app = typer.Typer(
    name="hwnas",
    help=(
        "Find the best network, with a precision for each block, for your device within your limits.\n\n"
        "Start with [bold]hwnas quickstart[/bold]. Step by step: data, devices, train, measure, fit, search, batch, "
        "recommend, front, export, serve. Latency prediction: calibrate, predict, measurements. Quantization: "
        "sensitivity. State is kept under HWNAS_HOME; an interrupted command resumes when it is run again."
    ),
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False,
) -> None:
    """Options of every command."""
    context.obj = {"debug": debug}


_INTERRUPTED = 130
_CONTINUE = "interrupted; run the same command again to continue."
COMMAND_GROUP = "hwnas.commands"
"""Entry points that add commands: packages above this one, which it cannot import, bring theirs."""


def register_commands() -> typer.Typer:
    """Adds every command; their heavy imports wait until they run."""
    # The order here is the order in --help.
    if app.registered_commands:
        return app
    app.command("quickstart")(quickstart.quickstart)
    app.add_typer(data.app, name="data")
    app.add_typer(devices.app, name="devices")
    app.command("train")(train.train)
    app.command("measure")(measure.measure)
    app.command("fit")(measure.fit)
    app.add_typer(measurements.app, name="measurements")
    app.command("calibrate")(calibrate.calibrate)
    app.command("predict")(predict.predict)
    app.command("sensitivity")(sensitivity.sensitivity)
    app.add_typer(search.app, name="search")
    app.add_typer(batch.app, name="batch")
    app.command("recommend")(recommend.recommend)
    app.add_typer(front.app, name="front")
    app.command("export")(front.export)
    for point in sorted(entry_points(group=COMMAND_GROUP), key=lambda point: point.name):
        app.command(point.name)(point.load())
    app.add_typer(keys.app, name="keys")
    app.command("audit")(audit.audit)
    app.add_typer(database.app, name="db")
    app.command("worker")(worker.worker)
    app.command("doctor")(doctor.doctor)
    app.add_typer(agents.app, name="agents")
    app.command("agent")(agent.agent)
    app.add_typer(bench.app, name="bench")
    return app


def main() -> None:
    """Runs the command line and exits."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command; returns its exit code. Errors end on standard error, never as a traceback."""
    debug = "--debug" in arguments
    # Flags of the program are taken anywhere on the line, since that is where people put them.
    arguments = (["--debug"] if debug else []) + [word for word in arguments if word != "--debug"]
    try:
        outcome = register_commands()(args=arguments, prog_name="hwnas", standalone_mode=False)
        # Ctrl-C comes back as this code, without a word.
        if outcome == _INTERRUPTED:
            return _fail(_CONTINUE, "interrupted", _INTERRUPTED, arguments)
        return outcome if isinstance(outcome, int) else 0
    except TyperException as error:
        # Without arguments the help is printed, and the message is empty.
        message = " ".join(error.format_message().split())
        return _fail(f"{message} See --help.", "usage", error.exit_code, arguments) if message else error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _fail(_CONTINUE, "interrupted", _INTERRUPTED, arguments)
    except NasError as error:
        if debug:
            raise
        return _fail(str(error), error.code, error.exit_code, arguments)
    except OSError as error:
        if debug:
            raise
        if error.errno == errno.EPIPE:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _fail("the disk is full; free some space and run the command again.", "disk-full", 1, arguments)
        where = f" ({error.filename})" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}; run with --debug for the details.", "failed", 1, arguments)
    except Exception as error:  # the last resort, which keeps tracebacks off a user's terminal
        if debug:
            raise
        reason = " ".join(str(error).split()) or "no message"
        text = f"unexpected {type(error).__name__}: {reason[:300]}; run with --debug for the traceback and report it."
        return _fail(text, "internal", 1, arguments)


def _fail(message: str, code: str, exit_code: int, arguments: list[str]) -> int:
    if "--json" in arguments:
        sys.stderr.write(json.dumps({"error": {"code": code, "message": message}}) + "\n")
    else:
        sys.stderr.write(f"hwnas: {message}\n")
    return exit_code
