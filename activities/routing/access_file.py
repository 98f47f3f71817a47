"""Who may come in, and how, as the endpoint's container has it: there it is found by an adoption."""

from pydantic import ValidationError

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import File
from model.rebuilding import AccessPart

ACCESS_FILE = "/etc/mpg/access.json"


async def read_access(docker: DockerEngine, container: str) -> AccessPart | None:
    """Return what was changed since the endpoint of *container* was made; None if nothing, or it is not of our form."""
    found = await docker.get_file(container, ACCESS_FILE)
    try:
        return None if found is None else AccessPart.model_validate_json(found)
    except ValidationError:
        return None


async def write_access(docker: DockerEngine, container: str, access: AccessPart) -> None:
    """Keep *access*. Raises :class:`NotFound` where the endpoint is gone."""
    await docker.put_files(container, {ACCESS_FILE: File(content=access.model_dump_json().encode())})
