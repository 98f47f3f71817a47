"""What a node image is built from: the Debian suite of each Postgres major version, the packages, the build context."""

import hashlib
import io
import tarfile
from importlib.resources import files
from importlib.resources.abc import Traversable

from model.base import Record
from model.errors import InvalidInput

SUITES: dict[int, str] = {17: "trixie", 15: "bookworm"}
"""Debian suite that ships each Postgres major version."""

VERSION_LABEL = "mpg.image.version"
"""Label on the image that holds :meth:`Recipe.version`."""

_DOCKERFILE = "Dockerfile"
_PACKAGES = "packages.txt"
_CONTEXT = (_DOCKERFILE, _PACKAGES, "entrypoints")


class Recipe(Record):
    """One image to build."""

    pg_major: int
    """Postgres major version."""
    suite: str
    """Debian suite."""
    postgis: bool = False
    """Whether PostGIS is built in."""

    @property
    def base_image(self) -> str:
        """Return the registry image the build starts from."""
        return f"debian:{self.suite}-slim"

    @property
    def extra_packages(self) -> list[str]:
        """Return Debian packages beyond ``packages.txt``."""
        postgis = f"postgresql-{self.pg_major}-postgis-3"
        return [postgis, f"{postgis}-scripts"] if self.postgis else []

    @property
    def packages(self) -> list[str]:
        """Return every Debian package of the image."""
        lines = (line.partition("#")[0].strip() for line in _file(_PACKAGES).read_text().splitlines())
        return [line.replace("MAJOR", str(self.pg_major)) for line in lines if line] + self.extra_packages

    @property
    def version(self) -> str:
        """Return a hash over everything that shapes the image: another hash means that it has to be built again."""
        digest = hashlib.sha256(self.model_dump_json().encode())
        for name, content in sorted(_context_files()):
            digest.update(name.encode() + b"\0" + content + b"\0")
        return digest.hexdigest()[:16]


def recipe_for(pg_major: int, *, postgis: bool = False) -> Recipe:
    """Return the recipe for *pg_major*.

    Raises:
        InvalidInput: no Debian suite ships that version.
    """
    if pg_major not in SUITES:
        offered = " or ".join(str(major) for major in sorted(SUITES))
        raise InvalidInput(f"There is no image recipe for Postgres {pg_major}.", remedy=f"Choose {offered}.")
    return Recipe(pg_major=pg_major, suite=SUITES[pg_major], postgis=postgis)


def build_context() -> io.BytesIO:
    """Return the build context as a tar stream, for the Docker API's build call."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in _context_files():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755 if "/" in name else 0o644
            tar.addfile(entry, io.BytesIO(content))
    stream.seek(0)
    return stream


def _file(name: str) -> Traversable:
    return files("images").joinpath(name)


def _context_files() -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for name in _CONTEXT:
        entry = _file(name)
        if entry.is_file():
            found.append((name, entry.read_bytes()))
        else:
            found += [(f"{name}/{child.name}", child.read_bytes()) for child in entry.iterdir() if child.is_file()]
    return found
