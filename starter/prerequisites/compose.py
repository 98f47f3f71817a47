"""Docker compose: the engine's plugin, or the program of old that Debian has."""

import shutil
import subprocess

from starter.prerequisites.result import Missing

ASK_SECONDS = 20


def find_compose() -> list[str]:
    """Return the command. Raises :class:`Missing` where this machine has neither."""
    if shutil.which("docker") is not None:
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=ASK_SECONDS)
        if asked.returncode == 0:
            return ["docker", "compose"]
    if shutil.which("docker-compose") is not None:
        return ["docker-compose"]
    remedy = "Install the package docker-compose-plugin, or Debian's docker-compose."
    raise Missing("There is no Docker compose.", remedy)
