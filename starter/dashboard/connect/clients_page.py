"""docs/clients.md, made of the snippets of the Connect tab: ``python -m starter.dashboard.connect.clients_page``."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from model.cluster import PoolMode
from model.names import DEFAULT_DATABASE, DEFAULT_USER
from starter.client.connection import verifying
from starter.dashboard.connect.snippets import Snippet, snippets

PAGE = Path(__file__).resolve().parents[3] / "docs" / "clients.md"
_URI = f"postgresql://{DEFAULT_USER}:PASSWORD@HOST:PORT/{DEFAULT_DATABASE}"
_WAYS = (
    ("pooled, transaction mode", True, PoolMode.TRANSACTION),
    ("pooled, session mode", True, PoolMode.SESSION),
    # Beside the poolers, and so alike in both modes.
    ("direct", False, PoolMode.TRANSACTION),
    ("read-only", False, PoolMode.TRANSACTION),
)
_HEAD = f"""# Clients

How each client is told to connect. The Connect tab of the [dashboard](dashboard.md) shows the same lines with a
cluster's own addresses. This page is made of them, by `python -m starter.dashboard.connect.clients_page`.

| endpoint | leads to | for | `mpg url` |
| --- | --- | --- | --- |
| pooled | PgBouncer, and from there to the primary | applications | `mpg url CLUSTER` |
| direct | the primary | migrations, psql, `LISTEN`, dumps | `mpg url CLUSTER --direct` |
| read-only | the replica; the primary while none is in sync | reports | `mpg url CLUSTER --read-only` |

`{_URI}` below stands for what `mpg url` prints.
Each endpoint has a port of its own. `-u` and `-d` name another user and database.

In **transaction** mode, the default, a connection to Postgres is a client's for one transaction. What belongs to a
session is not there in the next one: `SET`, `LISTEN`, temporary tables, advisory locks of a session. In **session**
mode it is a client's for as long as the client stays. `mpg set-pool-mode` changes it; sessions that are open keep
theirs: [set-pool-mode.md](operations/set-pool-mode.md).

Certificates are not checked by these lines. `mpg url --verify-full` prints a connection string that has them checked,
and the Connect tab shows it: [Encrypted and verified](#encrypted-and-verified).
"""
_VERIFIED = """## Encrypted and verified

```
{uri}
```

`sslrootcert` is the CA file of the stack, `ca.crt` in its state directory; on another machine it is wherever you copied
it to: [security.md](security.md#tls). Most clients take this connection string where the plain one is above. Others
have their own places for it:
"""


def render() -> str:
    """Return the page: for each client its lines, those that are the same for several endpoints once."""
    columns = [[(way, each) for each in snippets(_URI, pooled=pooled, mode=mode)] for way, pooled, mode in _WAYS]
    return "\n".join((_HEAD, *(_client(row) for row in zip(*columns, strict=True)), *_verified()))


def _verified() -> Iterator[str]:
    uri = f"{_URI}?{verifying(Path('CA_FILE'))}"
    yield _VERIFIED.format(uri=uri)
    both = (snippets(each, pooled=True, mode=PoolMode.TRANSACTION) for each in (_URI, uri))
    for plain, verified in zip(*both, strict=True):
        # Whichever scheme a client has.
        if verified.code != plain.code.replace(_URI.partition("://")[2], uri.partition("://")[2]):
            yield f"{verified.client}, pooled, transaction mode:\n\n```{verified.language}\n{verified.code}\n```\n"


def _client(ways: tuple[tuple[str, Snippet], ...]) -> str:
    parts = [f"## {ways[0][1].client}\n"]
    for snippet, alike in groupby(ways, key=lambda way: way[1]):
        names = [name for name, _ in alike]
        if len(names) < len(ways):
            title = "; ".join(names)
            parts.append(f"{title[0].upper()}{title[1:]}:\n")
        parts.append(f"```{snippet.language}\n{snippet.code}\n```\n")
        if snippet.note:
            parts.append(f"{snippet.note}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
