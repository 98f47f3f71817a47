"""The Machines API under ``/v1``: the same operations as in ``rest``, by the names and codes of Fly's newer clients."""

from fastapi import APIRouter

from starter.api.machines import backups, clusters, databases, regions, users

router = APIRouter(prefix="/v1")
for module in (regions, clusters, users, databases, backups):
    router.include_router(module.router)
