"""What a generation of poolers is called, and which ports and peer ids it gets beside those that live."""

from collections.abc import Iterable

from model.cluster import Pooler, PoolerPhase, PoolMode, Tls
from model.errors import HostFull
from model.names import FIRST_POOLER_PORT, LAST_POOLER_PORT, pooler_container, pooler_name

GENERATION_SIZE = 2
"""How many PgBouncers a generation has."""
_PORTS = range(FIRST_POOLER_PORT, LAST_POOLER_PORT + 1)
_PEER_IDS = range(1, 1 << 14)
"""As PgBouncer bounds ``peer_id``."""


def next_generation(living: tuple[Pooler, ...]) -> int:
    """Return the number of the generation after all of *living*; the first is 1."""
    return max((pooler.generation for pooler in living), default=0) + 1


def plan_generation(
    cluster_id: str, generation: int, pool_mode: PoolMode, living: tuple[Pooler, ...], tls: Tls = Tls.OFF
) -> tuple[Pooler, ...]:
    """Return the poolers of *generation*, with the lowest ports and peer ids that no living one of another has.

    Raises :class:`HostFull` when the ports inside the endpoint give out.
    """
    others = [pooler for pooler in living if pooler.generation != generation]
    ports = _lowest_free(_PORTS, (pooler.port for pooler in others))
    peer_ids = _lowest_free(_PEER_IDS, (pooler.peer_id for pooler in others))
    return tuple(
        Pooler(
            name=(name := pooler_name(generation, index)),
            container=pooler_container(cluster_id, name),
            generation=generation,
            port=port,
            peer_id=peer_id,
            phase=PoolerPhase.RUNNING,
            pool_mode=pool_mode,
            tls=tls,
        )
        for index, (port, peer_id) in enumerate(zip(ports, peer_ids, strict=True), start=1)
    )


def _lowest_free(numbers: range, taken: Iterable[int]) -> list[int]:
    used = set(taken)
    free = [number for number in numbers if number not in used][:GENERATION_SIZE]
    if len(free) < GENERATION_SIZE:
        raise HostFull("The endpoint has no port left for more poolers.", remedy="Wait until former ones are drained.")
    return free
