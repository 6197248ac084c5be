"""This system beside what a user would build instead, in one run on one machine."""
