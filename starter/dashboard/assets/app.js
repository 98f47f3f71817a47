// What pages do beside their forms: one stream of events a tab, dialogs, copying. Without it everything still works.
"use strict";
(() => {
  const about = document.body.dataset.live;
  let stream = null;

  // Browsers allow six connections to a host: a tab that nobody sees has none.
  function listen() {
    if (!about || document.hidden || stream) return;
    stream = new EventSource("/live?about=" + encodeURIComponent(about));
    stream.addEventListener("changed", () => htmx.trigger(document.body, "live"));
    stream.onopen = () => say(true);
    stream.onerror = () => { say(false); if (stream && stream.readyState === EventSource.CLOSED) { deaf(); setTimeout(listen, 2000); } };
  }
  // What is shown may be old: either the stream is gone, or what it told of cannot be read.
  const silent = document.getElementById("silent");
  function say(connected) { if (silent) silent.hidden = connected; }
  document.body.addEventListener("htmx:responseError", () => say(false));
  document.body.addEventListener("htmx:sendError", () => say(false));
  document.body.addEventListener("htmx:afterOnLoad", (event) => { if (event.detail.xhr.status < 400) say(true); });

  function deaf() { if (stream) { stream.close(); stream = null; } }
  document.addEventListener("visibilitychange", () => (document.hidden ? deaf() : listen()));
  window.addEventListener("pagehide", deaf);
  window.addEventListener("pageshow", listen);

  const dialog = document.getElementById("dialog");
  document.body.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "dialog-body" && dialog && !dialog.open) dialog.showModal();
    prepare(event.detail.target.parentElement || document);
  });
  document.body.addEventListener("click", (event) => {
    const close = event.target.closest("[data-close]");
    if (dialog && dialog.open && (close || event.target === dialog)) { event.preventDefault(); dialog.close(); }
    const link = event.target.closest("a[data-dialog]");
    if (link && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
      event.preventDefault();
      // Not the link's own request: a part that is shown anew takes the link away, and its answer with it.
      htmx.ajax("GET", link.getAttribute("href"), { source: "#dialog-body", target: "#dialog-body" });
    }
    const copy = event.target.closest("[data-copy]");
    if (copy) copyFrom(copy);
  });

  async function copyFrom(button) {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }
  // Buttons that only a script can serve are hidden until there is one.
  function prepare(root) { root.querySelectorAll("[data-copy][hidden]").forEach((each) => { each.hidden = false; }); }
  prepare(document);
  const tab = document.querySelector(".tabs [aria-current]");
  if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - 24;
})();
