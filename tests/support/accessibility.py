"""Looks at a page for what a screen reader or a weak eye would miss: rules of WCAG 2.2 that a script can see."""

from playwright.sync_api import Page

_LOOK = """
() => {
  const found = [];
  const shown = (each) => each.checkVisibility({ visibilityProperty: true });
  const name = (each) => each.tagName + (each.id ? "#" + each.id : "") + " " + each.textContent.trim().slice(0, 40);
  const headings = [...document.querySelectorAll("h1, h2, h3, h4")].filter(shown);
  const levels = headings.map((each) => Number(each.tagName[1]));
  if (levels.filter((level) => level === 1).length !== 1) found.push("there is not one h1");
  levels.forEach((level, place) => {
    if (place && level > levels[place - 1] + 1) found.push("a heading skips a level");
  });
  for (const each of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (shown(each) && !each.labels.length && !each.getAttribute("aria-label")) found.push("no label: " + each.name);
  }
  for (const each of document.querySelectorAll("button, a[href], summary")) {
    const words = each.textContent.trim() || each.getAttribute("aria-label");
    if (shown(each) && !words) found.push("no name: " + each.outerHTML);
  }
  for (const each of document.querySelectorAll("svg, img")) {
    if (!each.getAttribute("aria-label") && !each.getAttribute("alt")) found.push("no words for a picture");
  }
  for (const each of document.querySelectorAll("th")) if (!each.scope) found.push("a heading of a table without scope");
  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  ids.filter((id, place) => ids.indexOf(id) !== place).forEach((id) => found.push("twice: #" + id));
  for (const each of document.querySelectorAll("[aria-labelledby], [aria-describedby]")) {
    const named = ["aria-labelledby", "aria-describedby"].map((each_) => each.getAttribute(each_) || "").join(" ");
    for (const id of named.trim().split(/\\s+/)) {
      if (!document.getElementById(id)) found.push("leads to nothing: " + id);
    }
  }
  for (const each of document.querySelectorAll("*")) {
    const may = ["auto", "scroll"].includes(getComputedStyle(each).overflowX);
    const scrolls = may && each.scrollWidth > each.clientWidth;
    if (scrolls && shown(each) && each.tabIndex < 0) found.push("cannot be scrolled by keyboard: " + name(each));
  }
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((each) => each / 255)
    .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, place) => sum + each * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (each) => {
    for (let at = each; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (words.nextNode()) {
    const each = words.currentNode.parentElement;
    const isRead = words.currentNode.textContent.trim() && shown(each);
    if (!isRead || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(each.tagName)) continue;
    const [one, other] = [light(rgb(getComputedStyle(each).color)), light(behind(each))].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < 4.5) found.push(`contrast ${contrast.toFixed(2)}: ${name(each)}`);
  }
  return found;
}
"""


def barriers_of(page: Page) -> list[str]:
    """What is missing: one h1, headings in order, labels, names, words for pictures, contrast of 4.5 to 1 (1.4.3)."""
    found: list[str] = page.evaluate(_LOOK)
    return found
