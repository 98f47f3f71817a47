"""What this project adds to Fly's interface, in the same style: operations."""

from starter.api.own.operations import router

__all__ = ["router"]
