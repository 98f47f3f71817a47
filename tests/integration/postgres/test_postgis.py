"""PostGIS on its own image: a cluster made with it, and what schema admins, writers and readers can do with it."""

from collections.abc import AsyncGenerator, Generator
from contextlib import closing

import psycopg
import pytest
from cli_program import Mpg, running_stack
from docker.models.networks import Network as DockerNetwork
from postgres_servers import Effects, effects_on, start_primary
from psycopg.errors import InsufficientPrivilege

from model.cluster import Role
from model.effects import ReadExtensionsInput
from model.errors import Refused
from model.settings import load_settings
from starter.prerequisites.engine import connect
from starter.prerequisites.node_image import check_image, ensure_image

pytest_plugins = ("postgres_fixtures",)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

WRITER, READER = "map-writer", "map-reader"
HERE = "ST_SetSRID(ST_MakePoint(16.37, 48.21), 4326)"


@pytest.fixture(scope="session")
def image() -> str:
    """The image with PostGIS, built unless it is there and up to date."""
    return ensure_image(load_settings(), print, postgis=True)


# --- what people can do in a database ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def maps(sql_network: DockerNetwork, image: str) -> AsyncGenerator[Effects]:
    server = start_primary(sql_network, "gis", image)
    try:
        async with effects_on(server) as effects:
            await effects.make_user(WRITER, Role.WRITER)
            await effects.make_user(READER, Role.READER)
            yield effects
    finally:
        server.container.remove(force=True, v=True)


@pytest.fixture(scope="module")
async def places(maps: Effects) -> str:
    """A database with PostGIS, enabled twice."""
    database = await maps.make_database("places")
    for _ in range(2):
        await maps.enable("postgis", database)
    return database


async def test_schema_admin_writer_and_reader_work_with_geometries(maps: Effects, places: str) -> None:
    run = maps.server.run
    await run("fly-user", "CREATE TABLE shops (name text, at geometry(Point, 4326))", places)
    await run("fly-user", "CREATE INDEX ON shops USING gist (at)", places)
    await run(WRITER, f"INSERT INTO shops VALUES ('near', {HERE})", places)
    await run(WRITER, "INSERT INTO shops VALUES ('far', ST_GeomFromText('POINT(-74 40.7)', 4326))", places)
    near = f"SELECT name FROM shops WHERE ST_DWithin(at::geography, {HERE}::geography, 1000)"
    assert await run(READER, near, places) == [("near",)]
    transformed = f"SELECT round(ST_X(ST_Transform({HERE}, 3857)))"
    assert await run(READER, transformed, places) == [(1822300.0,)]
    assert await run(READER, "SELECT f_table_name, srid FROM geometry_columns", places) == [("shops", 4326)]


async def test_schema_admins_add_coordinate_systems_and_others_do_not(maps: Effects, places: str) -> None:
    add = "INSERT INTO spatial_ref_sys (srid, proj4text) VALUES ({}, '+proj=merc +datum=WGS84 +units=m')"
    await maps.server.run("fly-user", add.format(900001), places)
    found = await maps.server.run(READER, f"SELECT round(ST_Y(ST_Transform({HERE}, 900001))) > 0", places)
    assert found == [(True,)]
    for user in (WRITER, READER):
        with pytest.raises(InsufficientPrivilege):
            await maps.server.run(user, add.format(900002), places)


async def test_postgis_in_a_schema_of_its_own(maps: Effects) -> None:
    database = await maps.make_database("apart")
    await maps.enable("postgis", database, "gis", create=True)
    await maps.server.run("fly-user", "CREATE TABLE spots (at gis.geometry)", database)
    await maps.server.run("fly-user", "INSERT INTO gis.spatial_ref_sys (srid) VALUES (900003)", database)
    answer = await maps.server.run(READER, "SELECT gis.ST_AsText(gis.ST_MakePoint(1, 2))", database)
    assert answer == [("POINT(1 2)",)]


async def test_topology_brings_postgis_along_and_schema_admins_make_topologies(maps: Effects) -> None:
    database = await maps.make_database("nets")
    await maps.enable("postgis_topology", database)
    answer = await maps.extensions.read_extensions(ReadExtensionsInput(target=maps.server.target, database=database))
    schemas = {one.name: one.installed.schema_name for one in answer.extensions if one.installed}
    assert (schemas["postgis"], schemas["postgis_topology"]) == ("public", "topology")
    await maps.server.run("fly-user", "SELECT CreateTopology('streets', 4326)", database)
    await maps.server.run("fly-user", f"SELECT TopoGeo_AddPoint('streets', {HERE})", database)
    assert await maps.server.run(READER, "SELECT count(*) FROM streets.node", database) == [(1,)]
    # The extension changes the database's search path; unqualified names have to be found as before.
    await maps.server.run("fly-user", "CREATE TABLE plain (n int)", database)
    assert await maps.server.run(READER, "SELECT 'plain'::regclass = 'public.plain'::regclass", database) == [(True,)]


@pytest.mark.parametrize("name", ["postgis_raster", "postgis_tiger_geocoder"])
async def test_parts_that_reach_further_are_refused_by_name(maps: Effects, places: str, name: str) -> None:
    with pytest.raises(Refused, match=f"'{name}' may not be enabled"):
        await maps.enable(name, places)


# --- a cluster made with it -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mpg(image: str) -> Generator[Mpg]:
    with running_stack() as program:
        program.done("create", "--name", "maps", "--enable-postgis-support")
        yield program


def ask(mpg: Mpg, statement: str, *options: str) -> object:
    uri = mpg.done("url", "maps", *options).out.strip()
    with psycopg.connect(uri, autocommit=True, prepare_threshold=None) as connection:
        row = connection.execute(statement.encode()).fetchone()
    return row and row[0]


def images_of(mpg: Mpg) -> set[str]:
    found = mpg.done("status", "maps", "--json").json
    names = [one["container"] for one in (*found["nodes"], *found["poolers"])]
    with closing(connect(load_settings())) as client:
        return {str(client.containers.get(name).attrs["Config"]["Image"]) for name in names}


def test_created_cluster_has_postgis_in_its_database_on_both_nodes(mpg: Mpg, image: str) -> None:
    assert images_of(mpg) == {image}
    for way in ("--pooled", "--direct", "--read-only"):
        version = str(ask(mpg, "SELECT postgis_version()", way))
        assert version.startswith("3."), way
    steps = [step["name"] for step in creation(mpg)["steps"]]
    assert "install PostGIS in fly-db" in steps


def creation(mpg: Mpg) -> dict[str, list[dict[str, str]]]:
    found = mpg.done("operations", "list", "maps", "--json").json
    [made] = [each["id"] for each in found if each["type"] == "CreateCluster"]
    return mpg.done("operations", "show", made, "--json").json


def test_it_can_be_enabled_in_another_database(mpg: Mpg) -> None:
    mpg.done("databases", "create", "maps", "-n", "shop")
    mpg.done("databases", "extensions", "enable", "maps", "postgis", "-d", "shop")
    assert ask(mpg, "SELECT ST_AsText(ST_Centroid('LINESTRING(0 0, 2 2)'))", "-d", "shop") == "POINT(1 1)"


def test_nodes_made_again_keep_the_image(mpg: Mpg, image: str) -> None:
    mpg.done("change-plan", "maps", "starter")
    mpg.done("set-pool-mode", "maps", "session")
    assert images_of(mpg) == {image}
    assert ask(mpg, "SELECT ST_Area('POLYGON((0 0, 0 2, 2 2, 2 0, 0 0))')", "--read-only") == 4.0


def test_doctor_looks_after_an_image_that_is_there(mpg: Mpg, image: str) -> None:
    assert check_image(load_settings(), postgis=True) == image
    checks = {one["name"]: one for one in mpg.done("doctor", "--json").json["checks"]}
    assert (checks["PostGIS image"]["state"], checks["PostGIS image"]["detail"]) == ("ok", image)
