"use strict";
(() => {
  // What is this, whatever comes or goes before it?
  const nameOf = (each) =>
    [
      each.closest("section")?.getAttribute("aria-labelledby"),
      each.closest("details")?.dataset.key,
      each.getAttribute("href") ?? each.getAttribute("aria-label") ?? each.getAttribute("name"),
      each.localName,
    ].join(" ");
  const findings = (part) => [...part.querySelectorAll("#findings, .finding")].map((each) => each.textContent.trim());
  // Ages and counts change all the time, and are not read out again.
  const sayIfNew = (before, now) => {
    const sense = (words) => words.join(" ").replace(/\d+/g, "");
    if (sense(before) !== sense(now)) document.getElementById("said").textContent = now.join(" ");
  };
  // Replaces the content of a part of the page. What is open, scrolled or has the focus stays so.
  const replace = (part, html) => {
    const before = findings(part);
    const named = (selector) => [...part.querySelectorAll(selector)].map((each) => [nameOf(each), each]);
    const open = new Map(named("details > summary").map(([name, each]) => [name, each.parentElement.open]));
    const scrolled = new Map(named("[tabindex]").map(([name, each]) => [name, [each.scrollLeft, each.scrollTop]]));
    const focused = part.contains(document.activeElement) ? nameOf(document.activeElement) : "";
    part.innerHTML = html;
    for (const [name, each] of named("details > summary")) each.parentElement.open = open.get(name) ?? each.parentElement.open;
    for (const [name, each] of named("[tabindex]")) [each.scrollLeft, each.scrollTop] = scrolled.get(name) ?? [0, 0];
    const found = focused && named("a, button, input, summary, [tabindex]").find(([name]) => name === focused);
    if (found) found[1].focus({ preventScroll: true });
    sayIfNew(before, findings(part));
  };
  // While somebody types in a part, or marks something in it to copy it, it is left alone; the latter for some seconds.
  let marked = 0;
  document.addEventListener("selectionchange", () => (marked = Date.now()));
  const isInUse = (part) => {
    const selection = getSelection();
    const isMarking = selection.type === "Range" && part.contains(selection.anchorNode) && Date.now() - marked < 10000;
    return isMarking || (part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea"));
  };
  const live = document.querySelector("[data-stream]");
  if (live) {
    const still = document.getElementById("still");
    // A stream ends in order now and then, and the browser opens the next one. Only a silence says that none answers.
    const waiting = () => setTimeout(() => (still.hidden = false), 8000);
    let silence = waiting();
    const stream = new EventSource(live.dataset.stream);
    stream.onmessage = (event) => {
      if (!isInUse(live)) replace(live, JSON.parse(event.data));
      still.hidden = true;
      clearTimeout(silence);
      silence = waiting();
    };
    // Refused for good: the session is over, and the page leads to the log-in.
    stream.onerror = () => {
      if (stream.readyState === EventSource.CLOSED) location.reload();
    };
  }
  // One box for all boxes of a table.
  const all = document.querySelector("[data-all]");
  if (all) {
    all.hidden = false;
    all.querySelector("input").addEventListener("change", (event) => {
      for (const box of document.querySelectorAll("input[name=ids]")) box.checked = event.target.checked;
    });
  }
  // A form that a double click must not send twice. A page that the browser has kept can be used again.
  const buttons = document.querySelectorAll("[data-once] button");
  const allow = (allowed) => buttons.forEach((button) => (button.disabled = !allowed));
  document.querySelector("[data-once]")?.addEventListener("submit", () => allow(false));
  addEventListener("pageshow", () => allow(true));
  // A page about something that is under way is asked for again until it is over.
  const main = document.getElementById("main");
  const pause = () => 1000 * Number(main.querySelector("[data-reload]")?.dataset.reload ?? 0);
  const lookAgain = async () => {
    if (!isInUse(main)) {
      const answer = await fetch(location.href).catch(() => null);
      // The log-in, a fault, or no console any more: the browser shows it.
      if (!answer?.ok || answer.redirected) return location.reload();
      replace(main, new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main").innerHTML);
    }
    if (pause()) setTimeout(lookAgain, pause());
  };
  if (pause()) setTimeout(lookAgain, pause());
})();
