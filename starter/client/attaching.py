"""Applications on clusters' records."""

from model import names
from model.apps import Attachment
from model.validation import checked
from starter.client.audit import AuditAction
from starter.client.restoring import Restoring
from starter.client.temporal import translated


class Attaching(Restoring):
    """The part of :class:`starter.client.MpgClient` for applications. None of it is an operation: it takes no turn."""

    async def attach_app(self, cluster: str, app: str, *, org: str = names.DEFAULT_ORG) -> Attachment:
        """Put *app* on the cluster's record, for people to see who uses it. Raises InvalidInput, NotFound, Refused."""
        checked(names.check_app_name, app)
        view = await self.view(cluster, org=org)
        handle = self._client.get_workflow_handle(names.cluster_workflow_id(view.state.spec.id))
        with translated(self._settings):
            found: object = await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
                "attach_app", app, result_type=Attachment
            )
        attachment = Attachment.model_validate(found)
        if attachment.made:
            self.note(AuditAction.ATTACH_APP, view.state.spec, app)
        return attachment

    async def detach_app(self, cluster: str, app: str, *, org: str = names.DEFAULT_ORG) -> None:
        """Take *app* off the cluster's record. Raises NotFound."""
        view = await self.view(cluster, org=org)
        handle = self._client.get_workflow_handle(names.cluster_workflow_id(view.state.spec.id))
        with translated(self._settings):
            await handle.execute_update("detach_app", app)  # pyright: ignore[reportUnknownMemberType]
        self.note(AuditAction.DETACH_APP, view.state.spec, app)
