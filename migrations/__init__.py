"""The run database's schema through time, alembic's. Each migration holds its own frozen copy of what it makes."""
