"""Renders the chart, and reads what was rendered.

``python -m tests.deploy.helm`` renders ``full-values.yaml`` into ``deploy/helm/rendered.yaml``. The
checks read that file, so that they run where Helm is not installed, too.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tests.deploy.compose import ROOT

CHART = ROOT / "deploy" / "helm"
RENDERED = CHART / "rendered.yaml"
FULL = CHART / "full-values.yaml"
Object = Mapping[str, Any]


def digest() -> str:
    """A digest of the files that the rendered file depends on."""
    found = hashlib.sha256()
    names = ("Chart.yaml", "values.yaml", "full-values.yaml")
    for path in [CHART / name for name in names] + sorted((CHART / "templates").iterdir()):
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def render() -> str:
    command = ["helm", "template", "shop", str(CHART), "--values", str(FULL)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def objects(text: str) -> dict[tuple[str, str], Object]:
    """(kind, component) -> the object."""
    found = [each for each in yaml.safe_load_all(text) if each]
    component = "app.kubernetes.io/component"
    return {(each["kind"], each["metadata"]["labels"][component]): each for each in found}


OBJECTS = objects(RENDERED.read_text("utf-8")) if RENDERED.exists() else {}
WORKLOADS = {part: each for (kind, part), each in OBJECTS.items() if kind in ("Deployment", "Job")}


def pod(part: str) -> Object:
    """The pod of a component."""
    found: Object = WORKLOADS[part]["spec"]["template"]["spec"]
    return found


def containers(part: str) -> Iterator[Object]:
    yield from pod(part)["containers"]
    yield from pod(part).get("initContainers", [])


def container(part: str) -> Object:
    """The container that does the work of a component."""
    (found,) = pod(part)["containers"]
    return dict(found)


def main() -> None:
    header = f"# Made by `python -m tests.deploy.helm` from full-values.yaml; sources {digest()}\n"
    RENDERED.write_text(header + render(), "utf-8")


if __name__ == "__main__":
    main()
