"""Backups and archive in an S3-compatible store: a real server, over TLS."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
import pytest_asyncio
from backed_up import BackedUp, make_backed_up
from rig import Rig, new_cluster_id, until
from s3_server import S3Server, address_for_containers, s3_server

from activities.engine.docker_engine import DockerEngine
from model.backups import BackupType, RepositoryKind
from model.effects import RemoveClusterInput
from model.errors import NotYet
from model.names import backups_volume
from model.settings import Settings, load_settings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, outside: str) -> Generator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3"), outside) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def outside(docker: DockerEngine) -> str:
    return await address_for_containers(docker)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stored(
    docker: DockerEngine, settings: Settings, master_key: bytes, server: S3Server
) -> AsyncGenerator[BackedUp]:
    """A primary whose repository is in the store."""
    told = settings.model_dump(include={"home", "subnet_pool", "port_range", "allow_overcommit", "node_image"})
    rig = Rig(docker, load_settings(**told, **server.settings), master_key)
    made = new_cluster_id()
    try:
        yield await make_backed_up(rig, made)
    finally:
        await rig.cleanup.remove_cluster(RemoveClusterInput(cluster_id=made))
        await rig.sql.close()


async def test_archive_and_backups_are_in_the_store_and_encrypted(stored: BackedUp, server: S3Server) -> None:
    assert stored.repository.kind is RepositoryKind.S3
    segment = await stored.archived()
    await stored.ensure()
    full = await stored.take("full")
    incr = await stored.take("incr", BackupType.INCR)
    assert (full.type, incr.type, incr.prior) == (BackupType.FULL, BackupType.INCR, full.id)
    assert [each.id for each in (await stored.contents()).backups] == [full.id, incr.id]
    place = f"mpg/{stored.id}/{stored.repository.key_id}"
    files = server.files()
    assert all(name.startswith(f"{place}/") for name in files)
    assert any(segment in name for name in files)
    manifest = (server.directory / "backups" / place / f"backup/{stored.id}/{full.id}/backup.manifest").read_bytes()
    assert manifest.startswith(b"Salted__")
    volumes = await stored.rig.docker.list_volumes({"mpg.cluster": stored.id})
    assert backups_volume(stored.id) not in volumes


async def test_secrets_are_in_files_of_their_owner_only(stored: BackedUp, server: S3Server) -> None:
    found = await stored.rig.docker.inspect(stored.a.container)
    assert found is not None
    assert server.secret not in found.model_dump_json()
    conf = await stored.rig.docker.get_file(stored.a.container, "/var/lib/postgresql/conf/pgbackrest.conf")
    assert server.secret.encode() in (conf or b"")


async def test_wrong_key_is_told_with_the_stores_words(stored: BackedUp, server: S3Server) -> None:
    keys = stored.rig.keys
    wrong = type(stored.pgbackrest)(stored.rig.docker, type(keys)(keys.master_key, "tests", "wrong", keys.store_ca))
    with pytest.raises(NotYet, match=r"could not be read|could not read"):
        await type(stored.repositories)(wrong, stored.rig.sql).read_repository(stored.ref)


async def test_repository_in_a_store_is_removed(stored: BackedUp, server: S3Server) -> None:
    await stored.rig.docker.stop(stored.a.container)
    await stored.repositories.remove_repository(stored.ref)

    async def gone() -> bool:
        return server.files() == []

    await until(gone, what=f"the store empty, which has {Path(*server.files()[:1])}")
    assert (await stored.contents()).backups == ()
