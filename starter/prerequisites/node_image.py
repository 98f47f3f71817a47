"""The node image: built once from a Debian image, or from a root filesystem where no registry answers."""

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from typing import IO, Any

from docker import DockerClient
from docker.errors import DockerException, ImageNotFound
from requests.exceptions import RequestException

from images.recipe import VERSION_LABEL, Recipe, build_context, recipe_for
from model.settings import POSTGIS_SUFFIX, Settings
from starter.prerequisites.command import CommandFailed
from starter.prerequisites.engine import PING_SECONDS, connect
from starter.prerequisites.lock import file_lock
from starter.prerequisites.paths import cache_dir
from starter.prerequisites.result import Missing, OnProgress
from starter.prerequisites.root_filesystem import bootstrap

DEFAULT_MAJOR = 17
REGISTRY_SECONDS = 20
"""How long a registry may be silent before it counts as absent."""
BUILD_SECONDS = 600

_BASE_REPOSITORY = "mpg-base"
_REMEDY = "Give this machine a registry or a Debian mirror that answers, or load an image with that name."


def check_image(settings: Settings, pg_major: int = DEFAULT_MAJOR, *, postgis: bool = False) -> str:
    """Return the name of the node image for *pg_major*, which is there and up to date.

    Args:
        settings: which engine, and what the image is called.
        pg_major: Postgres major version.
        postgis: the one with PostGIS, which has a tag of its own.

    Raises:
        Missing: it is not there, or its recipe has changed since.
    """
    tag = settings.node_image_for(pg_major, postgis=postgis)
    recipe = recipe_for(pg_major, postgis=postgis)
    remedy = f"Run: mpg doctor{' --postgis' if postgis else ''} --fix"
    try:
        with contextlib.closing(connect(settings)) as client:
            built = version_of(client, tag)
    except (DockerException, RequestException):
        raise Missing("The node image can't be looked up.", "Start the Docker engine first.") from None
    if built is None:
        raise Missing(f"There is no image {tag}.", remedy)
    if built != recipe.version:
        raise Missing(f"The image {tag} was built from another recipe.", remedy)
    return tag


def wants_postgis(settings: Settings) -> bool:
    """Tell whether this host is to have the image with PostGIS: it was asked for, or is there, outdated or not.

    Clusters here may run from one that is there, so an upgrade has to build it again. Without an engine that answers
    only what was asked for counts.
    """
    if settings.postgis:
        return True
    try:
        with contextlib.closing(connect(settings, timeout=PING_SECONDS)) as client:
            return version_of(client, settings.node_image_for(DEFAULT_MAJOR, postgis=True)) is not None
    except (DockerException, RequestException):
        return False


def ensure_image(
    settings: Settings, on_progress: OnProgress, pg_major: int = DEFAULT_MAJOR, *, postgis: bool = False
) -> str:
    """Build the node image for *pg_major*, *postgis* or not, unless it is there and up to date; return its name.

    Raises:
        InvalidInput: there is no recipe for that version.
        Missing: it could not be built.
    """
    recipe = recipe_for(pg_major, postgis=postgis)
    tag = settings.node_image_for(pg_major, postgis=postgis)
    lock = cache_dir() / f"node-image-{pg_major}{POSTGIS_SUFFIX if postgis else ''}.lock"
    with (
        file_lock(lock, on_wait=lambda: on_progress("another process is building it")),
        contextlib.closing(connect(settings, timeout=BUILD_SECONDS)) as client,
    ):
        with contextlib.suppress(Missing):
            return check_image(settings, pg_major, postgis=postgis)
        try:
            build_from_any_base(client, recipe, tag, settings, on_progress)
        except (DockerException, RequestException, CommandFailed) as error:
            raise Missing(f"The image {tag} could not be built: {_sentence(error)}.", _REMEDY) from error
        return tag


def build_from_any_base(
    client: DockerClient, recipe: Recipe, tag: str, settings: Settings, on_progress: OnProgress
) -> None:
    """Build *tag* on the nearest base there is; make a root filesystem only where no other way is left.

    Raises ``CommandFailed``, or an error of the engine's client.
    """
    base = _bootstrapped_base(recipe)
    if version_of(client, base) is None:
        smaller = _smaller_base(client, recipe, settings, on_progress)
        if smaller is not None:
            try:
                _build(client, recipe, tag, smaller, on_progress)
                return
            except CommandFailed as error:
                # The mirror did not answer from inside a container: this machine's apt still may.
                on_progress(f"not from {smaller}: {error}")
        bootstrap(client, base, recipe.suite, recipe.packages, on_progress)
    _build(client, recipe, tag, base, on_progress)


def _smaller_base(client: DockerClient, recipe: Recipe, settings: Settings, on_progress: OnProgress) -> str | None:
    """Return an image to which the build only has to add packages: the one below the plain image, or a registry's."""
    plain = _bootstrapped_base(recipe_for(recipe.pg_major))
    if recipe.extra_packages and version_of(client, plain) is not None:
        return plain
    return recipe.base_image if pull(settings, recipe.base_image, on_progress) else None


def version_of(client: DockerClient, tag: str) -> str | None:
    """Return the version label of *tag*, empty for an image without one, None where there is no such image."""
    try:
        labels = client.images.get(tag).labels
    except ImageNotFound:
        return None
    return str(labels.get(VERSION_LABEL, ""))


def pull(settings: Settings, image: str, on_progress: OnProgress) -> bool:
    """Fetch *image*; tell whether a registry had it. Fails fast, because there is another way."""
    on_progress(f"asking the registry for {image}")
    repository, _, tag = image.partition(":")
    try:
        with contextlib.closing(connect(settings, timeout=REGISTRY_SECONDS)) as client:
            api: Any = client.api  # its stubs leave this call's answer untyped
            _follow(api.pull(repository, tag=tag, stream=True, decode=True), on_progress)
    except (DockerException, RequestException, CommandFailed):
        on_progress("no registry answers")
        return False
    return True


def _build(client: DockerClient, recipe: Recipe, tag: str, base: str, on_progress: OnProgress) -> None:
    on_progress(f"building {tag} from {base}")
    previous = client.images.list(name=tag)
    arguments = {"BASE": base, "PG_MAJOR": str(recipe.pg_major), "EXTRA_PACKAGES": " ".join(recipe.extra_packages)}
    build_image(client, build_context(), tag, arguments=arguments, version=recipe.version, on_progress=on_progress)
    for image in previous:
        with contextlib.suppress(DockerException):  # containers may still run from it
            client.images.remove(str(image.id))


def build_image(
    client: DockerClient,
    context: IO[bytes],
    tag: str,
    *,
    arguments: Mapping[str, str],
    version: str,
    on_progress: OnProgress,
    dockerfile: str = "Dockerfile",
) -> None:
    """Build *tag* from *context*, a tar stream, labelled with the *version* that :func:`version_of` returns.

    Raises :class:`CommandFailed`, or an error of the engine's client.
    """
    api: Any = client.api  # its stubs leave this call's answer untyped
    events: Iterable[Any] = api.build(
        fileobj=context,
        custom_context=True,
        dockerfile=dockerfile,
        tag=tag,
        buildargs=dict(arguments),
        labels={VERSION_LABEL: version},
        rm=True,
        forcerm=True,
        decode=True,
    )
    _follow(events, on_progress)


def _follow(events: Iterable[Any], on_progress: OnProgress) -> None:
    """Pass on the engine's progress with a build or a pull.

    Raises:
        CommandFailed: the stream ends with an error.
    """
    for event in events:
        if "error" in event:
            raise CommandFailed(str(event["error"]).strip().splitlines()[-1])
        text = str(event.get("stream") or "").strip()
        if text.startswith("Step "):
            on_progress(text.splitlines()[0][:100])


def _bootstrapped_base(recipe: Recipe) -> str:
    """Return the name of the base image with all packages: one for each suite and list of packages."""
    content = " ".join([recipe.suite, *recipe.packages])
    return f"{_BASE_REPOSITORY}:{recipe.suite}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def _sentence(error: Exception) -> str:
    return str(error).strip().rstrip(".").splitlines()[-1]
