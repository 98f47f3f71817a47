// How charts write values and times, for all scripts that draw some.
"use strict";
const figures = (() => {
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const two = (number) => String(number).padStart(2, "0");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // As starter/client/metric_shapes.py writes them.
  function rounded(value) {
    if (Number.isInteger(value) || Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
    return Math.abs(value) >= 1 ? value.toFixed(1) : String(Number(value.toPrecision(2)));
  }
  function bytes(value, digits) {
    let unit = 0;
    while (Math.round(value) >= 1024 && unit < 4) { value /= 1024; unit += 1; }
    const shown = unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1);
    return (digits ? shown : shown.replace(/\.0$/, "")) + " " + ["B", "kB", "MB", "GB", "TB"][unit];
  }
  function figure(value, unit) {
    if (value === null || value === undefined) return "–";
    if (unit === "bytes") return bytes(value, true);
    if (unit === "seconds") return value < 1 ? (value * 1000).toFixed(0) + " ms" : rounded(value) + " s";
    return rounded(value) + { percent: " %", count: "", per_second: " /s", per_minute: " /min", milliseconds: " ms" }[unit];
  }
  function onAxis(value, unit) {
    if (unit === "bytes") return bytes(value, false);
    if (unit === "seconds") return value === 0 ? "0" : value < 1 ? Number((value * 1000).toPrecision(3)) + " ms" : value + " s";
    if (unit === "percent") return value + " %";
    return value >= 1e6 ? value / 1e6 + " M" : value >= 1e4 ? value / 1e3 + " k" : String(Number(value.toPrecision(6)));
  }
  function moment(seconds) {
    const at = new Date(seconds * 1000);
    return at.getUTCDate() + " " + MONTHS[at.getUTCMonth()] + " " + [at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()].map(two).join(":");
  }
  function ticks(u, splits) {
    return splits.map((seconds) => {
      const at = new Date(seconds * 1000);
      const midnight = at.getUTCHours() === 0 && at.getUTCMinutes() === 0;
      return midnight ? at.getUTCDate() + " " + MONTHS[at.getUTCMonth()] : two(at.getUTCHours()) + ":" + two(at.getUTCMinutes());
    });
  }

  // A value between two gaps is a point: a line through it would have no length.
  function alone(u, series) {
    const values = u.data[series], found = [];
    for (let at = 0; at < values.length; at += 1) {
      if (values[at] != null && values[at - 1] == null && values[at + 1] == null) found.push(at);
    }
    return found;
  }

  return { alone, css, figure, moment, onAxis, ticks };
})();
