// A moment is picked on the recovery window, by a click or by arrow keys and Enter, and asked about in the dialog.
"use strict";
(() => {
  const MARK = 0.004; // the part of the line that a backup's mark takes, as in backups/timeline.py
  let picked = null; // in seconds since 1970; it stays while the page shows the line anew

  const about = (line) => ({ since: +line.dataset.since, end: +line.dataset.end, first: +line.dataset.first, last: +line.dataset.last });
  const text = (at) => new Date(at * 1000).toISOString().slice(0, 19);

  function under(line, event) {
    const { since, end } = about(line);
    const box = line.getBoundingClientRect();
    return since + ((event.clientX - box.left) / box.width - MARK / 2) / (1 - MARK) * (end - since);
  }
  function show(line, at, said) {
    const { since, end, first, last } = about(line);
    picked = Math.round(Math.min(Math.max(at, first), last));
    const x = 1000 * (MARK / 2 + (picked - since) / (end - since) * (1 - MARK));
    line.querySelector(".cursor").setAttribute("d", `M${x} 10v32`);
    const moment = text(picked).replace("T", " ") + " UTC";
    for (const [name, value] of [["now", picked], ["min", first], ["max", last], ["text", moment]]) line.setAttribute("aria-value" + name, value);
    const note = document.getElementById("picked");
    note.hidden = false;
    note.textContent = said ? "Restore to " + moment : note.dataset.hint;
  }
  function restore(line) {
    htmx.ajax("GET", line.dataset.path + "?time=" + text(picked), { source: "#dialog-body", target: "#dialog-body" });
  }

  document.addEventListener("pointermove", (event) => { const line = event.target.closest("#recovery-line"); if (line) show(line, under(line, event), true); });
  document.addEventListener("click", (event) => {
    const line = event.target.closest("#recovery-line");
    if (line) { show(line, under(line, event), true); line.focus(); restore(line); }
  });
  document.addEventListener("keydown", (event) => {
    const line = event.target.closest("#recovery-line");
    if (!line) return;
    const { first, last } = about(line);
    const step = event.shiftKey ? 1 : Math.max(1, Math.round((last - first) / 100));
    const to = { ArrowLeft: picked - step, ArrowDown: picked - step, ArrowRight: picked + step, ArrowUp: picked + step, PageDown: picked - 10 * step, PageUp: picked + 10 * step, Home: first, End: last }[event.key];
    if (to !== undefined) show(line, to, true); else if (event.key === "Enter") restore(line); else return;
    event.preventDefault();
  });

  // Without this script the line is a picture.
  function prepare() {
    const line = document.getElementById("recovery-line");
    if (!line || line.hasAttribute("role")) return;
    for (const [name, value] of [["role", "slider"], ["tabindex", "0"], ["aria-label", "A moment of the recovery window to restore to"]]) line.setAttribute(name, value);
    line.addEventListener("pointerleave", () => show(line, picked, false));
    show(line, picked ?? about(line).last, false);
  }
  document.body.addEventListener("htmx:afterSwap", prepare);
  prepare();
})();
