"""`mpg auth …`: tokens for the HTTP API, and the environment for Fly's own client."""

import re
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from model.base import Record
from model.names import DEFAULT_ORG
from starter.cli import options
from starter.cli.output import print_json, print_table
from starter.cli.session import settings, with_client

if TYPE_CHECKING:
    from model.settings import Settings
    from starter.tokens.keyring import IssuedToken, Keyring

app = typer.Typer(
    help="Tokens for the API, and the environment for Fly's client.", no_args_is_help=True, rich_markup_mode=None
)

ENV = "env"
"""Purpose of the token that `mpg auth env` prints."""
ENV_SECONDS = 30 * 24 * 3600
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
_LONGEST_S = 10 * 366 * 24 * 3600


class Minted(Record):
    """A new token."""

    id: str
    token: str
    expires_at: str | None


Expires = Annotated[
    str, typer.Option(metavar="TIME", help="When it ends: 30d, 12h, 90m, or 'never'. Revoke it to end it before.")
]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="Allow no change, and show no passwords.")]
OnlyCluster = Annotated[str | None, typer.Option("--cluster", metavar="CLUSTER", help="Only this cluster, id or name.")]
OnlyOrg = Annotated[
    str | None, typer.Option("--org", "-o", metavar="ORG", help="Only this organization; by default all.")
]


@app.command(epilog=options.example("mpg auth token", "mpg auth token --expires 12h --read-only --cluster orders"))
def token(
    expires: Expires = "30d",
    read_only: ReadOnly = False,
    cluster: OnlyCluster = None,
    as_json: options.Json = False,
    org: OnlyOrg = None,
) -> None:
    """Make a token for the API and print it. It is stored nowhere."""
    seconds = seconds_of(expires)
    only = _cluster_id(cluster, org or DEFAULT_ORG) if cluster else None
    keyring = _keyring(settings())
    issued = keyring.issue(
        expires_in_s=seconds,
        read_only=read_only,
        organization=(org or DEFAULT_ORG) if only else _organization(org),
        cluster=only,
    )
    text = keyring.text(issued)
    if as_json:
        print_json(Minted(id=issued.id, token=text, expires_at=issued.expires_at and issued.expires_at.isoformat()))
    else:
        print(text)


@app.command(epilog=options.example('eval "$(mpg auth env)"'))
def env(as_json: options.Json = False, org: options.Org = DEFAULT_ORG) -> None:
    """Print the environment in which Fly's own client talks to this stack, as shell lines."""
    from starter.stack.embedded import api_url

    chosen = settings()
    found = environment(chosen, api_url(chosen), _token_of_env(_keyring(chosen)))
    if as_json:
        import json

        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            print(f"export {name}={shlex.quote(value)}")


@app.command("list", epilog=options.example("mpg auth list", "mpg auth list --json"))
def list_tokens(as_json: options.Json = False, org: options.Org = DEFAULT_ORG) -> None:
    """List the tokens that were made, of all organizations."""
    found = _keyring(settings()).issued()
    if as_json:
        print_json(found)
    elif not found:
        print("No token was made.")
    else:
        print_table(
            ["id", "state", "allows", "organization", "cluster", "made", "expires"],
            [
                (
                    each.id,
                    _state(each),
                    "reading" if each.read_only else "everything",
                    each.organization or "all",
                    each.cluster or "all",
                    f"{each.issued_at:%Y-%m-%d %H:%M}",
                    f"{each.expires_at:%Y-%m-%d %H:%M}" if each.expires_at else "never",
                )
                for each in found
            ],
        )


@app.command(epilog=options.example("mpg auth revoke 0f1e2d3c4b5a69788796a5b4c3d2e1f0"))
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="A token's id, of 'mpg auth list'.")],
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Have a token, and all that were made from it, let nobody in any more."""
    revoked = _keyring(settings()).revoke(token_id)
    if as_json:
        print_json(revoked)
    else:
        print(f"Token {revoked.id} is revoked.")


def environment(chosen: "Settings", url: str, token: str) -> dict[str, str]:
    """Return all that Fly's client needs, so that it asks nobody else and sends the token nowhere else.

    *url* is the API's. Over TLS the client trusts this installation's authority, and no other.
    """
    directory = chosen.api_dir / "fly"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {
        "FLY_UIEX_BASE_URL": url,
        "FLY_FLAPS_BASE_URL": url,
        "FLY_API_BASE_URL": url,
        "FLY_ACCESS_TOKEN": token,
        "FLY_SEND_METRICS": "0",
        "FLY_NO_UPDATE_CHECK": "1",
        "FLY_SYNTHETICS_AGENT": "0",
        "FLY_CONFIG_DIR": str(directory),
        **({"SSL_CERT_FILE": str(chosen.ca_file)} if url.startswith("https:") else {}),
    }


def seconds_of(expires: str) -> int | None:
    """Return the seconds in ``30d``, ``12h``, ``90m`` or ``45s``, None for ``never``. Raises InvalidInput."""
    from model.errors import InvalidInput

    if expires == "never":
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,9})([smhd])", expires)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST_S:
        raise InvalidInput(f"{expires!r} is no time until an expiry.", remedy="Say 30d, 12h, 90m, 45s or never.")
    return seconds


def _token_of_env(keyring: "Keyring") -> str:
    """Return the token of an earlier call while it has half of its time left, so that calls do not pile tokens up."""
    from datetime import UTC, datetime, timedelta

    half = datetime.now(UTC) + timedelta(seconds=ENV_SECONDS / 2)
    fit = [each for each in keyring.issued() if each.purpose == ENV and each.is_live(half)]
    return keyring.text(fit[-1] if fit else keyring.issue(expires_in_s=ENV_SECONDS, purpose=ENV))


def _keyring(chosen: "Settings") -> "Keyring":
    from starter.stack.state import require_own_api
    from starter.tokens.keyring import Keyring

    require_own_api(chosen.home)
    return Keyring(chosen.api_dir)


def _organization(org: str | None) -> str | None:
    from model.names import check_org
    from model.validation import checked

    return org if org is None else checked(check_org, org)


def _cluster_id(cluster: str, org: str) -> str:
    return with_client(lambda mpg: mpg.view(cluster, org=org)).state.spec.id


def _state(issued: "IssuedToken") -> str:
    from datetime import UTC, datetime

    if issued.revoked_at is not None:
        return "revoked"
    return "valid" if issued.is_live(datetime.now(UTC)) else "expired"
