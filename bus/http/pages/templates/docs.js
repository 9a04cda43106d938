"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", follow);
  follow();

  // What the viewer leaves out for those who do not see the page, or have no mouse: names of fields and
  // regions, levels of headings in order; and it has links inside buttons that do the same.
  const viewer = document.getElementById("viewer");
  const mend = () => {
    for (const field of viewer.querySelectorAll("textarea:not([aria-label])")) field.setAttribute("aria-label", "Request body");
    for (const heading of viewer.querySelectorAll("h4:not([aria-level])")) heading.setAttribute("aria-level", "2");
    const about = viewer.querySelector(".information-container:not([role])");
    about?.setAttribute("role", "region");
    about?.setAttribute("aria-label", "About this service");
    for (const link of viewer.querySelectorAll("button a[href]")) link.removeAttribute("href");
  };
  new MutationObserver(mend).observe(viewer, { childList: true, subtree: true });

  SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#viewer",
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    syntaxHighlight: false, // its colours are for a dark background alone
    validatorUrl: null, // it would send the document to another origin
  });
})();
