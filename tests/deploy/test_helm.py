"""Checks the chart of ``deploy/helm`` without a cluster: compose.yaml, settings, schemas."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from reactions.cli.main import main
from reactions.core.celery_app import make_app
from reactions.core.settings import Settings
from tests.deploy.compose import ROOT, SERVICES, environment
from tests.deploy.helm import (
    CHART,
    FULL,
    OBJECTS,
    RENDERED,
    WORKLOADS,
    container,
    containers,
    digest,
    objects,
    pod,
    render,
)

VALUES: Mapping[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
FULL_VALUES: Mapping[str, Any] = yaml.safe_load(FULL.read_text("utf-8"))
VALIDATOR = Draft202012Validator(json.loads((CHART / "values.schema.json").read_text("utf-8")))
OF_COMPOSE = ("migrate", "worker", "beat", "web", "flower")
every_part = pytest.mark.parametrize("part", sorted(WORKLOADS))


def variables(part: str) -> dict[str, Any]:
    """Name -> entry of the variables of a component."""
    return {entry["name"]: entry for entry in container(part)["env"]}


def addresses(part: str) -> list[tuple[str, Any]]:
    """The variables that come from a Secret."""
    return [(name, entry) for name, entry in variables(part).items() if "valueFrom" in entry]


def probed(part: str, kind: str) -> Any:
    probe = container(part)[kind]
    return probe["exec"]["command"] if "exec" in probe else probe["httpGet"]["path"]


# -- the chart as a whole --------------------------------------------------------------------------


def test_what_was_rendered_is_of_this_chart() -> None:
    first, _, _ = RENDERED.read_text("utf-8").partition("\n")
    assert first.endswith(digest()), "run: python -m tests.deploy.helm"


def test_helm_takes_it() -> None:
    if shutil.which("helm") is None:
        pytest.skip("helm is not installed")
    assert objects(render()) == OBJECTS
    for values in ([], ["--values", str(FULL)]):
        lint = ["helm", "lint", "--strict", str(CHART), *values]
        done = subprocess.run(lint, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    wrong = ["helm", "template", "shop", str(CHART), "--set", "web.enabled=true"]
    assert b"/web/authenticator" in subprocess.run(wrong, capture_output=True, check=False).stderr


def test_kubernetes_takes_it() -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("the schemas of Kubernetes are not installed: pip install kubernetes-validate")
    validate = importlib.import_module("kubernetes_validate").validate
    for (kind, _), each in OBJECTS.items():
        if kind != "ScaledObject":
            validate(each, "1.35", strict=True)


def test_every_value_that_is_used_has_a_default() -> None:
    for template in sorted((CHART / "templates").iterdir()):
        for path in re.findall(r"\.Values\.([\w.]+)", template.read_text("utf-8")):
            found: Any = VALUES
            for name in path.split("."):
                assert name in found, f"{template.name}: {path}"
                found = found[name]


@pytest.mark.parametrize("values", [VALUES, FULL_VALUES], ids=["default", "full"])
def test_the_schema_takes_values(values: Mapping[str, Any]) -> None:
    assert not list(VALIDATOR.iter_errors(values))


@pytest.mark.parametrize(
    "values",
    [
        {"settings": {"redis_url": "redis://:secret@host"}},  # a secret, not a setting
        {"settings": {"REACTIONS_LOG_JSON": True}},
        {"web": {"enabled": True, "authenticator": ""}},
        {"worker": {"terminationGracePeriodSeconds": 30}},
        {"wroker": {}},
    ],
)
def test_the_schema_refuses_values(values: Mapping[str, Any]) -> None:
    assert list(VALIDATOR.iter_errors(values))


def test_settings_exist_and_are_valid() -> None:
    Settings(**FULL_VALUES["settings"])
    assert set(FULL_VALUES["settings"]) <= set(Settings.model_fields)
    given = variables("worker")
    for name, value in FULL_VALUES["settings"].items():
        text = given[f"REACTIONS_{name.upper()}"]["value"]
        Settings(**{name: text})
        assert text.lower() == str(value).lower()


# -- beside compose.yaml ---------------------------------------------------------------------------


@pytest.mark.parametrize("part", OF_COMPOSE)
def test_commands_are_those_of_compose(part: str) -> None:
    assert container(part)["command"] == SERVICES[part]["command"]


@pytest.mark.parametrize("part", OF_COMPOSE)
def test_addresses_are_those_of_compose_and_come_from_a_secret(part: str) -> None:
    secrets = {"REDIS_URL", "DATABASE_URL", "BROKER_URL", "FLOWER_BASIC_AUTH"}
    wanted = {key for key in environment(part) if key.removeprefix("REACTIONS_") in secrets}
    found = {name: entry["valueFrom"]["secretKeyRef"] for name, entry in addresses(part)}
    assert {name for name in found if "optional" not in found[name]} == wanted
    secret = FULL_VALUES[part]["secretName"]
    for name, entry in found.items():
        assert (entry["name"], entry["key"]) == (secret, name)


def test_what_some_topologies_need_may_be_missing() -> None:
    """RabbitMQ keeps no lock for beat, so beat needs the data; and a standby may answer lists."""
    optional = {
        (part, name)
        for part in WORKLOADS
        for name, entry in addresses(part)
        if entry["valueFrom"]["secretKeyRef"].get("optional")
    }
    assert optional == {
        ("beat", "REACTIONS_REDIS_URL"),
        ("metrics", "REACTIONS_REPLICA_URL"),
        ("web", "REACTIONS_REPLICA_URL"),
    }


def test_health_is_that_of_compose() -> None:
    for kind in ("startupProbe", "livenessProbe"):
        shell, option, ping = probed("worker", kind)
        assert (shell, option) == ("sh", "-c")
        assert ["CMD-SHELL", ping.replace("$", "$$")] == SERVICES["worker"]["healthcheck"]["test"]
    assert ["CMD", *probed("beat", "readinessProbe")] == SERVICES["beat"]["healthcheck"]["test"]
    for part in ("web", "flower"):
        path = probed(part, "readinessProbe")
        assert f'{path}"' in SERVICES[part]["healthcheck"]["test"][-1]
    assert probed("web", "livenessProbe") == "/healthz"


def test_the_web_service_runs_where_its_code_is() -> None:
    (place,) = [m for m in container("web")["volumeMounts"] if m["name"] == "code"]
    assert place["mountPath"] == container("web")["workingDir"] == SERVICES["web"]["working_dir"]


# -- each component --------------------------------------------------------------------------------


def test_components() -> None:
    assert set(WORKLOADS) == {*OF_COMPOSE, "metrics"}
    assert WORKLOADS["beat"]["spec"]["replicas"] == 2
    hook = WORKLOADS["migrate"]["metadata"]["annotations"]["helm.sh/hook"]
    assert hook == "pre-install,pre-upgrade"


@every_part
def test_rights(part: str) -> None:
    rights = pod(part)["securityContext"]
    assert f"USER {rights['runAsUser']}" in (ROOT / "Dockerfile").read_text("utf-8")
    assert (rights["runAsNonRoot"], rights["seccompProfile"]["type"]) == (True, "RuntimeDefault")
    assert not pod(part)["automountServiceAccountToken"]
    for each in containers(part):
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert each["resources"]["limits"]["memory"]
        assert not [
            entry
            for entry in each["env"]
            if re.search("URL|AUTH$", entry["name"]) and "value" in entry
        ]


@every_part
def test_commands_of_reactions_exist(part: str) -> None:
    for each in containers(part):
        program, command, *options = each["command"]
        if program == "reactions":
            main.commands[command].make_context(command, [*options])


@every_part
def test_selectors_and_ports(part: str) -> None:
    labels = WORKLOADS[part]["spec"]["template"]["metadata"]["labels"]
    ports = {port["name"] for each in containers(part) for port in each.get("ports", [])}
    if part != "migrate":
        assert WORKLOADS[part]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    if service := OBJECTS.get(("Service", part)):
        assert service["spec"]["selector"].items() <= labels.items()
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    if budget := OBJECTS.get(("PodDisruptionBudget", part)):
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert (("PodDisruptionBudget", part) in OBJECTS) == (part in ("web", "worker", "beat"))


def test_a_worker_has_time_to_stop() -> None:
    limit = make_app(Settings()).conf.task_time_limit
    assert pod("worker")["terminationGracePeriodSeconds"] > limit
    assert VALUES["worker"]["terminationGracePeriodSeconds"] > limit


def test_keda_scales_by_a_metric_that_exists() -> None:
    scaled = OBJECTS["ScaledObject", "worker"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == WORKLOADS["worker"]["metadata"]["name"]
    assert "replicas" not in WORKLOADS["worker"]["spec"], "Helm and KEDA would both set it"
    (trigger,) = scaled["triggers"]
    (metric,) = re.findall(r"reactions_\w+", trigger["metadata"]["query"])
    assert f'"{metric}"' in (ROOT / "reactions/ops/metrics.py").read_text("utf-8")


def test_metrics_are_where_prometheus_looks() -> None:
    for part, port in (("metrics", "9106"), ("worker", "9107"), ("web", "9107")):
        notes = WORKLOADS[part]["spec"]["template"]["metadata"]["annotations"]
        assert notes == {"prometheus.io/scrape": "true", "prometheus.io/port": port}
        assert any(f"--port={port}" in each["command"] for each in containers(part))
    for part in ("web", "worker"):
        assert variables(part)["PROMETHEUS_MULTIPROC_DIR"]["value"] == "/metrics"
