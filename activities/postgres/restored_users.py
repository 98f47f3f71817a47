"""Effect that makes the users of a restored cluster its own: passwords of the one it was made from let nobody in."""

from temporalio import activity

from activities.heartbeat import heartbeating
from activities.postgres import passwords, statements
from activities.postgres.catalog import user_names
from activities.postgres.sql import SqlSessions
from model import effects
from model.effects import Nothing, RenewPasswordsInput
from model.secrets import scram_verifier

FIRST_VERSION = 1


class RestoredUserActivities:
    """The effect ``renew_passwords``."""

    def __init__(self, sql: SqlSessions, master_key: bytes) -> None:
        """Work through *sql*; passwords are derived from *master_key*."""
        self._sql = sql
        self._master_key = master_key

    @activity.defn(name=effects.RENEW_PASSWORDS.name)
    async def renew_passwords(self, arg: RenewPasswordsInput) -> Nothing:
        """Give every user the first password of this cluster's id, all in one transaction.

        The versions that are remembered are the other cluster's: they are forgotten.
        """
        async with heartbeating(), self._sql.use(arg.target) as connection, connection.transaction():
            await connection.execute(statements.KEEP_VERIFIERS_OUT)
            await passwords.forget_all(connection)
            for name in await user_names(connection):
                verifier = scram_verifier(self._master_key, arg.target.cluster_id, name, FIRST_VERSION)
                await connection.execute(
                    statements.script(
                        statements.set_password(name, verifier), statements.set_limit(name, arg.connection_limit)
                    )
                )
                await passwords.remember(connection, name, FIRST_VERSION)
        return Nothing()
