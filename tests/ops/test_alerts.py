"""``deploy/prometheus``: each alert has its page in the runbook, and fires when it should."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

from reactions.cli.main import COMMANDS
from reactions.redis.connection import execute
from tests.docs.fenced import blocks
from tests.ops.prometheus import CONFIG, alerts
from tests.support.engine import Engine
from tests.support.servers import missing


def test_every_alert_has_its_page_and_every_page_its_alert(project: Path) -> None:
    text = (project / "docs" / "runbook.md").read_text()
    pages = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    by_name = {page.partition("\n")[0]: page for page in pages}
    assert set(by_name) == {alert["alert"] for alert in alerts()}
    for page in by_name.values():
        for part in ("**Means**", "**Look at**", "**Do**", "**Type**:\n\n```sh\n"):
            assert part in page
    for alert in alerts():
        url = alert["annotations"]["runbook_url"]
        assert url.startswith(
            "{{ with $externalLabels.reactions_runbook }}{{ . }}{{ else }}https://"
        )
        assert url.endswith(f"#{alert['alert'].lower()}")
        assert alert["labels"]["severity"] in ("warning", "critical")


def test_the_commands_of_the_runbook_exist(project: Path) -> None:
    lines = "\n".join(blocks(project / "docs" / "runbook.md", "sh")).splitlines()
    commands = {str(command.name): command for command in COMMANDS}
    ours = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("reactions ")]
    assert len(ours) > 15
    for name, *arguments in ours:
        commands[name].make_context(name, arguments)  # raises if click refuses an argument
    others = {line.split()[0] for line in lines if line} - {"reactions"}
    assert others <= {"redis-cli", "rabbitmqctl", "psql", "celery", "df"}


def test_the_statements_of_the_runbook_run_as_they_are_written(
    project: Path, engine: Engine
) -> None:
    """Except those that change a whole server."""
    lines = "\n".join(blocks(project / "docs" / "runbook.md", "sh")).splitlines()
    words = [shlex.split(line, comments=True) for line in lines if line]
    statements = [line[line.index("-c") + 1] for line in words if line[0] == "psql"]
    ours = [sql for sql in statements if not re.search("ALTER SYSTEM|pg_promote|pg_reload", sql)]
    assert len(ours) >= 4
    with engine.database.engine.connect() as connection:  # rolls back
        for statement in ours:
            connection.exec_driver_sql(statement)
    commands = [line[3:] for line in words if line[0] == "redis-cli" and line[1] == "-u"]
    assert len(commands) > 8
    limit = engine.client.config_get("maxmemory")["maxmemory"]
    for command in commands:
        if not command[0].startswith("-"):  # an option of redis-cli itself
            execute(engine.client, command)
    engine.client.config_set("maxmemory", limit or 0)


def promtool(*command: str | Path, folder: Path | None = None) -> None:
    program = shutil.which("promtool")
    if program is None:
        missing("promtool is not installed: apt-get install prometheus")
    ran = subprocess.run(
        [program, *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_promtool_accepts_the_rules_and_the_configuration(tmp_path: Path) -> None:
    for given in CONFIG.parent.iterdir():
        shutil.copy(given, tmp_path)
    (tmp_path / "flower-password").write_text("s3cret")
    promtool("check", "rules", "alerts.yml", folder=tmp_path)
    promtool("check", "config", "prometheus.yml", folder=tmp_path)


def test_alerts_fire_when_they_should_and_not_before() -> None:
    promtool("test", "rules", Path(__file__).parent / "alerts_test.yml")
