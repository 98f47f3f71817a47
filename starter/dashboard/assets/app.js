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

  // What is wrong with others than this page is about, and only where somebody sees it.
  const wrong = document.getElementById("wrong");
  let known = "";
  function look() { if (wrong && !document.hidden) htmx.trigger(wrong, "look"); }
  setInterval(look, 15000);
  document.addEventListener("visibilitychange", look);
  if (wrong) wrong.addEventListener("htmx:beforeSwap", (event) => {
    // Notes that are put in again would be read out again.
    if (event.target !== wrong || event.detail.xhr.status !== 200) return;
    event.detail.shouldSwap = event.detail.serverResponse !== known;
    known = event.detail.serverResponse;
  });

  const dialog = document.getElementById("dialog");
  const inDialog = document.getElementById("dialog-body");
  let opener = null;
  function open() { if (!dialog.open) { opener = document.activeElement; dialog.showModal(); } }
  function isOpening(event) { return event.detail.target === inDialog && event.detail.requestConfig.verb === "get"; }
  function busy(event, is) { if (event.detail.elt.matches("form, #dialog-body")) event.detail.elt.setAttribute("aria-busy", is); }
  // What is waited for is shown at once: a dialog opens before there is anything to show in it.
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    if (isOpening(event)) {
      inDialog.replaceChildren(document.getElementById("loading").content.cloneNode(true));
      open();
    }
    busy(event, true);
  });
  document.body.addEventListener("htmx:afterRequest", (event) => busy(event, false));
  document.body.addEventListener("htmx:sendError", (event) => { if (isOpening(event)) dialog.close(); });
  // A part that is shown anew takes away what has the focus: it goes to the same there.
  function focusAgain(was) {
    if (!was || was.isConnected) return;
    const fold = was.matches("summary") && was.parentElement.id;
    const same = was.id ? `#${CSS.escape(was.id)}` : fold ? `#${fold} > summary` : `a[href="${CSS.escape(was.getAttribute("href") || "")}"]`;
    document.querySelector(same)?.focus({ preventScroll: true });
  }
  let focused = null;
  let unfolded = [];
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const { target, xhr } = event.detail;
    if (target === inDialog && xhr.status >= 400) {
      event.detail.shouldSwap = true; // It is a page that says why.
      event.detail.isError = xhr.status >= 500;
    }
    if (isOpening(event) && !dialog.open) event.detail.shouldSwap = false; // It was closed meanwhile.
    focused = document.activeElement;
    unfolded = Array.from(document.querySelectorAll("details[id][open]"), (each) => each.id);
  });
  document.body.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target === inDialog) {
      open();
      (inDialog.querySelector("input:not([type=hidden]), select") || inDialog.querySelector(".card-foot [data-close], a"))?.focus();
    } else focusAgain(focused);
    unfolded.forEach((id) => { const again = document.getElementById(id); if (again) again.open = true; });
    prepare(event.detail.target.parentElement || document);
  });
  dialog?.addEventListener("close", () => {
    htmx.trigger(inDialog, "htmx:abort");
    focusAgain(opener);
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
