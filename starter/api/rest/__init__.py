"""REST under ``/api/v1``: what Fly's client speaks up to v0.5.14, and parts of newer ones still do."""

from fastapi import APIRouter

from starter.api.rest import attachments, backups, clusters, databases, organizations, users

router = APIRouter(prefix="/api/v1")
for module in (organizations, clusters, users, databases, backups, attachments):
    router.include_router(module.router)
