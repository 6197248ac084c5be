"""Runs of duties: one worker at a time, a lease that ends, records and totals."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from reactions.postgres.duty_runs import LEASE, DutyRuns, _take
from tests.support.engine import Engine


def expire_leases(engine: Engine) -> None:
    """Let the leases of all duties expire."""
    update = "UPDATE duties SET leased_until = leased_until - :lease"
    with engine.database.engine.begin() as connection:
        connection.execute(text(update), {"lease": LEASE})


def test_another_worker_takes_an_expired_lease(engine: Engine) -> None:
    duties = DutyRuns(engine.database)
    with duties.run("audit") as first:
        assert first is not None
        with duties.run("audit") as second:
            assert second is None
        expire_leases(engine)
        with duties.run("audit") as second:
            assert second is not None
        with duties.run("audit") as third:  # the second run released it
            assert third is not None
            expire_leases(engine)
            with duties.run("audit") as fourth:
                assert fourth is not None
    (total,) = duties.totals()
    assert total.runs == 4


def test_a_lease_from_before_the_clock_was_set_back_does_not_count(engine: Engine) -> None:
    """Its worker died while the clock of PostgreSQL was an hour ahead."""
    duties = DutyRuns(engine.database)
    assert duties.run("audit").__enter__() is not None
    with engine.database.engine.begin() as connection:
        connection.execute(text("UPDATE duties SET leased_until = leased_until + interval '1 h'"))
    with duties.run("audit") as run:
        assert run is not None
        with duties.run("audit") as another:
            assert another is None


def test_a_worker_that_began_earlier_does_not_take_a_lease_that_is_newer(engine: Engine) -> None:
    """Its transaction began first, and its statement came second. The lease ends later than one
    that began with its transaction, but the clock was not set back.
    """
    with engine.database.transaction() as slow:
        slow.execute(text("SELECT now()"))
        with engine.database.transaction() as quick:
            assert _take(quick, "audit", "quick", LEASE)
        assert not _take(slow, "audit", "slow", LEASE)


def test_a_run_that_outlived_its_lease_does_not_release_another(engine: Engine) -> None:
    duties = DutyRuns(engine.database)
    late = duties.run("audit")
    assert late.__enter__() is not None
    expire_leases(engine)
    with duties.run("audit") as run:
        assert run is not None
        late.__exit__(None, None, None)
        with duties.run("audit") as another:
            assert another is None


def test_a_quiet_run_leaves_a_record_only_if_it_found_something_or_failed(engine: Engine) -> None:
    duties = DutyRuns(engine.database)
    with duties.run("loss_detection", quiet=True) as run:
        assert run is not None
    assert duties.last() == {}
    with duties.run("loss_detection", quiet=True) as run:
        assert run is not None
        run.found["empty"] = 3
    with pytest.raises(RuntimeError), duties.run("loss_detection", quiet=True):
        raise RuntimeError("no")
    (total,) = duties.totals()
    assert (total.runs, total.failures, total.kinds) == (2, 1, {"empty": 3})
    assert duties.last()["loss_detection"].found == 3


def test_a_failed_run_records_its_error_and_is_not_a_success(engine: Engine) -> None:
    duties = DutyRuns(engine.database)
    with pytest.raises(RuntimeError), duties.run("audit"):
        raise RuntimeError("no more")
    assert "audit" not in duties.last()
    with engine.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT error FROM runs")) == "RuntimeError: no more"
