"""How other machines are used: transports, storages, batch systems. Knows nothing of the run database."""
