"""Tools for operators: the doctor, the inspection of a post, and metrics for Prometheus."""
