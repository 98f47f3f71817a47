"""TLS of a node: its key and certificate, the settings that use them, and both put in force by a reload.

All of it is in the configuration directory on the node's volume, which Postgres reads again at SIGHUP: new connections
get it, and sessions that are open stay as they are.
"""

from activities.engine.docker_engine import DockerEngine
from activities.engine.docker_types import File
from activities.nodes.files import CONF_DIR, INCLUDE_TLS, TLS_CONF, pg_hba
from model.authority import Authority
from model.cluster import Network, Node, Tls

KEY_FILE = f"{CONF_DIR}/server.key"
CERTIFICATE_FILE = f"{CONF_DIR}/server.crt"
_POSTGRESQL_CONF = f"{CONF_DIR}/postgresql.conf"
_PG_HBA = f"{CONF_DIR}/pg_hba.conf"
_SETTINGS = f"""\
ssl = on
ssl_cert_file = '{CERTIFICATE_FILE}'
ssl_key_file = '{KEY_FILE}'
ssl_min_protocol_version = 'TLSv1.2'
"""


def node_tls_files(cluster_name: str, authority: Authority) -> dict[str, File]:
    """Return path and content of what a node needs to offer TLS, with a key of its own."""
    issued = authority.issue(cluster_name)
    texts = {KEY_FILE: issued.key, CERTIFICATE_FILE: issued.certificate, TLS_CONF: _SETTINGS}
    return {path: File.private(text) for path, text in texts.items()}


async def offer_tls(docker: DockerEngine, node: Node, cluster_name: str, authority: Authority) -> None:
    """Have a node offer TLS, if it does not. Raises :class:`NotFound` where its container is gone."""
    conf = await docker.get_file(node.container, _POSTGRESQL_CONF)
    files: dict[str, File] = {}
    if authority.is_due(await docker.get_file(node.container, CERTIFICATE_FILE)):
        files = node_tls_files(cluster_name, authority)
    if conf is not None and INCLUDE_TLS.encode() not in conf:
        # Of a node that was made before there was TLS.
        files[_POSTGRESQL_CONF] = File.private(conf + INCLUDE_TLS.encode())
    if files:
        await docker.put_files(node.container, files)
        await docker.kill(node.container, "SIGHUP")


async def put_pg_hba(docker: DockerEngine, node: Node, network: Network, *, backups: bool, tls: Tls) -> None:
    """Let clients of a node in as *tls* says. Raises :class:`NotFound` where its container is gone."""
    wanted = pg_hba(network, backups=backups, tls=tls).encode()
    if await docker.get_file(node.container, _PG_HBA) != wanted:
        await docker.put_files(node.container, {_PG_HBA: File.private(wanted)})
        await docker.kill(node.container, "SIGHUP")


async def renew_node(docker: DockerEngine, node: Node, cluster_name: str, authority: Authority) -> bool:
    """Give a node another certificate where that is due, and tell whether it was."""
    found = await docker.get_file(node.container, CERTIFICATE_FILE)
    if found is None or not authority.is_due(found):
        return False
    await docker.put_files(node.container, node_tls_files(cluster_name, authority))
    await docker.kill(node.container, "SIGHUP")
    return True
