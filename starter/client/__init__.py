"""What other services import: :class:`MpgClient`, and what it is made of.

Nothing here imports the stack, the command line or anything that touches containers.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starter.client.mpg_client import MpgClient

__all__ = ["MpgClient"]


def __getattr__(name: str) -> Any:
    """Import the client when it is first asked for: commands that need none start in half the time."""
    if name != "MpgClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from starter.client.mpg_client import MpgClient

    return MpgClient
