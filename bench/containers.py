"""Containers as scripts make them: one call after the other, nothing checked that a failed call would not say."""

import io
import tarfile
from collections.abc import Mapping
from typing import Any

from activities.engine.docker_calls import create_arguments
from activities.engine.docker_types import ContainerSpec, File
from model.names import POSTGRES_ID


def make_container(docker: Any, container: ContainerSpec, files: Mapping[str, File], *, root: bool = False) -> None:
    """Make *container* with *files* in it and start it, as ``postgres`` unless *root*."""
    # As somebody would who writes a script: the root filesystem can be written, and takes files.
    config = create_arguments(container.model_copy(update={"read_only": False, "scratch": {}}), container.labels)
    if not root:
        config["User"] = f"{POSTGRES_ID}:{POSTGRES_ID}"
    docker.create_container_from_config(config, container.name)
    docker.put_archive(container.name, "/", tar_of(files))
    docker.start(container.name)


def tar_of(files: Mapping[str, File]) -> bytes:
    """Return *files* as the archive that Docker's API takes at ``/``."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path, file in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.uid, entry.gid = len(file.content), file.mode, file.uid, file.gid
            tar.addfile(entry, io.BytesIO(file.content))
    return stream.getvalue()
