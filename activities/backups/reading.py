"""Which backups are being read: the containers of restores and drills say so, and expiry leaves those alone."""

from activities.engine.docker_engine import DockerEngine

READS_LABEL = "mpg.reads"
"""On a container that restores: the cluster whose repository it reads."""
SET_LABEL = "mpg.backup"
"""On the same: the backup."""


async def backups_being_read(docker: DockerEngine, cluster_id: str) -> frozenset[str]:
    """Return the ids of the backups of a cluster that containers of this host read, or are about to."""
    found = await docker.list_containers({READS_LABEL: cluster_id})
    return frozenset(each.labels[SET_LABEL] for each in found if SET_LABEL in each.labels)
