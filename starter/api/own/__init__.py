"""What this project adds to Fly's interface, in the same style: operations, and live events."""

from fastapi import APIRouter

from starter.api.own import events, operations

router = APIRouter()
for module in (events, operations):
    router.include_router(module.router)
