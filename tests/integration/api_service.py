"""The API of a stack as tests speak to it."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from cli_program import Mpg

READY_SECONDS = 60


@dataclass
class Api:
    """A client with a token, of either of the two generations of Fly's own."""

    http: httpx.Client

    def __call__(self, method: str, path: str, body: object = None, *, status: int = 200, **headers: str) -> Any:
        """Send a request, see that the answer has *status*, and return its document, None where it has none."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.http.request(method, path, json=body, headers=named)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        if status >= 400:
            assert set(answer.json()) - {"errors"} == {"error"}, answer.text
        return answer.json() if answer.content else None

    def refused(self, method: str, path: str, body: object = None, *, status: int, **headers: str) -> str:
        return str(self(method, path, body, status=status, **headers)["error"])

    def query(self, document: str, **variables: object) -> Any:
        return self("POST", "/graphql", {"query": document, "variables": variables})


def token(mpg: Mpg, *options: str) -> str:
    return mpg.done("auth", "token", *options).out.strip()


def api(mpg: Mpg, text: str, *, scheme: str = "Bearer") -> Api:
    base = f"http://127.0.0.1:{mpg.environment['MPG_API_PORT']}"
    return Api(httpx.Client(base_url=base, headers={"Authorization": f"{scheme} {text}"}, timeout=60))


def eventually(find: Callable[[], Any], *, seconds: float = READY_SECONDS) -> Any:
    """Return what *find* finds, which is asked again while it finds nothing."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
    return found


def ready(service: Api, cluster_id: str) -> dict[str, Any]:
    """Poll as Fly's client does, which waits for ``ready`` or ``error`` without end."""

    def over() -> Any:
        found = service("GET", f"/api/v1/postgresv2/{cluster_id}")["data"]
        return found if found["status"] in {"ready", "error"} else None

    found = eventually(over)
    assert found["status"] == "ready"
    return found


def shell_environment(lines: str) -> dict[str, str]:
    """Return what a shell has in its environment once it evaluated *lines*."""
    shown = subprocess.run(
        ["sh", "-c", 'eval "$LINES_TO_RUN" && env'],
        env={"LINES_TO_RUN": lines, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in shown.stdout.splitlines() if line.startswith("FLY_"))
