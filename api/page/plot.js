// The front as a plot: latency and accuracy with their 90 % intervals.

import { drawn, milliseconds, percent, valueOf } from "./elements.js";

const MARGIN = { left: 78, right: 18, top: 14, bottom: 46 };
const REACH = 30;

export function drawPlot(place, members, { within, chosen, onChoose }) {
  const width = Math.max(300, Math.min(900, place.clientWidth || 640));
  const height = Math.round(Math.max(260, width * 0.55));
  const points = members.map((member) => ({
    member,
    x: valueOf(member, "latency_p50_ms"),
    y: valueOf(member, "accuracy"),
    xs: member.latency_p50_ms.interval_90 ?? [],
    ys: member.accuracy?.interval_90 ?? [],
  }));
  const x = logarithmic(points.flatMap((point) => [point.x, ...point.xs]), MARGIN.left, width - MARGIN.right);
  const y = linear(points.flatMap((point) => [point.y, ...point.ys]), height - MARGIN.bottom, MARGIN.top);
  const label = `${members.length} networks: accuracy against median latency, with 90 % intervals`;
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
  for (const tick of x.ticks) {
    const at = x.at(tick);
    svg.append(
      drawn("line", { class: "grid", x1: at, x2: at, y1: MARGIN.top, y2: height - MARGIN.bottom }),
      drawn("text", { x: at, y: height - MARGIN.bottom + 18, "text-anchor": "middle" }, String(tick)),
    );
  }
  for (const tick of y.ticks) {
    const at = y.at(tick);
    svg.append(
      drawn("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: at, y2: at }),
      drawn("text", { x: MARGIN.left - 8, y: at + 4, "text-anchor": "end" }, percent(tick)),
    );
  }
  svg.append(
    drawn("text", { x: (MARGIN.left + width) / 2, y: height - 8, "text-anchor": "middle" }, "median latency (ms, logarithmic)"),
    drawn("text", { x: -height / 2 + 16, y: 18, transform: "rotate(-90)", "text-anchor": "middle" }, "accuracy"),
  );
  const groups = points.map((point, index) => {
    const { member } = point;
    const inside = within.has(member.candidate);
    const [cx, cy] = [x.at(point.x), y.at(point.y)];
    const group = drawn("g", {
      role: "button",
      tabindex: index === firstStop(members, chosen) ? 0 : -1,
      "data-candidate": member.candidate,
      class: inside ? "in" : "out",
      "aria-pressed": String(member.candidate === chosen),
      "aria-label": `${member.summary}, ${member.precision}: ${percent(point.y)} at ${milliseconds(point.x)}${inside ? "" : ", outside the limits"}`,
    });
    if (point.xs.length) group.append(drawn("line", { class: "bar", x1: x.at(point.xs[0]), x2: x.at(point.xs[1]), y1: cy, y2: cy }));
    if (point.ys.length) group.append(drawn("line", { class: "bar", x1: cx, x2: cx, y1: y.at(point.ys[0]), y2: y.at(point.ys[1]) }));
    group.append(
      drawn("circle", { class: "hit", cx, cy, r: 14 }),
      drawn("circle", { class: "dot", cx, cy, r: 6 }),
      drawn("title", {}, `${member.summary}\n${percent(point.y)} at ${milliseconds(point.x)}`),
    );
    return group;
  });
  svg.append(...groups);
  // Networks may lie close together: a click takes the nearest one.
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    const zoom = width / box.width;
    const away = points.map((point) =>
      Math.hypot((event.clientX - box.left) * zoom - x.at(point.x), (event.clientY - box.top) * zoom - y.at(point.y)),
    );
    const nearest = away.indexOf(Math.min(...away));
    if (away[nearest] <= REACH * zoom) onChoose(members[nearest].candidate);
  });
  svg.addEventListener("keydown", (event) => {
    const index = groups.indexOf(event.target.closest("g[role=button]"));
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (index >= 0 && step !== undefined) {
      event.preventDefault();
      const next = groups[(index + step + groups.length) % groups.length];
      groups.forEach((group) => group.setAttribute("tabindex", group === next ? 0 : -1));
      next.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      if (index >= 0) onChoose(members[index].candidate);
    }
  });
  const focused = document.activeElement?.dataset?.candidate;
  place.replaceChildren(svg);
  if (focused) groups.find((group) => group.dataset.candidate === focused)?.focus();
}

function firstStop(members, chosen) {
  return Math.max(0, members.findIndex((member) => member.candidate === chosen));
}

function logarithmic(values, from, to) {
  const [low, high] = [Math.log(Math.min(...values)), Math.log(Math.max(...values))];
  const pad = 0.06 * (high - low || 1);
  const ticks = [];
  for (let power = -6; power <= 6; power++) {
    for (const factor of [1, 2, 5]) {
      const tick = Number((factor * 10 ** power).toPrecision(3));
      if (Math.log(tick) >= low - pad && Math.log(tick) <= high + pad) ticks.push(tick);
    }
  }
  const share = (value) => (Math.log(value) - low + pad) / (high - low + 2 * pad);
  return { ticks, at: (value) => from + share(value) * (to - from) };
}

function linear(values, from, to) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = 0.06 * (high - low || high || 1);
  [low, high] = [low - pad, high + pad];
  const step = niceStep((high - low) / 5);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) ticks.push(Number(tick.toPrecision(6)));
  return { ticks, at: (value) => from + ((value - low) / (high - low)) * (to - from) };
}

function niceStep(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= step);
}
