"""Looks at a page for what keeps people from using it: all rules of axe-core, those of WCAG 2.2 among them."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_AXE = Axe()


def barriers_of(page: Page) -> list[str]:
    """What axe-core finds, each with the rule, the elements and what is wrong with the first.

    It is evaluated in the page by the browser itself, so a Content-Security-Policy does not keep it out.
    """
    violations = _AXE.run(page).response["violations"]
    return [f"{each['id']}: {_where(each['nodes'])}; {each['nodes'][0]['failureSummary']}" for each in violations]


def _where(nodes: list[dict[str, Any]]) -> str:
    return ", ".join(str(node["target"]) for node in nodes)
