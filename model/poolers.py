"""What a generation of poolers is called, and which ports and peer ids it gets beside those that live."""

from model.cluster import Pooler, PoolerPhase, PoolMode
from model.names import FIRST_POOLER_PORT, LAST_POOLER_PORT, pooler_container, pooler_name


def next_generation(living: tuple[Pooler, ...]) -> int:
    """Return the number of the generation after all of *living*; the first is 1."""
    return max((pooler.generation for pooler in living), default=0) + 1


def plan_generation(
    cluster_id: str, generation: int, pool_mode: PoolMode, living: tuple[Pooler, ...], count: int = 2
) -> tuple[Pooler, ...]:
    """Return the *count* poolers of *generation*, with the lowest ports and peer ids that no living one has."""
    taken = [pooler for pooler in living if pooler.generation != generation]
    used_ports, used_peers = {pooler.port for pooler in taken}, {pooler.peer_id for pooler in taken}
    ports = (port for port in range(FIRST_POOLER_PORT, LAST_POOLER_PORT + 1) if port not in used_ports)
    peers = (peer for peer in range(1, LAST_POOLER_PORT) if peer not in used_peers)
    names = (pooler_name(generation, index) for index in range(1, count + 1))
    return tuple(
        Pooler(
            name=name,
            container=pooler_container(cluster_id, name),
            generation=generation,
            port=port,
            peer_id=peer,
            phase=PoolerPhase.RUNNING,
            pool_mode=pool_mode,
        )
        for name, port, peer in zip(names, ports, peers, strict=False)
    )
