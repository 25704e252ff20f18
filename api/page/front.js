// A device's front: the plot, limits as sliders that ask the service, and the network that was selected.

import { METRICS, bytes, element, milliseconds, percent, valueOf } from "./elements.js";
import { drawPlot } from "./plot.js";
import { Problem, ask, curlLine, download, hasKey } from "./service.js";

const LIMITS = {
  max_latency_p50_ms: ["latency_p50_ms", "Maximum median latency"],
  max_latency_p95_ms: ["latency_p95_ms", "Maximum p95 latency"],
  max_size_bytes: ["size_bytes", "Maximum size"],
  max_peak_memory_bytes: ["peak_memory_bytes", "Maximum peak memory"],
  max_load_time_ms: ["load_time_ms", "Maximum load time"],
  min_accuracy: ["accuracy", "Minimum accuracy"],
};
const STEPS = 100;
const DEBOUNCE_MS = 120;
const at = (id) => document.getElementById(id);

const state = { device: null, space: null, members: [], within: new Set(), chosen: null, sliders: new Map() };
let pending = new AbortController();
let timer;
let turns = 0;

export async function showFront(device, space) {
  const turn = ++turns;
  const parameters = new URLSearchParams({ space });
  const front = space === null ? null : await ask(`/v1/devices/${device}/pareto?${parameters}`);
  if (turn !== turns) return; // another front was asked for meanwhile
  pending.abort();
  clearTimeout(timer);
  Object.assign(state, { device, space, members: [], within: new Set(), chosen: null });
  state.sliders.clear();
  at("limits").replaceChildren(element("legend", {}, "Limits"));
  at("member").replaceChildren(element("p", { class: "hint" }, "Select a network in the plot or in the table."));
  at("plot").replaceChildren();
  at("table").replaceChildren();
  at("curl").textContent = "";
  at("table-view").hidden = space === null;
  if (front === null) {
    at("front-status").textContent = "This device has no front yet; start a search below.";
    return;
  }
  state.members = front.members;
  state.within = new Set(front.members.map((member) => member.candidate));
  for (const [name, [metric, label]] of Object.entries(LIMITS)) addSlider(name, metric, label);
  render();
  at("front-status").textContent = `${front.members.length} networks, ${front.evaluations} evaluations, data ${front.data}.`;
}

export function limits() {
  const set = {};
  for (const [name, slider] of state.sliders) {
    const value = slider.value();
    if (value !== null) set[name] = value;
  }
  return set;
}

export function redraw() {
  if (state.members.length) render();
}

function address(query = limits()) {
  const parameters = new URLSearchParams({ space: state.space, ...query });
  return `/v1/devices/${state.device}/pareto?${parameters}`;
}

function addSlider(name, metric, label) {
  const values = state.members.map((member) => valueOf(member, metric)).filter((value) => value !== undefined && value !== null);
  if (values.length < 2) return;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (low === high) return;
  const isMinimum = name.startsWith("min_");
  const { text } = METRICS[metric];
  const input = element("input", { type: "range", id: name, min: 0, max: STEPS, step: 1, value: isMinimum ? 0 : STEPS });
  const output = element("output", { for: name });
  const free = isMinimum ? 0 : STEPS;
  const value = () => {
    if (Number(input.value) === free) return null;
    // A little beyond both ends, so that the end of the scale keeps no network, or all of them.
    const share = Number(input.value) / STEPS;
    const raw = low * 0.98 + share * (high * 1.02 - low * 0.98);
    return metric.endsWith("_bytes") ? Math.round(raw) : Number(raw.toPrecision(4));
  };
  const show = () => {
    const now = value();
    output.textContent = now === null ? "no limit" : `${isMinimum ? "≥" : "≤"} ${text(now)}`;
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.addEventListener("input", () => {
    show();
    at("curl").textContent = curlLine(address());
    clearTimeout(timer);
    timer = setTimeout(applyLimits, DEBOUNCE_MS);
  });
  show();
  state.sliders.set(name, { value });
  at("limits").append(
    element("div", { class: "limit" }, element("label", { for: name }, label, output), input),
  );
}

async function applyLimits() {
  pending.abort();
  pending = new AbortController();
  const { signal } = pending;
  try {
    const front = await ask(address(), { signal });
    state.within = new Set(front.members.map((member) => member.candidate));
    at("front-status").textContent = `${front.members.length} of ${state.members.length} networks meet the limits.`;
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem) || error.status !== 409) throw error;
    state.within = new Set();
    at("front-status").textContent = error.message;
    if (error.document.nearest) state.chosen = error.document.nearest.candidate;
  }
  render();
}

function choose(candidate) {
  state.chosen = candidate;
  render();
}

function render() {
  at("curl").textContent = curlLine(address());
  drawPlot(at("plot"), state.members, { within: state.within, chosen: state.chosen, onChoose: choose });
  renderTable();
  const member = state.members.find((one) => one.candidate === state.chosen);
  if (member) renderMember(member);
}

function renderTable() {
  const head = element("tr", {}, ...["Network", "Precision", "Accuracy", "Median", "p95", "Size"].map((name) => element("th", { scope: "col" }, name)));
  const rows = state.members.map((member) => {
    const inside = state.within.has(member.candidate);
    const figures = [
      percent(valueOf(member, "accuracy")),
      milliseconds(valueOf(member, "latency_p50_ms")),
      milliseconds(valueOf(member, "latency_p95_ms")),
      bytes(member.size_bytes),
    ];
    const button = element("button", { type: "button", class: "quiet", onclick: () => choose(member.candidate) }, member.summary);
    return element(
      "tr",
      { class: inside ? "in" : "out" },
      element("td", {}, button),
      element("td", {}, member.precision),
      ...figures.map((text) => element("td", { class: "number" }, text)),
    );
  });
  at("table").replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
}

function renderMember(member) {
  const entries = [["Precision", member.precision]];
  if (member.float_units?.length) entries.push(["Computed in float all the same", member.float_units.join(", ")]);
  const accuracy = member.accuracy;
  entries.push(["Accuracy, expected", withInterval(percent, valueOf(member, "accuracy"), accuracy?.interval_90)]);
  if (member.accuracy_test !== null) entries.push(["Accuracy, test images", percent(member.accuracy_test)]);
  for (const metric of ["latency_p50_ms", "latency_p95_ms"]) {
    const { label } = METRICS[metric];
    const figure = member[metric];
    if (figure.measured !== null) entries.push([`${label}, measured`, milliseconds(figure.measured)]);
    if (figure.predicted !== null) entries.push([`${label}, predicted`, withInterval(milliseconds, figure.predicted, figure.interval_90)]);
  }
  for (const metric of ["size_bytes", "peak_memory_bytes", "load_time_ms"]) {
    const value = valueOf(member, metric);
    if (value !== undefined && value !== null) entries.push([METRICS[metric].label, METRICS[metric].text(value)]);
  }
  if (member.quality && member.quality !== "ok") entries.push(["Measurement", member.quality]);
  const files = Object.entries(member.artifacts ?? {}).map(([kind, path]) => fileLink(member, kind, path));
  at("member").replaceChildren(
    element("h3", {}, member.summary),
    element("dl", {}, ...entries.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text)))),
    element("p", { class: "downloads" }, "Download: ", ...files),
  );
}

function fileLink(member, kind, path) {
  const target = `/v1/${path}`;
  const name = `${member.candidate.slice(0, 12)}-${kind}`;
  const link = element("a", { href: target.slice(1), download: name }, kind);
  link.addEventListener("click", (event) => {
    if (!hasKey()) return;
    event.preventDefault();
    download(target, name).catch((error) => { at("front-status").textContent = error.message; });
  });
  return link;
}

function withInterval(text, value, interval) {
  return interval ? `${text(value)} (${text(interval[0])} to ${text(interval[1])})` : text(value);
}
