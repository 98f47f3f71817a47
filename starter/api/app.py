"""The application: its routes, and what stands before them."""

from fastapi import FastAPI
from starlette.responses import JSONResponse

from starter.api import description, errors, graphql, machines, own, rest
from starter.api.authentication import Authentication
from starter.api.beginnings import Beginnings
from starter.api.body_limit import BodyLimit
from starter.client import MpgClient
from starter.client.events import EventHub
from starter.dashboard import OwnPaths, make_dashboard
from starter.tokens.failures import Failures
from starter.tokens.keyring import Keyring


def make_app(mpg: MpgClient, keyring: Keyring) -> FastAPI:
    """Return the API over *mpg*, for holders of *keyring*'s tokens."""
    app = FastAPI(
        title="mpg",
        summary="Managed Postgres on your own machines",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a client that follows would send its token once more, and perhaps no body
    )
    app.state.mpg = mpg
    app.state.keyring = keyring
    app.state.beginnings = Beginnings()
    app.state.events = EventHub(mpg, most=mpg.settings.api_streams)
    errors.install(app)
    description.install(app)
    for router in (rest.router, machines.router, graphql.router, own.router):
        app.include_router(router)
    app.add_api_route("/healthz", _healthy, include_in_schema=False)
    # The last one added is the first one passed: nobody's body is read before it is known who sends it.
    app.add_middleware(BodyLimit)
    app.add_middleware(Authentication, keyring=keyring, failures=Failures())
    app.add_middleware(OwnPaths, dashboard=make_dashboard(mpg, keyring))  # whose pages know by a cookie who asks
    return app


async def _healthy() -> JSONResponse:
    """Say that this process serves; whether Temporal does is for the stack to say."""
    return JSONResponse({"ok": True})
