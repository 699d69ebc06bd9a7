// Reads the page anew every few seconds and puts its main part in place, unless someone is about to do something with it.
"use strict";
(() => {
  const main = document.querySelector("main[data-refresh]");
  if (!main) return;
  const every = Number(main.dataset.refresh) * 1000;
  const gone = document.getElementById("gone");

  const busy = () => {
    const active = document.activeElement;
    const typing = active && active.closest("form, summary");
    const selected = window.getSelection && !window.getSelection().isCollapsed;
    const opened = main.querySelector(".actions details[open]");
    const changed = [...main.querySelectorAll("input, select, textarea")].some((field) => {
      if (field.type === "checkbox") return field.checked !== field.defaultChecked;
      if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
      const usual = [...field.options].find((option) => option.defaultSelected) || field.options[0];
      return usual && !usual.selected;
    });
    return document.hidden || typing || selected || opened || changed;
  };

  const refresh = async () => {
    if (busy()) return;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("main");
      gone.hidden = true;
      if (!fresh || busy() || fresh.innerHTML === main.innerHTML) return;
      const open = [...main.querySelectorAll("details[id][open]")].map((details) => details.id);
      const focused = document.activeElement && document.activeElement.id;
      main.replaceChildren(...fresh.childNodes);
      for (const id of open) {
        const details = document.getElementById(id);
        if (details) details.open = true;
      }
      if (focused && document.getElementById(focused)) document.getElementById(focused).focus({ preventScroll: true });
    } catch {
      gone.hidden = false;
    }
  };
  setInterval(refresh, every);
})();
