"""Effects on users, roles, databases and extensions, by SQL on the primary. Implemented in activities/postgres."""

from datetime import datetime

from model.adoption import Catalog
from model.base import Record
from model.cluster import ClusterSpec, Database, Endpoint, Pooler, Role, User
from model.effects.effect import Effect, Kind, Nothing, Target
from model.effects.recovery import Observation
from model.queries import Queries, StatementAsked, StatementPlan


class SetUpRolesInput(Record):
    """Group roles, default privileges in template1, the platform's roles, then the first users and databases."""

    target: Target
    users: tuple[User, ...]
    databases: tuple[Database, ...]
    connection_limit: int


class UserInput(Record):
    """A user as it should be. ``connection_limit`` is the plan's, for the role."""

    target: Target
    user: User
    connection_limit: int
    new_password: bool = False
    """Whether the password is to be one that no user of that name ever had: ``user`` has the least version then."""
    end_sessions: bool = False
    """Whether its sessions are ended once the password is in force."""


class PasswordIs(Record):
    """Which version of the password is in force. None was answered before versions were chosen in Postgres."""

    version: int | None = None

    def of(self, user: User) -> User:
        """Return *user* as it is now."""
        return user if self.version is None else user.model_copy(update={"password_version": self.version})


class DropUserInput(Record):
    """Remove a user in every database; what it owns becomes ``role``'s group's."""

    target: Target
    username: str
    role: Role
    password_version: int = 0
    """The last one on record, to be remembered; 0 where none is known."""


class DatabaseInput(Record):
    """A database as it should be."""

    target: Target
    database: Database


class DropDatabaseInput(Record):
    """Remove a database; with ``force`` its sessions are ended, else they refuse it."""

    target: Target
    database: str
    force: bool
    endpoint: Endpoint | None = None
    poolers: tuple[Pooler, ...] = ()
    """All living poolers, draining ones too: they tell their clients from server connections kept for nobody."""


class EnableExtensionInput(Record):
    """Install an extension, if it is trusted or allow-listed."""

    target: Target
    database: str
    extension: str
    schema_name: str | None = None
    create_schema_if_needed: bool = False


class DisableExtensionInput(Record):
    """Remove an extension; with ``force`` also what depends on it."""

    target: Target
    database: str
    extension: str
    force: bool


class ReadExtensionsInput(Record):
    """Ask which extensions a database has and could have."""

    target: Target
    database: str


class InstalledExtension(Record):
    """Version and schema of an installed extension."""

    version: str
    schema_name: str


class Extension(Record):
    """An extension that may be enabled, and how it is installed, if it is."""

    name: str
    description: str
    docs_url: str
    reach: str = ""
    """What whoever uses it can reach, in words for people; empty where an older worker did not say."""
    default_version: str
    is_system: bool
    installed: InstalledExtension | None = None


class Extensions(Record):
    """The extensions of a database, by name."""

    extensions: tuple[Extension, ...]


class ReconcileInput(Record):
    """Make Postgres and the record of one user and one database agree, after an operation on them that was lost."""

    target: Target
    spec: ClusterSpec
    username: str | None = None
    database: str | None = None
    undone: bool = False
    """The caller was told that nothing was done: a database that is not on record was made in vain."""


class SetConnectionLimitsInput(Record):
    """Give every user's role the plan's connection limit."""

    target: Target
    usernames: tuple[str, ...]
    connection_limit: int


class AdoptRolesInput(Record):
    """Bring users, databases and objects already there under the role system."""

    target: Target
    users: tuple[User, ...]
    databases: tuple[Database, ...]
    connection_limit: int


class ReadQueriesInput(Record):
    """Look at what runs and what ran; with a ``database`` also at its tables and indexes."""

    target: Target
    database: str | None = None


class ExplainStatementInput(Record):
    """Have a statement planned."""

    target: Target
    statement: StatementAsked


class SignalSessionInput(Record):
    """Cancel what a session runs, or ``end`` it."""

    target: Target
    pid: int
    began: datetime
    end: bool


class Signalled(Record):
    """Whether the session was there."""

    there: bool


SET_UP_ROLES = Effect(
    "set_up_roles", SetUpRolesInput, Nothing, Kind.SQL_NEW, "postgres.role_system:RoleSystemActivities"
)
CREATE_USER = Effect("create_user", UserInput, PasswordIs, Kind.SQL, "postgres.roles:RoleActivities")
SET_USER_ROLE = Effect("set_user_role", UserInput, Nothing, Kind.SQL, "postgres.roles:RoleActivities")
SET_PASSWORD = Effect("set_password", UserInput, PasswordIs, Kind.SQL, "postgres.roles:RoleActivities")
DROP_USER = Effect("drop_user", DropUserInput, Nothing, Kind.SQL_WAIT, "postgres.roles:RoleActivities")
CREATE_DATABASE = Effect("create_database", DatabaseInput, Nothing, Kind.SQL, "postgres.databases:DatabaseActivities")
DROP_DATABASE = Effect(
    "drop_database", DropDatabaseInput, Nothing, Kind.SQL_WAIT, "postgres.databases:DatabaseActivities"
)
ENABLE_EXTENSION = Effect(
    "enable_extension", EnableExtensionInput, Nothing, Kind.SQL_WAIT, "postgres.extensions:ExtensionActivities"
)
DISABLE_EXTENSION = Effect(
    "disable_extension", DisableExtensionInput, Nothing, Kind.SQL_WAIT, "postgres.extensions:ExtensionActivities"
)
READ_EXTENSIONS = Effect(
    "read_extensions", ReadExtensionsInput, Extensions, Kind.SQL, "postgres.extensions:ExtensionActivities"
)
SET_CONNECTION_LIMITS = Effect(
    "set_connection_limits", SetConnectionLimitsInput, Nothing, Kind.SQL, "postgres.roles:RoleActivities"
)
RECONCILE_RECORD = Effect(
    "reconcile_record", ReconcileInput, Observation, Kind.SQL, "postgres.reconcile:ReconcileActivities"
)
ADOPT_ROLES = Effect(
    "adopt_roles", AdoptRolesInput, Nothing, Kind.SQL_WAIT, "postgres.role_system:RoleSystemActivities"
)
READ_CATALOG = Effect("read_catalog", Target, Catalog, Kind.SQL_WAIT, "postgres.catalog:CatalogActivities")
READ_QUERIES = Effect("read_queries", ReadQueriesInput, Queries, Kind.SQL, "postgres.queries:QueryActivities")
EXPLAIN_STATEMENT = Effect(
    "explain_statement", ExplainStatementInput, StatementPlan, Kind.SQL, "postgres.statement_plans:PlanActivities"
)
SIGNAL_SESSION = Effect("signal_session", SignalSessionInput, Signalled, Kind.SQL, "postgres.queries:QueryActivities")
