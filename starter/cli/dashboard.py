"""`mpg dashboard`: from a terminal to the pages, signed in."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from model.base import Record
from model.errors import Refused, StackDown
from model.names import DEFAULT_ORG
from starter.cli import options
from starter.cli.errors import say
from starter.cli.output import print_json
from starter.cli.panels import Panel
from starter.cli.session import settings

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_SECONDS = 3


class Opened(Record):
    """The address that signs in once, and for how many seconds it does."""

    url: str
    expires_in_s: int


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""
    app.command(rich_help_panel=Panel.STACK, epilog=options.example("mpg dashboard", "mpg dashboard --no-browser"))(
        dashboard
    )


def dashboard(
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it, where there is a browser.")] = True,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Open the dashboard, and print its address; the address signs in once, within a minute."""
    from starter.stack.embedded import api_url
    from starter.stack.state import require_own_api
    from starter.tokens.sign_in_codes import SECONDS, SignInCodes

    chosen = settings()
    if chosen.api_port == 0:
        raise Refused("The API is left out (MPG_API_PORT is 0), and the dashboard with it.", remedy="Set a port.")
    require_own_api(chosen.home)
    url = api_url(chosen)
    _require_answer(url, chosen.ca_file)
    opened = Opened(url=f"{url}/sign-in?code={SignInCodes(chosen.api_dir).issue()}", expires_in_s=SECONDS)
    if as_json:
        print_json(opened)
        return
    print(opened.url)
    if browser and _has_browser():
        import webbrowser

        if webbrowser.open(opened.url):
            return
    say(f"Open this address within {SECONDS} seconds; it signs in once.")


def _require_answer(url: str, ca_file: "Path") -> None:
    from starter.stack.api_health import ask_api

    try:
        ask_api(url, ca_file, seconds=ANSWER_SECONDS)
    except OSError as error:
        raise StackDown(f"The dashboard does not answer at {url}.", remedy="Start the stack with 'mpg up'.") from error


def _has_browser() -> bool:
    """A browser in the terminal, such as lynx, would take it over."""
    graphical = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return sys.stdout.isatty() and (graphical or sys.platform == "darwin")
