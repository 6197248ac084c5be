"""server_role.py: what a server says of itself; test_connection_pool.py has a standby, too."""

from __future__ import annotations

import pytest

from reactions.demo.embedded import Postgres
from reactions.ops.doctor import State
from reactions.ops.metrics import StoresCollector
from reactions.postgres.server_role import ServerRole, server_role
from tests.ops.doctor.examining import findings
from tests.postgres.standby import read_only
from tests.support.engine import Engine

pytestmark = pytest.mark.slow


def test_role_metric_and_finding_agree(engine: Engine, postgres: Postgres) -> None:
    collector = StoresCollector(engine.client, engine.database, engine.settings)

    def metric() -> float:
        families = {family.name: family for family in collector.collect()}
        return float(families["reactions_postgresql_primary"].samples[0].value)

    assert server_role(engine.database) is ServerRole.PRIMARY
    assert metric() == 1
    assert findings(engine.settings)["postgresql role"].state is State.OK
    with read_only(postgres):
        assert server_role(engine.database) is ServerRole.READ_ONLY
        assert metric() == 0
        finding = findings(engine.settings)["postgresql role"]
        assert finding.state is State.FAILURE
        assert "default_transaction_read_only" in finding.remedy
