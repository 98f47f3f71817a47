"""Regions: the one that this stack makes clusters in."""

from fastapi import APIRouter

from model.base import Record
from starter.api.call import Asked

router = APIRouter(tags=["machines: regions"])


class Region(Record):
    """Where a cluster can be made. There is no map here: latitude and longitude are 0."""

    code: str
    name: str
    latitude: float = 0.0
    longitude: float = 0.0
    gateway_available: bool = False
    requires_paid_plan: bool = False
    deprecated: bool = False
    geo_region: str = ""
    capacity: int = 0
    mpg_available: bool = True


class Regions(Record):
    """All regions, and the one that is nearest to the caller."""

    regions: list[Region]
    nearest: str


@router.get("/platform/regions")
async def list_regions(call: Asked) -> Regions:
    """List the regions."""
    code = call.settings.region
    return Regions(regions=[Region(code=code, name=code)], nearest=code)
