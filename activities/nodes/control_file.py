"""Reading a node's pg_control, from the volume on this machine where it is here, else through the engine."""

from pathlib import Path

from activities.engine.docker_engine import DockerEngine
from model import pg_control
from model.errors import NotFound
from model.names import PGDATA, VOLUME_PATH, node_container, node_volume
from model.pg_control import ControlData


class ControlFile:
    """One node's control file."""

    def __init__(self, docker: DockerEngine, cluster_id: str, node: str, local: Path | None) -> None:
        """Read *local*, or through *docker* where it is None. :func:`locate` makes these."""
        self._docker = docker
        self._container = node_container(cluster_id, node)
        self._local = local

    @property
    def at_hand(self) -> bool:
        """Whether reading it takes microseconds, so that it may be asked each millisecond."""
        return self._local is not None

    async def read(self) -> ControlData:
        """Return what it says now. Raises :class:`NotFound` when there is none, ``ValueError`` if unknown."""
        if self._local is not None:
            return pg_control.parse(self._local.read_bytes())  # 8 kB that the page cache has
        content = await self._docker.get_file(self._container, f"{PGDATA}/{pg_control.PATH}")
        if content is None:
            raise NotFound(f"Container {self._container} has no control file: its data directory is gone.")
        return pg_control.parse(content)


async def locate(docker: DockerEngine, cluster_id: str, node: str) -> ControlFile:
    """Return the control file of *node*, read from this machine's disk if that shows the same file."""
    through_engine = ControlFile(docker, cluster_id, node, None)
    root = (await docker.host()).root_dir
    local = Path(root, "volumes", node_volume(cluster_id, node), "_data", Path(PGDATA).relative_to(VOLUME_PATH))
    try:
        here = pg_control.parse((local / pg_control.PATH).read_bytes())
    except (OSError, ValueError):
        return through_engine
    # The engine may be on another machine that has the same paths: the identifier is unique to a data directory.
    same = here.system_identifier == (await through_engine.read()).system_identifier
    return ControlFile(docker, cluster_id, node, local / pg_control.PATH) if same else through_engine
