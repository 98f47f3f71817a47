"""The Docker engine, asynchronous and typed: a thin layer over docker-py's low-level client, which blocks."""

import asyncio
import contextlib
import io
import tarfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePosixPath
from threading import Lock
from typing import Any, TypeVar

import docker
import requests
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env
from urllib3.exceptions import ReadTimeoutError

from activities.engine.docker_calls import create_arguments, network_arguments
from activities.engine.docker_types import (
    PUT_BELOW,
    ContainerInfo,
    ContainerSpec,
    ContainerSummary,
    ContainerUsage,
    EngineError,
    File,
    HostInfo,
    NetworkInfo,
)
from activities.engine.exec_session import ExecSession
from model.errors import AlreadyExists, HostFull, MpgError, NotFound, NotYet, StackDown
from model.names import LABEL_MANAGED

T = TypeVar("T")

THREADS = 16
"""Calls under way at once; the client keeps a connection for each."""
CALL_TIMEOUT_S = 60
CANCELLED_CALL_S = 3.0
"""How long a call whose caller was cancelled is waited for there; :meth:`DockerEngine.settled` waits for its end."""
SIGNAL_AGAIN_S = 1.0
"""How long after a signal that asked a container to end it is sent again."""


class DockerEngine:
    """One engine. Methods raise :class:`StackDown` when it does not answer and :class:`EngineError` when it refuses."""

    def __init__(
        self,
        base_url: str | None = None,
        *,
        extra_labels: Mapping[str, str] | None = None,
        threads: int = THREADS,
        timeout_s: int = CALL_TIMEOUT_S,
    ) -> None:
        """Speak to *base_url* (None: ``DOCKER_HOST`` or the local socket); connects with the first call.

        *extra_labels* go on everything that is made, beside the caller's labels and ``mpg.managed``. So many *threads*
        call at once, and wait for an answer for *timeout_s* seconds.
        """
        self._base_url = base_url
        self._labels = {LABEL_MANAGED: "true", **(extra_labels or {})}
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="docker")
        self._at_once, self._timeout_s = threads, timeout_s
        self._client: Any = None
        self._connecting = Lock()
        self._abandoned: set[asyncio.Future[Any]] = set()
        """Calls that nobody waits for any more and that go on all the same."""

    # --- containers

    async def inspect(self, container: str) -> ContainerInfo | None:
        """Return the *container* (a name or an id), or None when there is none."""
        answer = await self._call_or_none(lambda client: client.inspect_container(container))
        return answer and ContainerInfo.parse(answer)

    async def usage(self, container: str) -> ContainerUsage | None:
        """Return what the *container* uses; None where there is none, or it does not run."""
        answer = await self._call_or_none(lambda client: client.stats(container, stream=False, one_shot=True))
        return answer and ContainerUsage.parse(answer)

    async def list_containers(self, labels: Mapping[str, str]) -> list[ContainerSummary]:
        """Return the containers that carry *labels*, those that do not run included."""
        found = await self._call(lambda client: client.containers(all=True, filters={"label": _filters(labels)}))
        return [
            ContainerSummary(
                id=each["Id"],
                name=each["Names"][0].removeprefix("/") if each["Names"] else each["Id"],
                running=each["State"] == "running",
                labels=each["Labels"] or {},
                created_at=datetime.fromtimestamp(each["Created"], UTC),
            )
            for each in found
        ]

    async def create(self, spec: ContainerSpec) -> str:
        """Make a container, not started, and return its id. Raises :class:`AlreadyExists` when the name is taken."""
        arguments = create_arguments(spec, {**self._labels, **spec.labels})
        answer = await self._call(lambda client: client.create_container_from_config(arguments, spec.name))
        return answer["Id"]

    async def start(self, container: str) -> None:
        """Start the *container*; nothing happens when it runs."""
        await self._call(lambda client: client.start(container))

    async def limit_cpus(self, container: str, cpus: float) -> None:
        """Let the *container* have no more than so many processors from now on; one that is gone is let be."""

        def update(client: Any) -> None:
            # Of what a container is made with, the library changes the older settings only, which exclude this one.
            url = client._url("/containers/{0}/update", container)
            client._raise_for_status(client._post_json(url, data={"NanoCpus": int(cpus * 10**9)}))

        await self._call_or_none(update)

    async def kill(self, container: str, signal: str = "SIGKILL") -> bool:
        """Send *signal* to the container's first process; False when the container does not run."""
        try:
            await self._call(lambda client: client.kill(container, signal))
        except EngineError as error:
            if error.status == 409 or "is not running" in error.explanation:
                return False
            raise
        except (NotFound, AlreadyExists):
            return False
        return True

    async def wait(self, container: str, timeout_s: float) -> int:
        """Wait until the *container* does not run and return its exit code.

        Raises:
            NotYet: it still runs after *timeout_s* seconds.
        """
        try:
            answer = await self._in_thread(lambda client: client.wait(container, timeout=timeout_s))
        except TimeoutError:
            raise NotYet(f"Container {container} still runs after {timeout_s:g} s.") from None
        return answer["StatusCode"]

    async def stop(self, container: str, *, signal: str = "SIGINT", timeout_s: float = 60) -> int | None:
        """Send *signal*, wait for the exit and return its code; None when the container did not run.

        Never kills: the exit is the proof of a clean end. Raises :class:`NotYet` after *timeout_s* seconds.
        """
        if not await self.kill(container, signal):
            return None
        waiting = asyncio.create_task(self.wait(container, timeout_s))
        try:
            while not (await asyncio.wait([waiting], timeout=SIGNAL_AGAIN_S))[0]:
                # The shell that is about to become Postgres does not hear it. Postgres that ends ignores the next one.
                await self.kill(container, signal)
            return waiting.result()
        finally:
            waiting.cancel()

    async def remove(self, container: str, *, force: bool = False) -> None:
        """Remove the *container*, with *force* a running one too; nothing happens when there is none."""
        with contextlib.suppress(NotFound):
            try:
                # With its volumes that have no name; those that have one stay.
                await self._call(lambda client: client.remove_container(container, force=force, v=True))
            except (EngineError, AlreadyExists) as error:
                if "is already in progress" not in str(error):
                    raise

    async def logs(self, container: str, lines: int = 20, *, since: datetime | None = None) -> str:
        """Return the last *lines* that the *container* wrote, *since* then; empty when there is none."""
        bound = {} if since is None else {"since": since.timestamp()}
        answer = await self._call_or_none(lambda client: client.logs(container, tail=lines, **bound))
        return (answer or b"").decode(errors="replace").strip()

    async def put_files(self, container: str, files: Mapping[str, File]) -> None:
        """Write *files* into the *container*, running or not, directories included.

        *files* are by absolute path, below one of :data:`~activities.engine.docker_types.PUT_BELOW`.
        """
        for place in sorted({_place(path) for path in files}):
            archive = _tar({path: file for path, file in files.items() if _place(path) == place}, place)
            await self._call(partial(_put_archive, container, place, archive))

    async def get_file(self, container: str, path: str) -> bytes | None:
        """Return the content of the file at *path* in the *container*, running or not; None when there is none."""

        def read(client: Any) -> bytes:
            chunks, _ = client.get_archive(container, path)
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
                file = tar.extractfile(tar.next() or "")
                return file.read() if file else b""

        return await self._call_or_none(read)

    async def path_exists(self, container: str, path: str) -> bool:
        """Tell whether *path* is there in the *container*, running or not."""

        def ask(client: Any) -> bool:
            stream, _ = client.get_archive(container, path)
            stream.close()
            return True

        return bool(await self._call_or_none(ask))

    async def open_exec(self, container: str, command: tuple[str, ...]) -> ExecSession:
        """Start *command* inside the running *container* with its input and output attached."""

        def attach(client: Any) -> ExecSession:
            made = client.exec_create(container, list(command), stdin=True, stdout=True, stderr=True)
            return ExecSession(client.exec_start(made["Id"], socket=True))

        return await self._call(attach)

    async def start_exec(self, container: str, command: tuple[str, ...]) -> None:
        """Start *command*, as root, inside the running *container*; it goes on by itself."""

        def start(client: Any) -> None:
            made = client.exec_create(container, list(command), user="root")
            client.exec_start(made["Id"], detach=True)

        await self._call(start)

    # --- networks, volumes, the machine

    async def networks(self) -> list[NetworkInfo]:
        """Return every network of the engine, whoever made it."""
        return [NetworkInfo.parse(answer) for answer in await self._call(lambda client: client.networks())]

    async def inspect_network(self, name: str) -> NetworkInfo | None:
        """Return the network called *name*, or None."""
        answer = await self._call_or_none(lambda client: client.inspect_network(name))
        return answer and NetworkInfo.parse(answer)

    async def create_network(self, name: str, *, subnet: str, gateway: str, labels: Mapping[str, str]) -> None:
        """Make a bridge network. Raises :class:`EngineError` ("Pool overlaps …") when the subnet is in use."""
        arguments = network_arguments(name, subnet, gateway, {**self._labels, **labels})
        await self._call(lambda client: client.create_network(**arguments))

    async def connect(self, container: str, network: str, address: str) -> None:
        """Put the *container*, running or not, into *network* at *address*."""
        await self._call(lambda client: client.connect_container_to_network(container, network, ipv4_address=address))

    async def remove_network(self, name: str) -> None:
        """Remove a network; nothing happens when there is none."""
        await self._call_or_none(lambda client: client.remove_network(name))

    async def list_networks(self, labels: Mapping[str, str]) -> list[str]:
        """Return the names of networks that carry *labels*."""
        found = await self._call(lambda client: client.networks(filters={"label": _filters(labels)}))
        return [network["Name"] for network in found]

    async def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """Make a volume, unless there is one of that name."""
        await self._call(lambda client: client.create_volume(name, labels={**self._labels, **labels}))

    async def remove_volume(self, name: str) -> None:
        """Remove a volume with its data; nothing happens when there is none."""
        await self._call_or_none(lambda client: client.remove_volume(name))

    async def list_volumes(self, labels: Mapping[str, str]) -> list[str]:
        """Return the names of volumes that carry *labels*."""
        found = await self._call(lambda client: client.volumes(filters={"label": _filters(labels)}))
        volumes: list[dict[str, str]] = found["Volumes"] or []
        return [volume["Name"] for volume in volumes]

    async def image_tags(self, repository: str) -> list[str]:
        """Return the tags of *repository* that the engine has."""
        found = await self._call(lambda client: client.images(name=repository))
        images: list[dict[str, list[str] | None]] = list(found)
        tags = [tag for image in images for tag in image["RepoTags"] or []]
        return sorted(tag.rpartition(":")[2] for tag in tags)

    async def host(self) -> HostInfo:
        """Return what the engine's machine has."""
        info = await self._call(lambda client: client.info())
        return HostInfo(cpus=info["NCPU"], memory_mb=info["MemTotal"] // 1024**2, root_dir=info["DockerRootDir"])

    async def close(self) -> None:
        """Close the connections; calls still under way end first."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._client is not None:
            self._client.close()

    # --- how a call is made

    async def settled(self) -> None:
        """Return when no call is under way whose caller was cancelled: nothing is made any more that nobody expects."""
        while self._abandoned:
            await asyncio.wait(self._abandoned)

    async def _call(self, call: Callable[[Any], T]) -> T:
        running = self._threads.submit(self._run, call)
        calling = asyncio.wrap_future(running)
        try:
            return await asyncio.shield(calling)
        except asyncio.CancelledError:
            if not running.cancel():
                # The engine does it all the same: what undoes it must not come before.
                self._abandoned.add(calling)
                calling.add_done_callback(self._forget)
                await asyncio.wait([calling], timeout=CANCELLED_CALL_S)
            raise
        except TimeoutError:
            raise StackDown(
                f"The Docker engine did not answer within {self._timeout_s} s.", remedy="See dockerd's log."
            ) from None

    def _forget(self, calling: "asyncio.Future[Any]") -> None:
        self._abandoned.discard(calling)
        if not calling.cancelled():
            calling.exception()  # nobody else is told of it

    async def _in_thread(self, call: Callable[[Any], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, call)

    async def _call_or_none(self, call: Callable[[Any], T]) -> T | None:
        try:
            return await self._call(call)
        except NotFound:
            return None

    def _run(self, call: Callable[[Any], T]) -> T:
        try:
            return call(self._connected())
        except APIError as error:
            raise _refused(error) from None
        except (DockerException, requests.exceptions.RequestException, OSError) as error:
            if _timed_out(error):
                raise TimeoutError from None
            raise StackDown(
                f"The Docker engine does not answer: {error}.", remedy="Start it; 'mpg doctor' says how."
            ) from None

    def _connected(self) -> Any:
        with self._connecting:
            if self._client is None:
                where: dict[str, Any] = {"base_url": self._base_url} if self._base_url else dict(kwargs_from_env())
                self._client = docker.APIClient(
                    **where, version="auto", timeout=self._timeout_s, max_pool_size=self._at_once
                )
            return self._client


def _refused(error: APIError) -> MpgError:
    """Return the error of ours that says what the engine's *error* says."""
    said, status = str(error.explanation or error).strip().rstrip("."), error.status_code or 500
    if status == 404:
        return NotFound(f"Docker: {said}.")
    if status == 409 and "already in use" in said:
        return AlreadyExists(f"Docker: {said}.")
    if "no space left" in said.lower():
        return HostFull(f"The disk of the Docker engine is full: {said}.", remedy="Free space on it, then try again.")
    return EngineError(f"The Docker engine refused: {said}.", explanation=said, status=status)


def _timed_out(error: Exception) -> bool:
    # While the answer's body is read, requests wraps urllib3's timeout as if the connection had broken.
    cause = error.args[0] if error.args else None
    return isinstance(error, requests.exceptions.ReadTimeout) or isinstance(cause, ReadTimeoutError)


def _filters(labels: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in labels.items()]


def _place(path: str) -> str:
    return next(place for place in PUT_BELOW if PurePosixPath(path).is_relative_to(place))


def _put_archive(container: str, place: str, archive: bytes, client: Any) -> None:
    client.put_archive(container, place, archive)


def _tar(files: Mapping[str, File], place: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path, file in files.items():
            entry = tarfile.TarInfo(str(PurePosixPath(path).relative_to(place)))
            # PgBouncer reads its list of users again only where the file's inode, size or time is another.
            entry.mtime = int(time.time())
            entry.size, entry.mode, entry.uid, entry.gid = len(file.content), file.mode, file.uid, file.gid
            tar.addfile(entry, io.BytesIO(file.content))
    return stream.getvalue()
