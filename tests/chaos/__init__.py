"""Tests of the chaos program: its checker, and one short run."""
