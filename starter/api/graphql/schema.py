"""The schema, and where its fields come from. Names and types are Fly's."""

from collections.abc import Awaitable, Callable
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo, GraphQLSchema, build_schema

from model.errors import NotFound
from model.names import DEFAULT_ORG
from starter.api.call import Call
from starter.api.rest.organizations import numeric_id

_SDL = """
type Query {
  organization(id: ID, name: String, slug: String): Organization
  organizations(admin: Boolean, first: Int, last: Int, after: String, before: String): OrganizationConnection!
  platform: PlatformState!
  viewer: Principal!
}

type Organization {
  id: ID!
  internalNumericId: String!
  slug: String!
  rawSlug: String!
  name: String!
  type: OrganizationType!
  billable: Boolean!
  paidPlan: Boolean!
  addOnSsoLink: String
  provisionsBetaExtensions: Boolean!
  billingStatus: BillingStatus!
  viewerRole: String!
}

enum OrganizationType { PERSONAL SHARED }
enum BillingStatus { CURRENT PAST_DUE SOURCE_REQUIRED TRIAL_ACTIVE TRIAL_ENDED DELINQUENT DEACTIVATED }

type OrganizationConnection { nodes: [Organization!]! totalCount: Int! }

type PlatformState { requestRegion: String regions: [Region!]! }

type Region {
  name: String!
  code: String!
  latitude: Float
  longitude: Float
  gatewayAvailable: Boolean!
  requiresPaidPlan: Boolean!
  deprecated: Boolean!
}

interface Principal { id: ID! email: String name: String }
type User implements Principal { id: ID! email: String name: String }
"""

Info = GraphQLResolveInfo[Call]


def make_schema() -> GraphQLSchema:
    """Return the schema with its resolvers; the context of an execution is the request's :class:`Call`."""
    schema = build_schema(_SDL)
    resolvers: dict[str, Callable[..., Awaitable[Any]]] = {
        "organization": _organization,
        "organizations": _organizations,
        "platform": _platform,
        "viewer": _viewer,
    }
    assert schema.query_type is not None
    for name, resolver in resolvers.items():
        schema.query_type.fields[name].resolve = resolver
    return schema


async def _organization(
    _root: object, info: Info, slug: str | None = None, name: str | None = None, id: str | None = None
) -> dict[str, Any]:
    asked = slug or name or id
    if asked is None:
        raise GraphQLError("Say which organization: its slug.")
    try:
        return _organization_fields(await _call(info).organization(asked))
    except NotFound as error:
        # Not a null alone: the client takes that for an organization.
        raise GraphQLError(error.message, extensions={"code": "NOT_FOUND"}) from None


async def _organizations(_root: object, info: Info, **_paging: object) -> dict[str, Any]:
    nodes = [_organization_fields(slug) for slug in await _call(info).organizations()]
    return {"nodes": nodes, "totalCount": len(nodes)}


async def _platform(_root: object, info: Info) -> dict[str, Any]:
    code = _call(info).settings.region
    region = {
        "name": code,
        "code": code,
        "latitude": 0.0,
        "longitude": 0.0,
        "gatewayAvailable": False,
        "requiresPaidPlan": False,
        "deprecated": False,
    }
    return {"requestRegion": code, "regions": [region]}


async def _viewer(_root: object, info: Info) -> dict[str, Any]:
    # The holder of a token: there are no accounts of people here.
    token_id = _call(info).caller.grants[0].token_id
    return {"__typename": "User", "id": token_id, "email": f"{token_id[:12]}@mpg.local", "name": token_id[:12]}


def _organization_fields(slug: str) -> dict[str, Any]:
    return {
        "id": slug,
        "internalNumericId": str(numeric_id(slug)),
        "slug": slug,
        "rawSlug": slug,
        "name": slug,
        "type": "PERSONAL" if slug == DEFAULT_ORG else "SHARED",
        "billable": True,
        "paidPlan": True,
        "addOnSsoLink": None,
        "provisionsBetaExtensions": False,
        "billingStatus": "CURRENT",
        "viewerRole": "admin",
    }


def _call(info: Info) -> Call:
    return info.context
