"""Run by alembic: uses the connection that `ondeck.db.schema` hands over."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transactional_ddl=True, transaction_per_migration=False)
with context.begin_transaction():
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("SELECT 1")  # begins: two builddb at once, and one waits
    else:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7061707)")
    context.run_migrations()
