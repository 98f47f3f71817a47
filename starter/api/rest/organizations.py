"""Organizations and regions."""

from zlib import crc32

from fastapi import APIRouter

from model.base import Record
from model.names import DEFAULT_ORG
from starter.api.call import Asked

router = APIRouter(tags=["organizations"])


class OrganizationDetail(Record):
    """An organization as Fly's client wants to know it before it makes anything in one."""

    id: str
    internal_numeric_id: int
    slug: str
    raw_slug: str
    name: str
    paid_plan: bool = True
    personal: bool
    billable: bool = True
    billing_status: str = "CURRENT"
    provisions_beta_extensions: bool = False
    remote_builder_image: str = ""


class OneOrganization(Record):
    """The answer about one."""

    organization: OrganizationDetail


class Organizations(Record):
    """The answer about all."""

    organizations: list[OrganizationDetail]


class Region(Record):
    """Where a cluster can be made."""

    code: str
    available: bool = True


class Regions(Record):
    """The answer about regions."""

    data: list[Region]


def numeric_id(slug: str) -> int:
    """Return a number for an organization, which some of Fly's objects want: the same one always."""
    return crc32(slug.encode()) & 0x7FFFFFFF


def detail(slug: str) -> OrganizationDetail:
    """Return the organization called *slug*."""
    return OrganizationDetail(
        id=slug,
        internal_numeric_id=numeric_id(slug),
        slug=slug,
        raw_slug=slug,
        name=slug,
        personal=slug == DEFAULT_ORG,
    )


@router.get("/organizations")
async def list_organizations(call: Asked, admin: bool = False) -> Organizations:
    """List the organizations that the token covers."""
    return Organizations(organizations=[detail(slug) for slug in await call.organizations()])


@router.get("/organizations/{org}")
async def show_organization(org: str, call: Asked) -> OneOrganization:
    """Show an organization."""
    return OneOrganization(organization=detail(await call.organization(org)))


@router.get("/organizations/{org}/postgresv2/regions")
async def list_regions(org: str, call: Asked) -> Regions:
    """List the regions in which a cluster can be made."""
    await call.organization(org)
    return Regions(data=[Region(code=call.settings.region)])
