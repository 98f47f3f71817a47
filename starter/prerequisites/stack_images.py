"""The production stack's images, where no registry answers: `make stack-images`. Prints the variables that name them.

Programs of Temporal are built with Go, PostgreSQL is the node image's, Python and Prometheus are Debian's.
"""

import contextlib
import hashlib
import sys
import tarfile
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path

from docker import DockerClient
from docker.errors import DockerException
from requests.exceptions import RequestException

from images.requirements import needed
from model.settings import Settings, load_settings
from starter.prerequisites.command import CommandFailed, run
from starter.prerequisites.engine import connect
from starter.prerequisites.go_programs import install
from starter.prerequisites.lock import file_lock
from starter.prerequisites.node_image import BUILD_SECONDS, build_image, ensure_image, version_of
from starter.prerequisites.paths import cache_dir
from starter.prerequisites.prometheus_binary import PROGRAMS as PROMETHEUS_PROGRAMS
from starter.prerequisites.prometheus_binary import ensure_prometheus
from starter.prerequisites.result import Missing, OnProgress
from starter.prerequisites.root_filesystem import bootstrap

SERVER, UI = "v1.29.1", "v2.42.1"
PROGRAMS = {
    "temporal-server": f"go.temporal.io/server/cmd/server@{SERVER}",
    "temporal-sql-tool": f"go.temporal.io/server/cmd/tools/sql@{SERVER}",
    "temporal-ui-server": f"github.com/temporalio/ui-server/v2/cmd/server@{UI}",
}
"""Each program, and the Go package that it is."""
WHEELS_SECONDS = 600
REPOSITORY = Path(__file__).resolve().parent.parent.parent
STACK = REPOSITORY / "images" / "stack"

_PYTHON_SUITE, _PYTHON_PACKAGES = "bookworm", ("python3", "python3-venv", "ca-certificates")
_PYTHON_IMAGE = f"mpg-python:{_PYTHON_SUITE}"
_SOURCES = ("model", "workflows", "activities", "starter", "images", "deploy")
_FILES = ("worker.py", "constraints.txt", "pyproject.toml", "docker-compose.yml")

Files = Mapping[str, Path]
"""A build's context: the name of each file in it, and where it is."""


class StackImages:
    """Builds what is not there yet; each image says by a label what it was built from."""

    def __init__(self, settings: Settings, client: DockerClient, on_progress: OnProgress) -> None:
        """Build with *client*, and say through *on_progress* how it goes."""
        self._settings = settings
        self._client = client
        self._say = on_progress

    def build(self) -> dict[str, str]:
        """Return each variable of docker-compose.yml that names an image, and the image, which is there.

        Raises:
            Missing: the node image, or Prometheus, could not be had.
            CommandFailed: a program or a root filesystem could not be made, or a build failed.
        """
        node = ensure_image(self._settings, self._say)
        if version_of(self._client, _PYTHON_IMAGE) is None:
            bootstrap(self._client, _PYTHON_IMAGE, _PYTHON_SUITE, _PYTHON_PACKAGES, self._say)
        programs = self._programs()
        temporal = self._image("temporal", _PYTHON_IMAGE, _pick(programs, "temporal-server", "temporal-sql-tool"))
        return {
            "MPG_STACK_PYTHON_IMAGE": _PYTHON_IMAGE,
            "MPG_STACK_CONTROL_IMAGE": self._control(),
            "MPG_STACK_POSTGRES_IMAGE": self._image("postgres", node),
            "MPG_STACK_TEMPORAL_IMAGE": temporal,
            "MPG_STACK_TEMPORAL_TOOLS_IMAGE": temporal,
            "MPG_STACK_TEMPORAL_UI_IMAGE": self._image(
                "temporal-ui", _PYTHON_IMAGE, _pick(programs, "temporal-ui-server")
            ),
            "MPG_STACK_PROMETHEUS_IMAGE": self._image("prometheus", _PYTHON_IMAGE, self._prometheus()),
        }

    def _programs(self) -> dict[str, Path]:
        directory = cache_dir() / "bin"
        directory.mkdir(parents=True, exist_ok=True)
        found = {name: directory / f"{name}-{package.rpartition('@')[2]}" for name, package in PROGRAMS.items()}
        for name, path in found.items():
            if not path.exists():
                self._go(PROGRAMS[name], path)
        return found

    def _prometheus(self) -> dict[str, Path]:
        found = self._settings.model_copy(update={"prometheus_binary": None})
        program = Path(ensure_prometheus(found, self._say))
        return {name: program.with_name(name) for name in PROMETHEUS_PROGRAMS}

    def _go(self, package: str, path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as fresh:
            install(package, Path(fresh), self._say, told=f"building {package} with Go, about 2 minutes once")
            next(Path(fresh).iterdir()).rename(path)

    def _control(self) -> str:
        """Build the image of worker and API from this checkout, its packages fetched by this machine's pip."""
        files = {name: REPOSITORY / name for name in _FILES}
        for name in _SOURCES:
            files |= {
                str(each.relative_to(REPOSITORY)): each
                for each in (REPOSITORY / name).rglob("*")
                if each.is_file() and "__pycache__" not in each.parts
            }
        return self._made("mpg-control", files, "images/stack/control/Dockerfile", _PYTHON_IMAGE, wheels=True)

    def _image(self, name: str, base: str, programs: Files | None = None) -> str:
        files = {each.name: each for each in (STACK / name).iterdir()}
        return self._made(f"mpg-stack-{name}", files | dict(programs or {}), "Dockerfile", base)

    def _made(self, name: str, files: Files, dockerfile: str, base: str, *, wheels: bool = False) -> str:
        version = _digest(files, str(self._client.images.get(base).id))
        image = f"{name}:{version}"
        if version_of(self._client, image) is None:
            self._say(f"building {image}")
            with contextlib.ExitStack() as stack:
                more = stack.enter_context(_wheels(self._say)) if wheels else {}
                self._build(image, {**files, **more}, dockerfile, base)
        return image

    def _build(self, image: str, files: Files, dockerfile: str, base: str) -> None:
        with tempfile.TemporaryFile() as context:
            with tarfile.open(fileobj=context, mode="w") as tar:
                for name, path in sorted(files.items()):
                    tar.add(path, name, filter=_for_anyone)
            context.seek(0)
            build_image(
                self._client,
                context,
                image,
                arguments={"BASE": base},
                version=image.rpartition(":")[2],
                on_progress=self._say,
                dockerfile=dockerfile,
            )


def _pick(files: Files, *names: str) -> dict[str, Path]:
    return {name: files[name] for name in names}


def _digest(files: Files, base: str) -> str:
    digest = hashlib.sha256(base.encode())
    for name, path in sorted(files.items()):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _for_anyone(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.mode = 0o755 if entry.mode & 0o100 or entry.isdir() else 0o644
    return entry


@contextlib.contextmanager
def _wheels(on_progress: OnProgress) -> Generator[dict[str, Path]]:
    """Lend the packages that the program needs, as pip of this machine fetches them, for Debian's Python."""
    with tempfile.TemporaryDirectory(prefix="mpg-wheels-", dir=cache_dir()) as directory:
        wanted, wheels = Path(directory) / "requirements.txt", Path(directory) / "wheels"
        wanted.write_text(needed(*((REPOSITORY / name).read_text() for name in ("constraints.txt", "pyproject.toml"))))
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--only-binary=:all:"]
        for_debian = ["--python-version=3.11", "--platform=manylinux_2_28_x86_64", "--platform=manylinux2014_x86_64"]
        run(
            [*fetch, *for_debian, f"--dest={wheels}", f"--requirement={wanted}"],
            on_line=on_progress,
            timeout=WHEELS_SECONDS,
        )
        yield {f"wheels/{each.name}": each for each in wheels.iterdir()}


def main() -> int:
    """Build, print the variables for docker-compose.yml, return the exit code."""
    settings = load_settings()
    try:
        with (
            file_lock(cache_dir() / "stack-images.lock", on_wait=lambda: _say("another process is building them")),
            contextlib.closing(connect(settings, timeout=BUILD_SECONDS)) as client,
        ):
            images = StackImages(settings, client, _say).build()
    except (CommandFailed, Missing, DockerException, RequestException) as error:
        _say(f"The stack's images could not be built: {error}")
        return 1
    print("\n".join(f"{name}={image}" for name, image in images.items()))
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
