"""Plans of statements that ran."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from model.base import Record
from model.queries import STATEMENT_ID, StatementPlan
from starter.api.call import Asked
from starter.api.errors import ApiError

router = APIRouter(prefix="/api/v1/postgresv2/{cluster}", tags=["queries"])


class Plan(Record):
    """The answer about one statement."""

    data: StatementPlan


@router.get("/queries/{statement}/plan")
async def show_plan(
    cluster: str,
    statement: Annotated[str, Path(description="Its `queryid` in pg_stat_statements.", pattern=STATEMENT_ID)],
    call: Asked,
    database: Annotated[str | None, Query(description="As it ran in this one.")] = None,
    user: Annotated[str | None, Query(description="As this role ran it, of a schema admin `schema_admin`.")] = None,
) -> Plan:
    """Show the plan that Postgres makes now of a statement that ran, for whatever values it has.

    It is made as a user with the rights that the statement ran with, and nothing is run but what planning itself calls.
    Of several statements it is the one that took the most time. It is in the audit; who may only read is refused.
    """
    view = await call.view(cluster)
    if not call.sees_passwords(view):
        raise ApiError(403, "This token may only read, and statements show data.")
    spec = view.state.spec
    return Plan(data=await call.mpg.statement_plan(spec.id, statement, database=database, user=user, org=spec.org))
