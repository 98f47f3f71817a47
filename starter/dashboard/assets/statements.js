// Draws the history of each statement of the Queries tab from the values that the page holds.
"use strict";
(() => {
  const HEIGHT = 84, UNITS = ["per_second", "milliseconds"], LEAST = [0.1, 0.1];
  const { alone, css, figure, moment, onAxis, ticks } = figures;
  const root = document.getElementById("statements");
  let drawn = [];

  function draw(history, times, values) {
    history.classList.add("drawn");
    const sparks = [...history.querySelectorAll(".spark")].map((spark, place) => {
      spark.hidden = false;
      const plot = spark.querySelector(".plot"), colour = getComputedStyle(spark.querySelector(".swatch")).color;
      const axis = { stroke: css("--faint"), font: "11px Inter, system-ui, sans-serif", ticks: { show: false }, grid: { stroke: css("--line"), width: 1 } };
      const chart = new uPlot({
        width: plot.clientWidth, height: HEIGHT, tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        legend: { show: false }, padding: [8, 12, 0, 0],
        cursor: { y: false, drag: { x: false, y: false }, sync: { key: history.id }, points: { size: 6, width: 1.5, stroke: css("--surface") } },
        scales: { y: { range: (u, low, high) => [0, Math.max(LEAST[place], (high || 0) * 1.08)] } },
        axes: [
          { ...axis, grid: { show: false }, space: 64, size: 22, values: ticks },
          { ...axis, size: 48, gap: 6, space: 26, values: (u, splits) => splits.map((value) => onAxis(value, UNITS[place])) },
        ],
        series: [{}, { stroke: colour, width: 1.5, points: { show: true, size: 4, width: 0, fill: colour, filter: alone } }],
        hooks: { setCursor: [(u) => tell(spark, values[place], UNITS[place], u.cursor.idx, times)] },
      }, [times, values[place]], plot);
      const watcher = new ResizeObserver(() => { if (plot.clientWidth) chart.setSize({ width: plot.clientWidth, height: HEIGHT }); });
      watcher.observe(plot);
      return { chart, watcher };
    });
    drawn.push(...sparks);
  }

  // Under the cursor it says what was then, else what is now.
  function tell(spark, values, unit, place, times) {
    const known = place !== null && place !== undefined;
    spark.querySelector("b").textContent = figure(known ? values[place] : values[values.length - 1] ?? values[values.length - 2], unit);
    spark.querySelector(".chart-at").textContent = known ? moment(times[place]) : "";
  }

  function build() {
    drawn.forEach(({ chart, watcher }) => { watcher.disconnect(); chart.destroy(); });
    drawn = [];
    const { times, statements } = JSON.parse(root.dataset.values);
    statements.forEach((values, place) => { if (values) draw(document.getElementById("history-" + place), times, values); });
  }

  if (!root || !root.dataset.values) return;
  build();
  document.fonts.ready.then(() => drawn.forEach(({ chart }) => chart.redraw(false)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build);
})();
