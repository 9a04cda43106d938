"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", follow);
  follow();

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
