"""How a command ends when it does not succeed: one sentence on stderr, an exit code, no traceback."""

import os
import sys
import traceback
from enum import IntEnum
from pathlib import Path
from typing import Any

import typer

from model.errors import InvalidInput, MpgError
from starter.cli.panels import PanelGroup


class ExitCode(IntEnum):
    """What the caller's shell sees."""

    DONE = 0
    FAILED = 1
    USAGE = 2


class UsageSentence(Exception):
    """The command line asks for something that it cannot mean; the sentence says what to write instead."""


def say(line: str) -> None:
    """Write one line of progress or explanation to stderr."""
    print(line, file=sys.stderr, flush=True)


class Commands(PanelGroup):
    """The group of all commands: whatever a command raises becomes a sentence and an exit code here."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except UsageSentence as error:
            code, sentence = ExitCode.USAGE, str(error)
        except InvalidInput as error:
            code, sentence = ExitCode.USAGE, str(error)
        except MpgError as error:
            code, sentence = ExitCode.FAILED, str(error)
        except typer.BadParameter as error:
            error.message = error.message.replace("Value error, ", "")  # the validation library's, not a person's
            raise
        except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError):
            raise
        except Exception as error:
            code, sentence = ExitCode.FAILED, _unexpected(error)
        say(f"Error: {sentence}")
        raise typer.Exit(code)


def _unexpected(error: Exception) -> str:
    """Write the traceback where it can be found, and say so."""
    if os.environ.get("MPG_DEBUG") == "1":
        traceback.print_exception(error)
    file = _write_log(error)
    where = f"The details are in {file}." if file else "Set MPG_DEBUG=1 to see the details."
    return f"Something unexpected happened ({type(error).__name__}). {where}"


def _write_log(error: Exception) -> Path | None:
    from model.settings import default_home
    from starter.logs import redact_text

    file = default_home() / "logs" / "cli.log"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file.open("a") as log:
            log.write(redact_text("".join(traceback.format_exception(error))) + "\n")
    except OSError:
        return None
    return file
