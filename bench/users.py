"""Users and databases: from the call to the result, beside the SQL alone; and requests that are refused."""

import time
from collections.abc import Awaitable, Callable

import psycopg

from activities.postgres.databases import put_database
from activities.postgres.roles import put_user
from bench.report import Row, at_most
from bench.run import Product, Run, elapsed_ms
from bench.workspace import Connection
from model.cluster import Role, User
from model.errors import AlreadyExists, InvalidInput, MpgError
from model.secrets import scram_verifier

SECTION = "users"
_LIMIT = 60

Call = Callable[[int], Awaitable[object]]


async def measure(run: Run) -> None:
    """Alternate product and SQL, one at a time; then the refusals."""
    async with (
        run.stack("users") as (mpg, _),
        run.cluster(mpg, "users") as cluster,
        await cluster.connect_primary() as connection,
    ):
        # The first of a fresh worker loads code and opens connections.
        await (await mpg.create_user(cluster.name, "warm-up", Role.READER)).result()
        await _users(run, cluster, connection)
        await _databases(run, cluster, connection)
        await _refusals(run, cluster, connection)


async def _users(run: Run, cluster: Product, connection: Connection) -> None:
    async def product(number: int) -> None:
        await (await cluster.mpg.create_user(cluster.name, f"user-{number}", Role.WRITER)).result()

    async def floor(number: int) -> None:
        user = User(name=f"floor-{number}", role=Role.WRITER)
        verifier = scram_verifier(cluster.key, cluster.state.spec.id, user.name)
        async with connection.transaction():
            await put_user(connection, user, _LIMIT, verifier)

    values, beside = await _alternate(run.count(5, 60), product, floor)
    targets = at_most(median=60, p95=120)
    run.add(Row(section=SECTION, name="CreateUser", unit="ms", values=values, floor=beside, targets=targets))


async def _databases(run: Run, cluster: Product, connection: Connection) -> None:
    async def product(number: int) -> None:
        await (await cluster.mpg.create_database(cluster.name, f"db-{number}")).result()

    async def floor(number: int) -> None:
        await put_database(connection, f"floor-{number}")

    values, beside = await _alternate(run.count(3, 25), product, floor)
    targets = at_most(median=100)
    run.add(Row(section=SECTION, name="CreateDatabase", unit="ms", values=values, floor=beside, targets=targets))


async def _refusals(run: Run, cluster: Product, connection: Connection) -> None:
    async def duplicate(_: int) -> None:
        await (await cluster.mpg.create_user(cluster.name, "warm-up", Role.READER)).result()

    async def bad_name(number: int) -> None:
        await (await cluster.mpg.create_user(cluster.name, f"a b {number}", Role.READER)).result()

    for name, call, error in (("duplicate user", duplicate, AlreadyExists), ("bad name", bad_name, InvalidInput)):
        before = await _traces(connection)
        values = [await _refused(call, number, error) for number in range(run.count(5, 50))]
        left = await _traces(connection) - before
        run.add(
            Row(
                section=SECTION,
                name=f"refused: {name}",
                unit="ms",
                values=tuple(values),
                targets=at_most(median=30),
                note=f"roles left in Postgres: {len(left)}",
            )
        )


async def _refused(call: Call, number: int, expected: type[MpgError]) -> float:
    begun = time.perf_counter()
    try:
        await call(number)
    except expected:
        return elapsed_ms(begun)
    raise RuntimeError(f"A request that should be refused with {expected.__name__} was not.")


async def _traces(connection: psycopg.AsyncConnection) -> set[str]:
    cursor = await connection.execute(
        "SELECT rolname::text || rolconnlimit || coalesce(rolpassword, '') FROM pg_authid"
    )
    return {text for (text,) in await cursor.fetchall()}


async def _alternate(count: int, product: Call, floor: Call) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Time both *count* times in turn, in milliseconds, so that noise hits both."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(count):
        for call, kept in ((product, times[0]), (floor, times[1])):
            begun = time.perf_counter()
            await call(number)
            kept.append(elapsed_ms(begun))
    return tuple(times[0]), tuple(times[1])
