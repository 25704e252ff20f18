// Elements and figures as text.

const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

export function milliseconds(value) {
  return `${value.toPrecision(3)} ms`;
}

export function bytes(value) {
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)} MB`;
  return `${(value / 1e3).toPrecision(3)} kB`;
}

export function percent(value) {
  return `${(100 * value).toFixed(1)} %`;
}

export const METRICS = {
  latency_p50_ms: { label: "Latency, median", text: milliseconds },
  latency_p95_ms: { label: "Latency, p95", text: milliseconds },
  size_bytes: { label: "Size", text: bytes },
  peak_memory_bytes: { label: "Peak memory", text: bytes },
  load_time_ms: { label: "Load time", text: milliseconds },
  accuracy: { label: "Accuracy", text: percent },
};

export function valueOf(member, metric) {
  const known = member.metrics?.[metric];
  if (known !== undefined) return known;
  if (metric === "accuracy") return member.accuracy?.expected ?? member.accuracy_val;
  const figure = member[metric];
  return figure !== null && typeof figure === "object" ? (figure.measured ?? figure.predicted) : figure;
}
