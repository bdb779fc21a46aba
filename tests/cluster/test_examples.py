"""examples/cluster: the manifest, the Compose file and the dashboard say nothing that is not so."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from chomp_mcp.messages import Attempt, Receipt, Usage
from chomp_mcp.settings import Settings
from chomp_mcp.telemetry.metrics import Metrics
from chomp_mcp.telemetry.report import Report, Transition
from tests.cluster.replicas import Replicas

FOLDER = Path(__file__).parents[2] / "examples" / "cluster"
MANIFEST = [*yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8"))]
KUBERNETES = "1.37"


@pytest.mark.parametrize("resource", MANIFEST, ids=lambda resource: resource["kind"])
def test_the_manifest_is_what_kubernetes_takes(resource: dict[str, Any]):
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)


def test_the_manifest_hangs_together():
    by_kind = {resource["kind"]: resource for resource in MANIFEST}
    assert set(by_kind) == {"Secret", "Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"}
    pod = by_kind["Deployment"]["spec"]["template"]
    labels, container = pod["metadata"]["labels"], pod["spec"]["containers"][0]
    for kind, path in (("Service", ()), ("PodDisruptionBudget", ("matchLabels",)), ("Deployment", ("matchLabels",))):
        selector = by_kind[kind]["spec"]["selector"]
        assert (selector[path[0]] if path else selector) == labels
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    secret = by_kind["Secret"]["stringData"]
    environment = {**secret, **{row["name"]: row["value"] for row in container["env"]}}
    settings = Settings.load(environment)  # no wrong value in it
    assert settings.store == secret["CHOMP_STORE"]
    assert settings.port == container["ports"][0]["containerPort"]


def test_the_compose_file_sets_what_the_gateway_reads():
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {"balancer", "replica", "redis"}
    told = {name: value.replace("${REDIS_PASSWORD}", "x") for name, value in services["replica"]["environment"].items()}
    assert Settings.load({"CHOMP_HOME": "/tmp/chomp", **told}).store == "redis://:x@redis:6379/0"
    assert (FOLDER / services["replica"]["build"]["context"] / services["replica"]["build"]["dockerfile"]).is_file()
    for volume in services["balancer"]["volumes"]:
        assert (FOLDER / volume.partition(":")[0]).is_file()


@pytest.mark.parametrize("script", ["run.sh"])
def test_shell_scripts_are_shell(script: str):
    subprocess.run(["sh", "-n", FOLDER / script], check=True)


def test_nginx_takes_its_configuration(tmp_path: Path):
    (tmp_path / "tmp").mkdir()
    subprocess.run(
        ["nginx", "-t", "-e", "stderr", "-p", tmp_path, "-c", FOLDER / "nginx.conf"], check=True, capture_output=True
    )


@pytest.mark.anyio
async def test_every_metric_of_the_dashboard_is_one_of_ours(replicas: Replicas):
    """What a real page shows, and what it shows once something has happened."""
    replica = await replicas.one("home")
    answered = Report(
        "openai", "owner", "auto", Receipt("auto", "groq/m", (Attempt("groq", "m", "ok", ms=1),), Usage(1, 1))
    )
    metrics: Metrics = replica.chomp.metrics
    metrics.exchange(answered)
    metrics.transition(Transition("groq", "closed", "open"))
    page = (await replica.http.get("/metrics")).text
    ours = {family.name for family in text_string_to_metric_families(page)}
    dashboard = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    named = {name for text in asked for name in re.findall(r"chomp_[a-z_]+", text)}

    assert len(named) > 15
    assert {re.sub(r"_(total|bucket)$", "", name) for name in named} <= {re.sub("_total$", "", name) for name in ours}
    for panel in dashboard["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    autoscaler = next(resource for resource in MANIFEST if resource["kind"] == "HorizontalPodAutoscaler")
    assert autoscaler["spec"]["metrics"][0]["pods"]["metric"]["name"] in ours
