"""What this project adds to Fly's interface, in the same style: operations, live events, the audit."""

from fastapi import APIRouter

from starter.api.own import audit, events, operations

router = APIRouter()
for module in (events, operations, audit):
    router.include_router(module.router)
