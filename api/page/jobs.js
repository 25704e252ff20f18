// Jobs with live progress, and starting new ones.

import { element, percent } from "./elements.js";
import { limits } from "./front.js";
import { ask, follow } from "./service.js";

const LISTED = 15;
const ACTIVE = new Set(["queued", "running"]);
const at = (id) => document.getElementById(id);
const followed = new Map();

export async function showJobs(onEnd) {
  const [searches, calibrations, trainings] = await Promise.all([
    ask(`/v1/searches?page_size=${LISTED}`),
    ask(`/v1/calibrations?page_size=${LISTED}`),
    ask(`/v1/trainings?page_size=${LISTED}`),
  ]);
  const jobs = [...searches.searches, ...calibrations.calibrations, ...trainings.trainings];
  jobs.sort((one, other) => other.created_at.localeCompare(one.created_at));
  at("jobs").replaceChildren(...jobs.slice(0, LISTED).map((job) => entry(job, onEnd)));
  if (!jobs.length) at("jobs").append(element("li", { class: "hint" }, "No job yet."));
  for (const job of jobs.slice(0, LISTED)) if (ACTIVE.has(job.state)) watch(job, onEnd);
}

export async function startJob(form, onEnd) {
  const fields = new FormData(form);
  const kind = fields.get("kind");
  const body = {
    space: fields.get("space"),
    seed: Number(fields.get("seed")),
    priority: Number(fields.get("priority")),
  };
  const device = fields.get("device");
  let address = "/v1/searches";
  if (kind === "calibration") {
    address = `/v1/devices/${device}/calibrations`;
    body.budget = Number(fields.get("budget"));
  } else {
    Object.assign(body, { device, evaluations: Number(fields.get("budget")) });
    if (fields.get("limits")) body.limits = limits();
  }
  const job = await ask(address, { method: "POST", body });
  at("jobs").querySelector(".hint")?.remove();
  at("jobs").prepend(entry(job, onEnd));
  watch(job, onEnd);
  return job;
}

function entry(job, onEnd) {
  const li = element("li", { id: `job-${job.id}` });
  fill(li, job, onEnd);
  return li;
}

function fill(li, job, onEnd) {
  const active = ACTIVE.has(job.state);
  const title = element("strong", {}, titleText(job));
  const status = element("span", { class: job.state === "failed" ? "failed" : "", "data-state": job.state }, stateText(job));
  const detail = element("span", { class: "detail" }, detailText(job));
  li.replaceChildren(title, status, detail);
  if (active && !job.cancel_requested) {
    const cancel = element("button", { type: "button", class: "quiet", "aria-label": `Cancel ${title.textContent}` }, "Cancel");
    cancel.addEventListener("click", async () => fill(li, await ask(`${job.url}:cancel`, { method: "POST" }), onEnd));
    li.append(cancel);
  }
  if (active) {
    const label = `Progress of ${title.textContent}`;
    li.append(element("progress", { max: 1, value: job.total_progress, "aria-label": label }));
  }
}

function titleText(job) {
  if (job.kind === "training") return `Training of ${job.request.space}`;
  return `${job.kind === "search" ? "Search" : "Calibration"} on ${job.device ?? "?"}`;
}

function stateText(job) {
  if (job.cancel_requested) return "stopping";
  if (job.state === "queued") return job.queue_position ? `queued, number ${job.queue_position}` : "queued";
  return job.state === "running" ? `running, ${percent(job.total_progress)}` : job.state;
}

function detailText(job) {
  if (job.error) return job.error.message;
  const parts = [];
  if (ACTIVE.has(job.state) && job.phase) parts.push(`${job.phase}: ${job.progress.done} of ${job.progress.total}`);
  if (ACTIVE.has(job.state) && job.progress?.seconds_left) parts.push(`${Math.ceil(job.progress.seconds_left)} s left`);
  if (job.evaluations) parts.push(`${job.evaluations} evaluations`);
  if (job.evaluations_failed) parts.push(`${job.evaluations_failed} failed`);
  if (job.evaluations_noisy) parts.push(`${job.evaluations_noisy} noisy`);
  if (job.result?.expected_mape_pct) parts.push(`expected error ${job.result.expected_mape_pct.toFixed(1)} %`);
  return parts.join(" · ");
}

function watch(job, onEnd) {
  if (followed.has(job.id)) return;
  const stop = new AbortController();
  followed.set(job.id, stop);
  let asking = false;
  let ended = false;
  let again = false;
  const update = async () => {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      do {
        again = false;
        const now = await ask(job.url);
        const li = at(`job-${job.id}`);
        if (li) fill(li, now, onEnd);
        if (!ACTIVE.has(now.state) && !ended) {
          ended = true;
          onEnd(now);
        }
      } while (again);
    } finally {
      asking = false;
    }
  };
  follow(`${job.url}/events`, () => update().catch(() => {}), stop.signal).finally(() => {
    followed.delete(job.id);
    update().catch(() => {});
  });
}
