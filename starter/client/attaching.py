"""Applications on clusters' records."""

from contextlib import nullcontext

from model import names
from model.apps import Attachment
from model.errors import InvalidInput
from model.validation import checked
from starter.client import updates
from starter.client.audit import AuditAction
from starter.client.restoring import Restoring


class Attaching(Restoring):
    """The part of :class:`starter.client.MpgClient` for applications. None of it is an operation: it takes no turn.

    A ``request_id`` is known until the cluster's workflow continues as new.
    """

    async def attach_app(
        self, cluster: str, app: str, *, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> Attachment:
        """Put *app* on the cluster's record, for people to see who uses it.

        Raises InvalidInput, also for a *request_id* that was used for another, NotFound, Refused, and Unconfirmed where
        no answer came.
        """
        checked(names.check_app_name, app)
        spec = (await self.view(cluster, org=org)).state.spec
        id = _update_id("attach_app", request_id)
        # What is there already is no act.
        with nullcontext() if spec.app(app) else self._acting(AuditAction.ATTACH_APP, spec, app):
            found = await updates.change(
                self._workflow_of(spec.id), self._settings, "attach_app", app, answer=Attachment, id=id
            )
            attachment = Attachment.model_validate(found)
            if attachment.app.name != app:
                raise InvalidInput(
                    f"Request id {request_id!r} was used for another application, {attachment.app.name}.",
                    remedy="Repeat that request as it was, or use a new id.",
                )
        return attachment

    async def detach_app(
        self, cluster: str, app: str, *, org: str = names.DEFAULT_ORG, request_id: str | None = None
    ) -> None:
        """Take *app* off the cluster's record. Raises NotFound, and Unconfirmed where no answer came."""
        spec = (await self.view(cluster, org=org)).state.spec
        id = _update_id(f"detach_app/{app}", request_id)
        with self._acting(AuditAction.DETACH_APP, spec, app) if spec.app(app) else nullcontext():
            await updates.change(self._workflow_of(spec.id), self._settings, "detach_app", app, id=id)


def _update_id(about: str, request_id: str | None) -> str | None:
    """Return the id by which Temporal recognises a repeat of an update, None where none is wanted."""
    return None if request_id is None else f"{about}/{checked(names.check_request_id, request_id)}"
