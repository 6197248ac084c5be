"""One viral post with millions of rows; a part of `benchmarks duties` and `benchmarks forty`."""
