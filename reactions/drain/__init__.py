"""Carries pending changes from the outbox into PostgreSQL."""
