"use strict";
// The page works without this script: the browser opens operations and shows the chosen language.
(() => {
  const SHOWN_MS = 1500; // long enough to read one word
  const notice = document.getElementById("notice");
  let hiding = 0;

  function show(text) {
    notice.textContent = text;
    notice.classList.add("shown");
    clearTimeout(hiding);
    hiding = setTimeout(() => notice.classList.remove("shown"), SHOWN_MS);
  }

  // Browsers allow the clipboard only over HTTPS and from localhost. Elsewhere the text is selected for the reader.
  async function copy(code) {
    try {
      await navigator.clipboard.writeText(code.textContent);
      show("Copied");
    } catch {
      getSelection().selectAllChildren(code);
      show(document.execCommand("copy") ? "Copied" : "Selected: copy it with your keyboard");
    }
  }

  for (const pre of document.querySelectorAll(".program pre")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy ${pre.getAttribute("aria-label")}`);
    button.addEventListener("click", () => copy(pre.querySelector("code")));
    const frame = document.createElement("div");
    frame.className = "code";
    pre.replaceWith(frame);
    frame.append(pre, button);
  }

  // The language stays chosen for the next visit, where the browser keeps anything for this page.
  const KEPT = "language";
  try {
    const kept = document.getElementById(`in-${localStorage.getItem(KEPT)}`);
    if (kept) kept.checked = true;
    document.querySelector(".languages").addEventListener("change", (event) => localStorage.setItem(KEPT, event.target.value));
  } catch {
    // It keeps nothing.
  }

  // For browsers that do not open what a link leads to.
  function open() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const around = target?.closest("details:not([open])");
    if (!around) return;
    around.open = true;
    target.scrollIntoView();
  }
  addEventListener("hashchange", open);
  open();
})();
