"""GraphQL at ``/graphql``: the few queries that Fly's client asks before its commands, read only."""

from starter.api.graphql.route import router

__all__ = ["router"]
