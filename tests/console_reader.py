"""What tests ask a PgBouncer's console beyond what the product does."""

from activities.routing.pooler_console import CONSOLE_DATABASE, Console


class ConsoleReader(Console):
    """A console that also tells how its PgBouncer is configured."""

    async def show_config(self) -> dict[str, str]:
        """Return the settings in force."""
        return {row["key"]: row["value"] for row in await self._rows("SHOW CONFIG")}

    async def show_hosts(self) -> set[str]:
        """Return the hosts that databases lead to."""
        rows = await self._rows("SHOW DATABASES")
        return {row["host"] for row in rows if row["name"] != CONSOLE_DATABASE and row["host"]}
