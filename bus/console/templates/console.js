"use strict";
(() => {
  // Replaces the part of the page that changes. What is open, and what has the focus, stays so.
  const live = document.querySelector("[data-stream]");
  if (live) {
    const still = document.getElementById("still");
    const focusable = () => [...live.querySelectorAll("a, summary, [tabindex]")];
    // A stream ends in order now and then, and the browser opens the next one. Only a silence says that none answers.
    const waiting = () => setTimeout(() => (still.hidden = false), 8000);
    let silence = waiting();
    const stream = new EventSource(live.dataset.stream);
    stream.onmessage = (event) => {
      const open = new Map([...live.querySelectorAll("details")].map((each) => [each.dataset.key, each.open]));
      const place = focusable().indexOf(document.activeElement);
      live.innerHTML = JSON.parse(event.data);
      for (const each of live.querySelectorAll("details")) {
        if (open.has(each.dataset.key)) each.open = open.get(each.dataset.key);
      }
      if (place >= 0) focusable()[place]?.focus({ preventScroll: true });
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
  // A page about something that is under way.
  const again = document.querySelector("[data-reload]");
  if (again) setTimeout(() => location.reload(), 1000 * Number(again.dataset.reload));
})();
