"""Which requests are the dashboard's, and which the API's."""

from starlette.types import ASGIApp, Receive, Scope, Send

_OWN = ("/assets", "/clusters", "/destroyed", "/components", "/live", "/operations", "/sign-in", "/sign-out", "/wrong")


class OwnPaths:
    """ASGI middleware: hands what is for people to the dashboard, and everything else on."""

    def __init__(self, app: ASGIApp, dashboard: ASGIApp) -> None:
        """Serve the dashboard's paths by *dashboard*, others by *app*."""
        self._app = app
        self._dashboard = dashboard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        owner = self._dashboard if scope["type"] == "http" and is_own(scope["path"]) else self._app
        await owner(scope, receive, send)


def is_own(path: str) -> bool:
    """Tell whether *path* is one of the dashboard's."""
    return path == "/" or any(path == own or path.startswith(f"{own}/") for own in _OWN)
