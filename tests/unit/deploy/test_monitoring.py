"""The files for Prometheus and Grafana: valid, and about metrics that exist. `promtool` is Prometheus' own."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from support.installed_programs import need_programs

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "errand.json"
MONITORING = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
RUN_SECONDS = 60.0


@pytest.fixture(scope="module", autouse=True)
def promtool() -> None:
    need_programs("promtool")


def _promtool(*arguments: str) -> str:
    ran = subprocess.run(
        ["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def _documented() -> set[str]:
    return set(re.findall(r"^\| `(bus_\w+)` \|", MONITORING, re.MULTILINE))


def _asked(text: str) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bbus_\w+", text)}


def _expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_the_configuration_is_valid_and_leads_to_every_role() -> None:
    assert "SUCCESS" in _promtool("check", "config", "prometheus.yml")
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    places = {
        (name, found["port"])
        for job in configuration["scrape_configs"]
        for found in job.get("dns_sd_configs", [])
        for name in found["names"]
    }
    assert places == {("auth-worker", 9100), ("catalog-worker", 9100), ("auth-web", 5000), ("catalog-web", 5001)}
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert {name for name, _ in places} == services.keys() - {"rabbitmq", "postgres", "migrate", "console"}


def test_the_alerts_report_what_is_wrong_and_nothing_else() -> None:
    assert "SUCCESS" in _promtool("test", "rules", "alerts_test.yml")


def test_every_alert_is_described_and_tested() -> None:
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
    names = [rule["alert"] for rule in rules]
    tested = (PROMETHEUS / "alerts_test.yml").read_text()
    assert names
    for name in names:
        assert f"| `{name}` |" in MONITORING
        assert f'alertname="{name}"' in tested


@pytest.mark.parametrize("text", [(PROMETHEUS / "alerts.yml").read_text(), DASHBOARD.read_text()])
def test_the_metrics_that_are_asked_for_exist(text: str) -> None:
    asked = _asked(text)
    assert len(asked) > 8
    assert asked <= _documented()


def test_the_dashboards_queries_can_be_read_by_prometheus(tmp_path: Path) -> None:
    concrete = [each.replace("$__rate_interval", "5m").replace("$service", "catalog") for each in _expressions()]
    rules = [{"record": f"dashboard:{number}", "expr": each} for number, each in enumerate(concrete)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in _promtool("check", "rules", str(file))


def test_the_dashboards_panels_have_places_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
