"use strict";
// The page works without this script: the browser opens and closes the programs.
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

  // Tabs as in the ARIA Authoring Practices: one stop for the Tab key, arrow keys between them.
  const groups = [...document.querySelectorAll(".programs[data-operation]")].map((programs) => {
    const list = document.createElement("div");
    list.className = "tabs";
    list.setAttribute("role", "tablist");
    list.setAttribute("aria-label", `Languages for ${programs.dataset.operation}`);
    const tabs = [...programs.querySelectorAll("details")].map((panel) => tabOf(panel, programs.dataset.operation));
    list.append(...tabs.map(({ tab }) => tab));
    list.addEventListener("keydown", (event) => move(event, tabs));
    programs.querySelector("h4").after(list);
    programs.classList.add("tabbed");
    return { programs, tabs };
  });

  function tabOf(panel, operation) {
    const language = panel.dataset.language;
    const tab = document.createElement("button");
    tab.type = "button";
    tab.id = `${operation}-${language}-tab`;
    tab.textContent = panel.querySelector("summary").textContent;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", `${operation}-${language}`);
    tab.addEventListener("click", () => choose(language, tab));
    panel.id = `${operation}-${language}`;
    panel.removeAttribute("name");
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", tab.id);
    return { tab, panel, language };
  }

  function move(event, tabs) {
    const steps = { ArrowRight: 1, ArrowLeft: -1 };
    const at = tabs.findIndex(({ tab }) => tab === document.activeElement);
    const places = { Home: 0, End: tabs.length - 1 };
    const to = event.key in steps ? (at + steps[event.key] + tabs.length) % tabs.length : places[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(tabs[to].language, tabs[to].tab);
    tabs[to].tab.focus();
  }

  // Choosing a language switches all operations to it. The clicked tab keeps its place on the screen.
  function choose(language, tab) {
    const before = tab?.getBoundingClientRect().top;
    for (const { tabs } of groups) {
      for (const each of tabs) {
        const chosen = each.language === language;
        each.tab.setAttribute("aria-selected", String(chosen));
        each.tab.tabIndex = chosen ? 0 : -1;
        each.panel.open = chosen;
        each.panel.hidden = !chosen;
      }
    }
    if (tab) scrollBy(0, tab.getBoundingClientRect().top - before);
  }

  if (groups.length) choose(groups[0].tabs[0].language);
  // The page became shorter after the browser scrolled to the fragment of its address.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
})();
