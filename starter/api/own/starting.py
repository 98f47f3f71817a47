"""Any operation on a cluster, with all that it may be told, by one route: what the client over HTTP asks by."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast

from fastapi import APIRouter
from pydantic import ConfigDict, Field, create_model

from model.operations import MAKES_CLUSTER, REQUESTS, AdoptClusterRequest, OperationRequest
from model.validation import validated
from starter.api.call import Asked
from starter.api.operating import Begun, Body, begun

router = APIRouter(prefix="/api/v1", tags=["operations"])

ON_A_CLUSTER = {
    name: kind for name, kind in REQUESTS.items() if not issubclass(kind, (*MAKES_CLUSTER, AdoptClusterRequest))
}
"""Requests about a cluster that is on record, by the operation's type."""
NOT_ASKED_FOR = frozenset({"cluster_id", "scheduled"})
"""Fields that the path has, and that only schedules use."""


class OperationBody(Body):
    """What asks for an operation. A field that it does not know is refused: most likely it is misspelled."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    operation: str


def body_of(name: str, kind: type[OperationRequest]) -> type[OperationBody]:
    """Return the body that asks for the operation *name*: the request's own fields, and which one it is."""
    fields: dict[str, Any] = {
        field: (about.annotation, about) for field, about in kind.model_fields.items() if field not in NOT_ASKED_FOR
    }
    fields["operation"] = (cast("Any", Literal)[name], ...)
    return create_model(f"{name}Operation", __base__=OperationBody, __doc__=kind.__doc__, **fields)


if TYPE_CHECKING:
    Wanted = OperationBody
else:  # the types are made at run time, from the requests
    Wanted = Annotated[
        Union[tuple(body_of(name, kind) for name, kind in ON_A_CLUSTER.items())],  # noqa: UP007
        Field(discriminator="operation"),
    ]


@router.post("/postgresv2/{cluster}/operations", status_code=202)
async def start_operation(cluster: str, wanted: Wanted, call: Asked) -> Begun:
    """Begin any operation on a cluster."""
    spec = (await call.view(cluster, destroyed=True)).state.spec  # a destruction repeated with its key is answered
    fields = wanted.model_dump(exclude={"operation"})
    request = validated(ON_A_CLUSTER[wanted.operation], cluster_id=spec.id, **fields)
    return begun(await call.mpg.start(request, org=spec.org, request_id=call.request_id(spec.org)))
