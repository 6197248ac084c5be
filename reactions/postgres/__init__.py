"""Everything about PostgreSQL: connections, tables, and the statements."""
