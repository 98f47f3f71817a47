"""Extensions: which may be enabled, where they go, who can use them, and what keeps them."""

import pytest
from postgres_servers import Effects

from activities.postgres.extensions import docs_url
from model.cluster import Role
from model.effects import DisableExtensionInput, Extension, ReadExtensionsInput
from model.errors import NotFound, Refused

pytest_plugins = ("postgres_fixtures",)
pytestmark = pytest.mark.integration

DB = "extended"


@pytest.fixture(scope="module")
async def extended(effects: Effects) -> Effects:
    await effects.make_database(DB)
    for role in (Role.WRITER, Role.READER):
        await effects.make_user(f"ext-{role}", role)
    return effects


async def disable(effects: Effects, name: str, *, force: bool = False) -> None:
    arg = DisableExtensionInput(target=effects.server.target, database=DB, extension=name, force=force)
    await effects.extensions.disable_extension(arg)


async def read(effects: Effects) -> dict[str, Extension]:
    answer = await effects.extensions.read_extensions(ReadExtensionsInput(target=effects.server.target, database=DB))
    return {extension.name: extension for extension in answer.extensions}


async def test_list_holds_trusted_and_allowed_extensions_only(extended: Effects) -> None:
    listed = await read(extended)
    assert {"vector", "pg_stat_statements", "pg_trgm", "citext", "plpgsql"} <= set(listed)
    assert not {"dblink", "postgres_fdw", "file_fdw", "pageinspect", "amcheck"} & set(listed)
    assert [name for name, extension in listed.items() if extension.is_system] == ["plpgsql"]
    assert all(extension.description and extension.default_version for extension in listed.values())
    assert listed["citext"].installed is None


async def test_everyone_can_use_an_enabled_extension_and_its_types(extended: Effects) -> None:
    await extended.enable("vector", DB)
    installed = (await read(extended))["vector"].installed
    assert installed is not None
    assert installed.schema_name == "public"
    await extended.server.run("fly-user", "CREATE TABLE items (id int, embedding vector(2))", DB)
    await extended.server.run("ext-writer", "INSERT INTO items VALUES (1, '[1,2]')", DB)
    nearest = "SELECT id FROM items ORDER BY embedding <-> '[1,1]' LIMIT 1"
    assert await extended.server.run("ext-reader", nearest, DB) == [(1,)]


async def test_enabling_again_is_done(extended: Effects) -> None:
    for _ in range(2):
        await extended.enable("pg_trgm", DB)


async def test_trusted_extension_belongs_to_the_schema_admins(extended: Effects) -> None:
    await extended.enable("citext", DB)
    await extended.server.run("fly-user", "DROP EXTENSION citext", DB)


@pytest.mark.parametrize("name", ["dblink", "postgres_fdw", "file_fdw", "pageinspect", "earthdistance"])
async def test_extension_that_may_not_be_enabled_is_refused_by_name(extended: Effects, name: str) -> None:
    with pytest.raises(Refused, match=f"{name}.* may not be enabled"):
        await extended.enable(name, DB)
    assert name not in await read(extended)


@pytest.mark.parametrize("name", ["nosuch", 'a"b', "ä", "x; DROP TABLE y"])
async def test_unknown_extension_is_not_found(extended: Effects, name: str) -> None:
    with pytest.raises(NotFound, match="There is no extension"):
        await extended.enable(name, DB)
    await disable(extended, name)


@pytest.mark.parametrize("name", ["postgis", "postgis_topology"])
async def test_postgis_is_refused_by_name_where_the_image_has_none(extended: Effects, name: str) -> None:
    with pytest.raises(Refused, match=f"'{name}' cannot be enabled: this cluster was made without PostGIS") as refusal:
        await extended.enable(name, DB)
    assert "--enable-postgis-support" in refusal.value.remedy
    assert name not in await read(extended)


async def test_unknown_database_is_not_found(extended: Effects) -> None:
    with pytest.raises(NotFound, match="no database 'nowhere'"):
        await extended.enable("citext", "nowhere")


async def test_missing_schema_is_an_error_unless_it_may_be_created(extended: Effects) -> None:
    with pytest.raises(NotFound, match="no schema"):
        await extended.enable("hstore", DB, 's"1')
    assert (await read(extended))["hstore"].installed is None
    await extended.enable("hstore", DB, 's"1', create=True)
    installed = (await read(extended))["hstore"].installed
    assert installed is not None
    assert installed.schema_name == 's"1'
    assert await extended.server.run("ext-reader", """SELECT ('a=>1'::"s""1".hstore)::text""", DB) == [('"a"=>"1"',)]


async def test_extension_that_objects_need_is_disabled_only_by_force(extended: Effects) -> None:
    await extended.enable("ltree", DB)
    await extended.server.run("fly-user", "CREATE TABLE tree (path ltree, note text)", DB)
    with pytest.raises(Refused, match=r"column path of table (public.)?tree") as refusal:
        await disable(extended, "ltree")
    assert "--force" in refusal.value.remedy
    await disable(extended, "ltree", force=True)
    assert (await read(extended))["ltree"].installed is None
    await extended.server.run("fly-user", "SELECT note FROM tree", DB)
    await disable(extended, "ltree")


async def test_system_extension_is_not_disabled(extended: Effects) -> None:
    with pytest.raises(Refused, match="belongs to the system"):
        await disable(extended, "plpgsql", force=True)


async def test_name_that_an_extension_would_take_over_is_refused(extended: Effects) -> None:
    await extended.server.run("fly-user", "CREATE TYPE public.seg AS ENUM ('a')", DB)
    with pytest.raises(Refused, match="cannot be enabled"):
        await extended.enable("seg", DB)


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("pg_trgm", "https://www.postgresql.org/docs/17/pgtrgm.html"),
        ("pg_stat_statements", "https://www.postgresql.org/docs/17/pgstatstatements.html"),
        ("btree_gin", "https://www.postgresql.org/docs/17/btree-gin.html"),
        ("uuid-ossp", "https://www.postgresql.org/docs/17/uuid-ossp.html"),
        ("vector", "https://github.com/pgvector/pgvector"),
    ],
)
def test_documentation_of_an_extension(name: str, page: str) -> None:
    assert docs_url(name, 17) == page
