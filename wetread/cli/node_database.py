"""The node's database, as commands open it.

Roles make it and bring its schema up to date when they start. A command does neither: typed in the
wrong folder it would leave an empty node there, and one of a newer version would end all roles
that run.
"""

from __future__ import annotations

from db import migrate
from db.engine import Database
from db.errors import SchemaError, StoreError
from wetread.config import Settings


def node_database(settings: Settings, *, make: bool = False) -> Database:
    """Open the database that the node works with.

    Parameters
    ----------
    settings
        Of the node.
    make
        Make it if there is none: for what one does before the first start.

    Raises
    ------
    StoreError
        There is none yet.
    SchemaError
        It has the schema of another version.
    """
    file = settings.database_file()
    if file is not None and not file.exists() and not make:
        raise StoreError(
            f"there is no node here: no database {file}; 'wetread up' makes it, or name the "
            "settings of another node with -c or $WETREAD_CONFIG"
        )
    database = Database(settings.database.url)
    with database.read() as connection:
        migrate.refuse_newer(connection)
        found = migrate.revision(connection)
    if found is None:
        if not make:
            raise StoreError(
                "the database is empty: 'wetread up' fills it, or name the settings of another "
                "node with -c or $WETREAD_CONFIG"
            )
        migrate.upgrade(database)
    elif found != migrate.revisions()[-1]:
        raise SchemaError(
            f"the database has schema {found}, this version needs {migrate.revisions()[-1]}: use "
            "the version that its roles run, or start them with this one, which upgrades it"
        )
    return database
