"""What this project adds to Fly's interface: operations, events, metrics, statements' plans, webhooks, the audit."""

from fastapi import APIRouter

from starter.api.own import audit, events, metrics, operations, queries, reading, starting, webhooks

router = APIRouter()
for module in (events, starting, operations, reading, metrics, queries, webhooks, audit):
    router.include_router(module.router)
