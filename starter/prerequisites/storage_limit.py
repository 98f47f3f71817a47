"""Whether the engine's file system can hold a volume to a size: found out by asking the engine for such a volume.

What it lacks is said and fails nothing. No node's volume is limited even where it can be: the engine sets a limit when
it makes a volume, and again at each start of a container, so that storage could not grow (docs/storage.md).
"""

import contextlib
import secrets

from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from model.settings import Settings
from starter.prerequisites.engine import PING_SECONDS, connect
from starter.prerequisites.result import OnProgress

SIZE = "64m"
"""Of the volume that is asked for, and removed again."""


def check_storage_limit(settings: Settings) -> str:
    """Return what the engine says of a volume with a size."""
    trial = f"mpg-storage-limit-trial-{secrets.token_hex(4)}"
    try:
        with contextlib.closing(connect(settings, timeout=PING_SECONDS)) as client:
            client.volumes.create(trial, driver_opts={"size": SIZE}).remove()
    except APIError as error:
        return f"none: {error.explanation or error}; a full cluster becomes read-only, the disk itself is not divided"
    except (DockerException, RequestException):
        return "not known, the engine does not answer"
    return "the engine could hold a volume to a size; none is held, because it could not grow then"


def ensure_storage_limit(settings: Settings, on_progress: OnProgress) -> str:
    """Return the same: a file system is not changed from here."""
    return check_storage_limit(settings)
