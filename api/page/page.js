// The page: devices, their fronts, jobs.

import { element } from "./elements.js";
import { redraw, showFront } from "./front.js";
import { showJobs, startJob } from "./jobs.js";
import { ask, setKey } from "./service.js";

const at = (id) => document.getElementById(id);
let devices = [];

function report(error) {
  if (error.status === 401) at("key").hidden = false;
  at("problem").textContent = error.message;
  at("problem").hidden = false;
}

async function attempt(action) {
  at("problem").hidden = true;
  try {
    return await action();
  } catch (error) {
    report(error);
    return undefined;
  }
}

function options(select, values, chosen) {
  select.replaceChildren(...values.map((value) => element("option", { value, selected: value === chosen }, value)));
}

async function load() {
  const [known, spaces] = await Promise.all([ask("/v1/devices"), ask("/v1/search-spaces")]);
  at("key").hidden = true;
  const ids = known.devices.map((device) => device.id);
  const before = at("device").value;
  devices = known.devices;
  const first = devices.find((device) => device.id === before) ?? devices.find((device) => device.spaces_with_front.length) ?? devices[0];
  options(at("device"), ids, first?.id);
  const form = at("start");
  options(form.device, ids, first?.id);
  options(form.space, spaces.search_spaces.map((space) => space.name), first?.spaces_with_front[0]);
  await showDevice();
  await showJobs(onEnd);
}

async function showDevice() {
  const device = devices.find((one) => one.id === at("device").value);
  if (!device) {
    at("front-status").textContent = "No device is known yet; `hwnas devices` detects this machine's.";
    return;
  }
  const { profile } = device;
  at("device-facts").textContent = `${profile.processor}, ${profile.runtime} ${profile.runtime_version}, ${profile.threads} ${profile.threads === 1 ? "thread" : "threads"}, batch ${profile.batch}`;
  options(at("space"), device.spaces_with_front, device.spaces_with_front[0]);
  at("space").disabled = !device.spaces_with_front.length;
  await showFront(device.id, device.spaces_with_front[0] ?? null);
}

function onEnd(job) {
  if (job.kind === "search" && job.state === "succeeded") attempt(async () => {
    devices = (await ask("/v1/devices")).devices;
    if (job.device === at("device").value) await showDevice();
  });
}

at("device").addEventListener("change", () => attempt(showDevice));
at("space").addEventListener("change", () => attempt(() => showFront(at("device").value, at("space").value)));
at("copy").addEventListener("click", async () => {
  await navigator.clipboard?.writeText(at("curl").textContent).catch(() => {});
  at("copy").textContent = "Copied";
  setTimeout(() => { at("copy").textContent = "Copy"; }, 1500);
});
at("key").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(at("key-text").value.trim());
  attempt(load);
});
at("start").addEventListener("change", (event) => {
  if (event.target.name !== "kind") return;
  const isSearch = event.target.value === "search";
  at("budget-label").textContent = isSearch ? "Evaluations" : "Measurements";
  at("start").budget.value = isSearch ? 38 : 20;
  at("with-limits").hidden = !isSearch;
});
at("start").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const job = await startJob(at("start"), onEnd);
    at("started").textContent = `${job.kind === "search" ? "Search" : "Calibration"} ${job.id} is queued.`;
  });
});
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  redraw();
});
window.addEventListener("unhandledrejection", (event) => report(event.reason));
attempt(load);
