"""Policy on the database alone: names, listeners, gates, verbs, messages. No I/O but the run database's."""
