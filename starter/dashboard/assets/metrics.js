// Draws the charts of the Metrics tab from the values that the page holds, and has them anew while somebody looks.
"use strict";
(() => {
  const EVERY_MS = 15000, HEIGHT = 176, NEAR_PX = 8;
  const POWERS = Array.from({ length: 50 }, (_, power) => 2 ** power);
  const LEAST = { percent: 100, bytes: 1024, count: 4, per_second: 1, per_minute: 1, seconds: 0.01 };
  const { alone, css, figure, moment, onAxis, ticks } = figures;
  let root = document.getElementById("metrics");
  let charts = [], marks = [], told = null, asking = false;

  const read = (from) => JSON.parse(from.dataset.values);
  const names = (values) => JSON.stringify(values.charts.map((each) => [each.id, each.series.map((line) => line.name)]));

  function draw(figureElement, chart, values) {
    const plot = figureElement.querySelector(".plot"), legend = figureElement.querySelector(".legend");
    plot.hidden = false; legend.hidden = false; figureElement.classList.add("drawn");
    const colour = (place) => getComputedStyle(legend.children[place].querySelector(".swatch")).color;
    const lines = chart.series.map((line, place) => ({
      label: line.name, stroke: colour(place), width: line.limit ? 1 : 1.5, dash: line.limit ? [4, 4] : undefined,
      points: { show: true, size: 4, width: 0, fill: colour(place), filter: alone },
    }));
    const axis = { stroke: css("--faint"), font: "11px Inter, system-ui, sans-serif", ticks: { show: false }, grid: { stroke: css("--line"), width: 1 } };
    const drawn = new uPlot({
      width: plot.clientWidth, height: HEIGHT, tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      legend: { show: false }, padding: [8, 20, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: "metrics" }, points: { size: 6, width: 1.5, stroke: css("--surface") } },
      scales: { y: { range: (u, low, high) => [ground(chart, low), top(chart.unit, high)] } },
      axes: [
        { ...axis, grid: { show: false }, space: 64, size: 28, values: ticks },
        { ...axis, size: 60, gap: 8, space: 34, incrs: chart.unit === "bytes" ? POWERS : undefined, values: (u, splits) => splits.map((value) => onAxis(value, chart.unit)) },
      ],
      series: [{}, ...lines],
      hooks: { draw: [(u) => mark(u)], setCursor: [(u) => tell(u.cursor.idx)] },
    }, data(chart, values), plot);
    const watcher = new ResizeObserver(() => { if (plot.clientWidth) drawn.setSize({ width: plot.clientWidth, height: HEIGHT }); });
    watcher.observe(plot);
    return { drawn, watcher, chart, figureElement };
  }
  const data = (chart, values) => [values.times, ...chart.series.map((line) => line.values)];
  // What is nothing all the time lies on the ground, and a limit is not at the edge.
  const top = (unit, high) => (unit === "percent" ? Math.max(100, high || 0) : Math.max(LEAST[unit], (high || 0) * 1.08));

  const ground = (chart, low) => (chart.id !== "cache" || low === null || low < 50 ? 0 : low < 90 ? 50 : 90);

  // Under the cursor each chart says what it was then, else what it is now.
  function tell(place) {
    if (place === told) return;
    told = place;
    charts.forEach(({ chart, figureElement, drawn }) => {
      const known = place !== null && place !== undefined;
      figureElement.querySelector(".chart-at").textContent = known ? moment(drawn.data[0][place]) : "";
      figureElement.querySelectorAll(".legend b").forEach((each, line) => { each.textContent = figure(known ? chart.series[line].values[place] : latest(chart.series[line].values), chart.unit); });
    });
  }
  const latest = (values) => values[values.length - 1] ?? values[values.length - 2];

  // Operations: those that lie on one spot are one mark.
  function mark(u) {
    u.over.querySelectorAll(".op-mark").forEach((each) => each.remove());
    const wide = u.over.clientWidth, groups = [];
    marks.forEach((each) => {
      const left = Math.max(u.valToPos(each.start, "x"), 0);
      const last = groups[groups.length - 1];
      if (last && left - last.left < NEAR_PX) last.of.push(each);
      else groups.push({ left, of: [each], right: each.end === null ? wide : Math.min(u.valToPos(each.end, "x"), wide) });
    });
    groups.forEach(({ left, right, of }) => {
      const made = document.createElement("a"), tip = document.createElement("span");
      made.href = of.length === 1 ? of[0].path : root.dataset.operations;
      made.tabIndex = -1; // the list below the charts is for keyboards
      const tone = ["bad", "warn", "idle"].find((each) => of.some((one) => one.tone === each));
      made.className = "op-mark " + tone + (left > wide / 2 ? " flip" : "");
      made.style.left = left + "px";
      made.style.width = Math.max(9, right - left + 4) + "px";
      tip.className = "op-tip";
      tip.textContent = of.slice(0, 4).map((one) => one.text).join("\n") + (of.length > 4 ? "\n" + (of.length - 4) + " more" : "");
      made.append(tip);
      u.over.append(made);
    });
  }

  function end() {
    charts.forEach(({ drawn, watcher }) => { watcher.disconnect(); drawn.destroy(); });
    charts = []; told = null;
  }
  function build(values) {
    end();
    marks = values.marks;
    charts = values.charts.map((chart) => draw(document.getElementById("chart-" + chart.id), chart, values));
  }

  function show(next) {
    const values = read(next);
    if (charts.length && names(values) === names({ charts: charts.map(({ chart }) => chart) })) {
      marks = values.marks;
      told = null;
      values.charts.forEach((chart, place) => {
        const kept = charts[place], fresh = next.querySelector("#chart-" + chart.id);
        kept.chart.series = chart.series;
        [".table", "figcaption"].forEach((part) => kept.figureElement.querySelector(part).replaceWith(fresh.querySelector(part)));
        kept.drawn.setData(data(chart, values));
      });
      tell(charts[0].drawn.cursor.idx);
      root.lastElementChild.replaceWith(next.lastElementChild);
      root.dataset.values = next.dataset.values;
      return;
    }
    end();
    root.replaceWith(next);
    root = next;
    build(values);
  }

  async function refresh() {
    if (document.hidden || asking) return;
    asking = true;
    let failed = false;
    try {
      const answer = await fetch(location.pathname + location.search, { headers: { "HX-Request": "true" } });
      const elsewhere = answer.headers.get("HX-Redirect");
      if (elsewhere) { location.assign(elsewhere); return; }
      const next = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("metrics");
      if (next) show(next); else failed = true;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // what fetch raises where nobody answers
      failed = true;
    } finally {
      asking = false;
    }
    document.getElementById("metrics-stale").hidden = !failed;
  }

  if (!root) return;
  build(read(root));
  document.fonts.ready.then(() => charts.forEach(({ drawn }) => drawn.redraw(false)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => build(read(root)));
  setInterval(refresh, EVERY_MS);
  document.addEventListener("visibilitychange", refresh);
})();
