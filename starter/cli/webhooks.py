"""`mpg webhooks …`: who is told of what happens to an organization's clusters."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from model.base import Record
from model.names import DEFAULT_ORG
from model.webhook_book import DeliveryState
from model.webhooks import WebhookEvent
from starter.cli import options
from starter.cli.errors import UsageSentence
from starter.cli.output import print_fields, print_json, print_table
from starter.cli.session import confirm, with_client

if TYPE_CHECKING:
    from starter.client import MpgClient
    from starter.client.webhook_shapes import DeliveryShape

app = typer.Typer(
    help="Webhooks: URLs that are told of what happens to clusters.", no_args_is_help=True, rich_markup_mode=None
)

Webhook = Annotated[str, typer.Argument(metavar="WEBHOOK", help="A webhook's id, of 'mpg webhooks list'.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="How far back: 7d, 12h, 90m.", show_default=False)
]


class Secret(Record):
    """What a webhook's deliveries are signed with."""

    id: str
    secret: str


class Deleted(Record):
    """The webhook that was deleted."""

    id: str


@app.command("list", epilog=options.example("mpg webhooks list", "mpg webhooks list --json"))
def list_webhooks(as_json: options.Json = False, org: options.Org = DEFAULT_ORG) -> None:
    """List the webhooks of an organization, and how they do."""
    found = with_client(lambda mpg: mpg.webhooks(org=org))
    if as_json:
        print_json(found)
    elif not found:
        print(f"Organization {org} has no webhooks.")
    else:
        print_table(
            ["id", "state", "url", "events", "clusters"],
            [(each.id, each.state, each.url, ", ".join(each.events), ", ".join(each.clusters)) for each in found],
        )


@app.command(epilog=options.example("mpg webhooks create https://example.com/hooks --event failover"))
def create(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where messages are sent to.")],
    event: Annotated[
        list[WebhookEvent] | None, typer.Option("--event", help="Of what it is told; again for more. By default all.")
    ] = None,
    cluster: Annotated[
        list[str] | None, typer.Option("--cluster", metavar="CLUSTER", help="Only of this one; again for more.")
    ] = None,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Have a URL told of what happens from now on, and print the secret that messages are signed with."""
    events, clusters = tuple(event or WebhookEvent), tuple(cluster or ())
    made = with_client(lambda mpg: mpg.create_webhook(url, events=events, clusters=clusters, org=org))
    if as_json:
        print_json(made)
    else:
        print_fields([("id", made.webhook.id), ("url", made.webhook.url), ("secret", made.secret)])


@app.command(epilog=options.example("mpg webhooks delete wh_0f1e2d3c4b5a6978 --yes"))
def delete(
    webhook: Webhook, yes: options.Yes = False, as_json: options.Json = False, org: options.Org = DEFAULT_ORG
) -> None:
    """Tell a webhook of nothing any more."""
    confirm(f"Webhook {webhook} of organization {org} is deleted.", yes=yes)
    with_client(lambda mpg: mpg.delete_webhook(webhook, org=org))
    if as_json:
        print_json(Deleted(id=webhook))
    else:
        print(f"Webhook {webhook} is deleted.")


@app.command(epilog=options.example("mpg webhooks secret wh_0f1e2d3c4b5a6978"))
def secret(webhook: Webhook, as_json: options.Json = False, org: options.Org = DEFAULT_ORG) -> None:
    """Print the secret that a webhook's messages are signed with; it is recorded who saw it."""
    found = with_client(lambda mpg: mpg.webhook_secret(webhook, org=org))
    if as_json:
        print_json(Secret(id=webhook, secret=found))
    else:
        print(found)


@app.command("test", epilog=options.example("mpg webhooks test wh_0f1e2d3c4b5a6978"))
def send_test(webhook: Webhook, as_json: options.Json = False, org: options.Org = DEFAULT_ORG) -> None:
    """Send a webhook a message of the type webhook.test."""
    begun = with_client(lambda mpg: mpg.test_webhook(webhook, org=org))
    if as_json:
        print_json(begun)
    else:
        print(f"Message {begun.id} is on its way; see 'mpg webhooks deliveries {webhook}'.")


@app.command(epilog=options.example("mpg webhooks deliveries wh_0f1e2d3c4b5a6978 --state given_up --since 7d"))
def deliveries(
    webhook: Webhook,
    since: Since = None,
    state: Annotated[DeliveryState | None, typer.Option("--state", help="Only those that stand so.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="The latest so many.")] = 50,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """List what was sent to a webhook, newest first, and what the receiver answered."""
    begun = _moment(since)
    found = with_client(lambda mpg: mpg.webhook_deliveries(webhook, since=begun, state=state, limit=limit, org=org))
    _print(found, as_json, f"There are no such deliveries to webhook {webhook}.")


@app.command(epilog=options.example("mpg webhooks replay wh_0f1e2d3c4b5a6978 --since 7d"))
def replay(
    webhook: Webhook,
    delivery: Annotated[
        str | None, typer.Argument(metavar="[DELIVERY]", help="A delivery's id; else name --since.", show_default=False)
    ] = None,
    since: Since = None,
    as_json: options.Json = False,
    org: options.Org = DEFAULT_ORG,
) -> None:
    """Send one message again, or all since a time that were not delivered."""
    if (delivery is None) is (since is None):
        raise UsageSentence("Name either a delivery or --since.")
    begun = _moment(since)

    async def run(mpg: "MpgClient") -> "list[DeliveryShape]":
        if delivery is not None:
            return [await mpg.replay_delivery(webhook, delivery, org=org)]
        assert begun is not None
        return await mpg.replay_failed(webhook, since=begun, org=org)

    _print(with_client(run), as_json, "Everything since then was delivered.")


def _print(found: "list[DeliveryShape]", as_json: bool, nothing: str) -> None:
    if as_json:
        print_json(found)
    elif not found:
        print(nothing)
    else:
        columns = ["id", "type", "cluster", "state", "tries", "answer", "begun", "error"]
        print_table(columns, [_row(each) for each in found])


def _row(found: "DeliveryShape") -> tuple[object, ...]:
    from starter.cli.pages import MOMENT

    begun = f"{found.created_at:{MOMENT}}"
    return found.id, found.type, found.cluster, found.state.value, found.tries, found.status, begun, found.error


def _moment(since: str | None) -> datetime | None:
    from starter.cli.auth import seconds_of

    seconds = None if since is None else seconds_of(since)
    return None if seconds is None else datetime.now(UTC) - timedelta(seconds=seconds)
