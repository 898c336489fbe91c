"""The run database, the ground floor: models, statuses, legal steps, claims and queries.

May import `config` only. Statuses are changed through `steps.advance`; everything above meets in these tables.
"""
