"""The manifests for Kubernetes: valid by its own schemas, in agreement with the image and with deploy/make-secrets."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from bus.service.application import installed_applications

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy" / "kubernetes"
SCHEMAS = json.loads((ROOT / "tests" / "vendored" / "kubernetes-1.37.json").read_text())
RUN_SECONDS = 60.0


def _objects() -> list[tuple[str, dict[str, Any]]]:
    """All objects, with their files."""
    files = [file for file in sorted(KUBERNETES.glob("*.yaml")) if file.name != "kustomization.yaml"]
    return [(file.name, each) for file in files for each in yaml.safe_load_all(file.read_text())]


def _pods() -> dict[str, dict[str, Any]]:
    """The description of each pod, by the name of what makes it."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]
        for _, each in _objects()
        if each["kind"] in ("Deployment", "Job")
    }


def _errors(one: dict[str, Any]) -> list[str]:
    schema = {**SCHEMAS["kinds"][f"{one['apiVersion']}/{one['kind']}"], "$defs": SCHEMAS["$defs"]}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(one)]


@pytest.mark.parametrize("number", range(len(_objects())))
def test_every_object_is_valid(number: int) -> None:
    _, one = _objects()[number]
    assert _errors(one) == []


def test_a_misspelt_or_wrong_member_would_be_seen() -> None:
    (_, deployment) = next(each for each in _objects() if each[1]["kind"] == "Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["readynessProbe"] = container.pop("readinessProbe")
    container["args"] = "web"
    deployment["spec"]["replicas"] = "two"
    assert len(_errors(deployment)) == 3


def test_the_kustomization_names_every_file() -> None:
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    assert set(kustomization["resources"]) == {file for file, _ in _objects()}


def test_every_service_has_both_roles_and_its_front_end_an_address() -> None:
    services = installed_applications()
    found = [(each["kind"], each["metadata"]["name"]) for _, each in _objects()]
    for service in ("auth", "catalog"):
        for role in ("web", "worker"):
            assert ("Deployment", f"{service}-{role}") in found
            assert ("PodDisruptionBudget", f"{service}-{role}") in found
            assert _pods()[f"{service}-{role}"]["spec"]["containers"][0]["args"] == [role, service]
        assert ("Service", f"{service}-web") in found
        port = _pods()[f"{service}-web"]["spec"]["containers"][0]["ports"][0]["containerPort"]
        assert port == services[service].port


def test_selectors_find_the_pods_that_they_are_for() -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in _pods().items()}
    for _, one in _objects():
        selector = one["spec"].get("selector")
        if selector is not None:
            wanted = selector.get("matchLabels", selector)
            found = {name for name, given in labels.items() if wanted.items() <= given.items()}
            assert found == {one["metadata"]["name"]}


@pytest.mark.parametrize("name", sorted(_pods()))
def test_a_pod_has_no_rights_and_a_bound(name: str) -> None:
    pod = _pods()[name]["spec"]
    [container] = pod["containers"]
    security = container["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"]["memory"]
    # A number in the image: Kubernetes cannot tell whether a name is root's.
    assert re.search(r"^USER \d+:\d+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_a_pod_gets_the_secrets_that_it_reads_and_no_others(tmp_path: Path) -> None:
    subprocess.run([ROOT / "deploy" / "make-secrets", tmp_path], check=True, timeout=RUN_SECONDS)
    made = {file.name for file in tmp_path.iterdir()}
    for name, pod in _pods().items():
        [container] = pod["spec"]["containers"]
        files = {each["value"] for each in container["env"] if each["name"].endswith("_FILE")}
        [items] = [volume["secret"]["items"] for volume in pod["spec"]["volumes"] if "secret" in volume]
        [mount] = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "secrets"]
        assert files == {f"{mount}/{item['path']}" for item in items}, name
        assert {item["key"] for item in items} <= made


@pytest.mark.parametrize("name", [name for name in sorted(_pods()) if name != "migrate"])
def test_a_pod_is_watched_at_routes_that_exist_and_has_time_to_end(name: str) -> None:
    pod = _pods()[name]
    [container] = pod["spec"]["containers"]
    [port] = container["ports"]
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["port"] == port["name"]
        assert asked["path"] in ("/health/live", "/health/ready")
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    # The pause before the signal, and what a process takes at most.
    assert pod["spec"]["terminationGracePeriodSeconds"] >= 5 + 30
