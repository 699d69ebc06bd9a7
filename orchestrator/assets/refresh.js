// Replaces the main part of the page every few seconds, unless the user is interacting with it.
"use strict";
(() => {
  const main = document.querySelector("main[data-refresh]");
  if (!main) return;
  const intervalMs = Number(main.dataset.refresh) * 1000;
  const unavailable = document.getElementById("unavailable");

  const isChanged = (field) => {
    if (field.type === "checkbox") return field.checked !== field.defaultChecked;
    if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
    const initial = [...field.options].find((option) => option.defaultSelected) || field.options[0];
    return initial && !initial.selected;
  };

  const isInUse = () => {
    const active = document.activeElement;
    const hasFocus = active && active.closest("form, summary");
    const hasSelection = window.getSelection && !window.getSelection().isCollapsed;
    const hasOpenAction = main.querySelector(".actions details[open]");
    const hasInput = [...main.querySelectorAll("input, select, textarea")].some(isChanged);
    return document.hidden || hasFocus || hasSelection || hasOpenAction || hasInput;
  };

  const refresh = async () => {
    if (isInUse()) return;
    try {
      const response = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
      if (!response.ok) throw new Error(String(response.status));
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const newMain = page.querySelector("main");
      unavailable.hidden = true;

      // Checked again: the user may have started to interact while the page was loading.
      if (!newMain || isInUse() || newMain.innerHTML === main.innerHTML) return;

      const openIds = [...main.querySelectorAll("details[id][open]")].map((details) => details.id);
      const focusedId = document.activeElement && document.activeElement.id;
      main.replaceChildren(...newMain.childNodes);
      for (const id of openIds) {
        const details = document.getElementById(id);
        if (details) details.open = true;
      }
      const focused = focusedId && document.getElementById(focusedId);
      if (focused) focused.focus({ preventScroll: true });
    } catch {
      unavailable.hidden = false;
    }
  };
  setInterval(refresh, intervalMs);
})();
