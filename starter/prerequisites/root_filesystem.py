"""A base image without a registry: a root filesystem of Debian, made by this machine's apt."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docker import DockerClient

from starter.prerequisites.command import CommandFailed, apt_install, can_install_packages, run
from starter.prerequisites.paths import cache_dir
from starter.prerequisites.result import OnProgress

BOOTSTRAP_SECONDS = 600


def bootstrap(client: DockerClient, image: str, suite: str, packages: Sequence[str], on_progress: OnProgress) -> None:
    """Make a root filesystem of Debian *suite* with *packages*, and import it as *image*.

    Raises:
        CommandFailed: this machine cannot, or a mirror does not answer.
    """
    if shutil.which("mmdebstrap") is None:
        if not can_install_packages():
            raise CommandFailed("mmdebstrap is not installed")
        on_progress("installing mmdebstrap")
        apt_install(["mmdebstrap"], on_progress)
    on_progress(f"making a root filesystem of Debian {suite}, one to two minutes")
    with tempfile.TemporaryDirectory(prefix="mpg-base-", dir=cache_dir()) as directory:
        tarball = Path(directory) / "rootfs.tar"
        run(_mmdebstrap(suite, packages, tarball), on_line=on_progress, timeout=BOOTSTRAP_SECONDS)
        on_progress("importing it")
        repository, _, tag = image.partition(":")
        api: Any = client.api
        answer = str(api.import_image_from_file(str(tarball), repository=repository, tag=tag))
        if '"error"' in answer:
            raise CommandFailed(answer[-200:])


def _mmdebstrap(suite: str, packages: Sequence[str], tarball: Path) -> list[str]:
    return [
        "mmdebstrap",
        "--variant=minbase",
        f"--include={','.join(packages)}",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        # The server package makes a database of its own, 40 MB that every layer above would carry.
        '--customize-hook=rm -rf "$1"/var/lib/postgresql/* "$1"/etc/postgresql/*',
        suite,
        str(tarball),
    ]
