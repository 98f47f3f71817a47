"""What PgBouncers say of their clients and servers."""

from collections import Counter
from collections.abc import Sequence

from activities.metrics.series import POOLER_CLIENTS, POOLER_SERVERS, POOLER_WAIT, Reading
from activities.routing.pooler_console import Console, Pool
from model.cluster import Pooler
from model.names import pooler_label


async def read_pooler(address: str, pooler: Pooler, *, master_key: bytes, cluster_id: str) -> list[Reading]:
    """Return what *pooler* at the endpoint's *address* says. Raises ``psycopg.Error``.

    The console is not kept: a PgBouncer that was told to end waits for it as for any client.
    """
    console = await Console.open(address, pooler.port, master_key=master_key, cluster_id=cluster_id)
    try:
        return pool_readings(pooler_label(pooler.name), await console.show_pools())
    finally:
        await console.close()


def pool_readings(pooler: str, pools: Sequence[Pool]) -> list[Reading]:
    """Return *pools* by database: a pool is one user's."""
    clients: Counter[tuple[str, str]] = Counter()
    servers: Counter[tuple[str, str]] = Counter()
    waits: dict[str, float] = {}
    for pool in pools:
        name = pool.database
        clients[name, "active"] += pool.cl_active
        clients[name, "waiting"] += pool.cl_waiting
        servers[name, "active"] += pool.sv_active + pool.sv_login
        servers[name, "idle"] += pool.sv_idle + pool.sv_used + pool.sv_tested
        waits[name] = max(waits.get(name, 0.0), pool.longest_wait_s)
    by_state = ((POOLER_CLIENTS, clients), (POOLER_SERVERS, servers))
    return [
        *(
            Reading(series, {"pooler": pooler, "database": name, "state": state}, count)
            for series, counts in by_state
            for (name, state), count in counts.items()
        ),
        *(Reading(POOLER_WAIT, {"pooler": pooler, "database": name}, wait) for name, wait in waits.items()),
    ]
