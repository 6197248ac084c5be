"""Checks ``compose.yaml`` and ``.env.example`` without a Docker engine."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest

from reactions.cli.main import main
from reactions.core.celery_app import make_app
from reactions.core.settings import Settings
from reactions.redis.server_options import BROKER_OPTIONS, VALKEY_OPTIONS
from tests.deploy.compose import (
    COMPOSE,
    PINNED,
    ROOT,
    SERVICES,
    VARIABLE,
    environment,
    example,
    filled,
    seconds,
    server_options,
    strings,
)
from tests.support.servers import missing

NO_HEALTH = {"migrate": "runs once, so its exit code says whether it is healthy"}
every_service = pytest.mark.parametrize("name", SERVICES)


# -- the file as a whole ---------------------------------------------------------------------------


def test_the_specification_allows_it() -> None:
    """check-jsonschema has the schema of the Compose specification."""
    if importlib.util.find_spec("check_jsonschema") is None:
        missing("check-jsonschema, which has the Compose specification's schema, is not installed")
    command = [sys.executable, "-m", "check_jsonschema", "--color", "never"]
    command += ["--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def docker_compose(env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``docker compose config``, which needs no engine, with only these variables."""
    keep = {
        name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in os.environ
    }
    command = ["docker", "compose", "--env-file", os.devnull, "config", "--quiet"]
    return subprocess.run(
        command, cwd=ROOT, env={**keep, **env}, capture_output=True, text=True, check=False
    )


def test_docker_compose_takes_it() -> None:
    try:
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("docker with the compose plugin is not installed")
    values = dict.fromkeys(example(), "0123abcd")
    done = docker_compose(values)
    assert (done.returncode, done.stderr) == (0, "")
    for name in values:
        without = docker_compose({**values, name: ""})
        assert without.returncode != 0
        assert f"required variable {name} is missing a value" in without.stderr


def test_services() -> None:
    assert set(SERVICES) == {
        *("valkey", "broker", "postgres", "migrate", "worker", "beat", "web", "flower")
    }


def test_every_variable_is_required_and_in_the_example() -> None:
    names = set()
    for text in strings(COMPOSE):
        for found in VARIABLE.finditer(text):
            name, required, hint = (found["braced"] or "").partition(":?")
            assert required, f"{found[0]} has a default, or none"
            assert hint
            names.add(name)
    assert names == set(example())


def test_the_example_has_no_values() -> None:
    assert set(example().values()) == {""}


def test_what_is_only_passed_on_is_in_the_example() -> None:
    lines = (ROOT / ".env.example").read_text("utf-8")
    passed_on = {
        key
        for service in SERVICES.values()
        for key, value in service.get("environment", {}).items()
        if value is None
    }
    assert passed_on == {"REACTIONS_REACTION_TYPES", "REACTIONS_WEB_AUTHENTICATOR"}
    given = {key: re.findall(rf"^#{key}=(.*)$", lines, re.MULTILINE) for key in passed_on}
    (types,), (authenticator,) = (given[key] for key in sorted(given))
    assert Settings(reaction_types=types).reaction_types == Settings().reaction_types
    Settings(web_authenticator=authenticator)


# -- each service ----------------------------------------------------------------------------------


@every_service
def test_health(name: str) -> None:
    assert ("healthcheck" in SERVICES[name]) is (name not in NO_HEALTH)


@every_service
def test_images_are_pinned(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert service["image"] == "reactions:local"
    else:
        assert PINNED.fullmatch(service["image"]), service["image"]


@every_service
def test_ports_are_published_on_the_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


def test_no_port_is_published_twice() -> None:
    ports = [port.split(":")[1] for s in SERVICES.values() for port in s.get("ports", [])]
    assert sorted(ports) == ["5432", "5555", "6379", "6380", "8000"]


@every_service
def test_restarts(name: str) -> None:
    """All but ``migrate`` restart: a beat that lost its lock exits, and must start again."""
    assert SERVICES[name]["restart"] == ("no" if name == "migrate" else "unless-stopped")


@every_service
def test_dependencies_can_be_met(name: str) -> None:
    for other, terms in SERVICES[name].get("depends_on", {}).items():
        condition = terms["condition"]
        if condition == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        else:
            assert condition == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "no"


def test_order_of_the_start() -> None:
    healthy = {"condition": "service_healthy"}
    assert SERVICES["migrate"]["depends_on"] == {"postgres": healthy, "valkey": healthy}
    for name in ("worker", "beat", "web"):
        migrate = SERVICES[name]["depends_on"]["migrate"]
        assert migrate == {"condition": "service_completed_successfully"}


@every_service
def test_settings_exist_and_are_valid(name: str) -> None:
    given = SERVICES[name].get("environment", {})
    fields = {f"REACTIONS_{field.upper()}" for field in Settings.model_fields}
    assert {key for key in given if key.startswith("REACTIONS_")} <= fields
    Settings(
        **{
            key.removeprefix("REACTIONS_").lower(): value
            for key, value in environment(name).items()
            if key.startswith("REACTIONS_")
        }
    )


def test_addresses_name_services_with_their_passwords() -> None:
    passwords = {
        ("valkey", 6379): filled(server_options("valkey")["requirepass"]),
        ("broker", 6379): filled(server_options("broker")["requirepass"]),
        ("postgres", 5432): environment("postgres")["POSTGRES_PASSWORD"],
    }
    assert len(set(passwords.values())) == 3
    urls = {v for name in SERVICES for k, v in environment(name).items() if k.endswith("_URL")}
    found = {(url.hostname, url.port): url.password for url in map(urlsplit, urls)}
    assert found == passwords


def test_each_service_is_given_only_the_addresses_it_uses() -> None:
    given = {
        name: {key.removeprefix("REACTIONS_") for key in environment(name) if key.endswith("_URL")}
        for name in ("migrate", "worker", "beat", "web", "flower")
    }
    assert given == {
        "migrate": {"DATABASE_URL", "REDIS_URL"},
        "worker": {"REDIS_URL", "BROKER_URL", "DATABASE_URL"},
        "beat": {"BROKER_URL"},
        "web": {"REDIS_URL", "BROKER_URL", "DATABASE_URL"},
        "flower": {"BROKER_URL"},
    }


# -- the servers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"), [("valkey", VALKEY_OPTIONS), ("broker", BROKER_OPTIONS)]
)
def test_valkeys_have_the_options_of_the_embedded_ones(
    name: str, options: Mapping[str, str]
) -> None:
    found = server_options(name)
    password = found.pop("requirepass")
    assert found == options
    assert password == SERVICES[name]["environment"]["VALKEYCLI_AUTH"]


def test_data_is_kept() -> None:
    places = {name: s["volumes"] for name, s in SERVICES.items() if "volumes" in s}
    assert places.pop("web") == [f"./web:{SERVICES['web']['working_dir']}:ro"]  # code, no data
    assert places == {
        "valkey": ["valkey:/data"],
        "broker": ["broker:/data"],
        # PostgreSQL 18's image keeps its data below this, in 18/docker.
        "postgres": ["postgres:/var/lib/postgresql"],
    }
    assert set(COMPOSE["volumes"]) == set(places)
    assert SERVICES["postgres"]["image"].startswith("postgres:18.")


# -- the processes ---------------------------------------------------------------------------------


def test_worker_consumes_every_queue_and_has_time_to_stop() -> None:
    command = SERVICES["worker"]["command"]
    conf = make_app(Settings()).conf
    queues = command[command.index("-Q") + 1].split(",")
    assert sorted(queues) == sorted(queue.name for queue in conf.task_queues)
    assert seconds(SERVICES["worker"]["stop_grace_period"]) > conf.task_time_limit


@pytest.mark.parametrize("name", ["worker", "beat", "flower"])
def test_celery_commands(name: str) -> None:
    program, option, module, command, *_ = SERVICES[name]["command"]
    assert (program, option, command) == ("celery", "-A", name)
    assert importlib.util.find_spec(module) is not None


def test_migrate_is_a_command() -> None:
    program, command = SERVICES["migrate"]["command"]
    assert program == "reactions"
    assert command in main.commands


def test_the_web_service_is_a_command_that_waits_to_be_asked_for() -> None:
    program, command, *options = SERVICES["web"]["command"]
    assert program == "reactions"
    main.commands[command].make_context(command, options)
    assert SERVICES["web"]["profiles"] == ["web"]


def test_flower_asks_for_a_password() -> None:
    user, _, password = environment("flower")["FLOWER_BASIC_AUTH"].partition(":")
    assert (user, password) == ("reactions", "FLOWER_PASSWORD")
