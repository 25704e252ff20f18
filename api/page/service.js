// Requests to the service; with an API key where one is needed.

const KEY = "hwnas-key";

export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? `The service answered ${status}.`);
    this.status = status;
    this.document = document;
  }
}

export function setKey(text) {
  sessionStorage.setItem(KEY, text);
}

export function hasKey() {
  return sessionStorage.getItem(KEY) !== null;
}

function headers(more = {}) {
  const key = sessionStorage.getItem(KEY);
  return key === null ? more : { ...more, Authorization: `Bearer ${key}` };
}

// Addresses of the service start with "/"; the page may be behind a proxy's folder.
export function absolute(address) {
  return new URL(address.replace(/^\//, ""), document.baseURI).href;
}

export async function ask(address, { method = "GET", body, signal } = {}) {
  const sent = body === undefined ? {} : { "Content-Type": "application/json" };
  if (method === "POST" && body !== undefined) sent["Idempotency-Key"] = uniqueKey();
  const answer = await fetch(absolute(address), {
    method,
    signal,
    headers: headers(sent),
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const document = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, document);
  return document;
}

function uniqueKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Server-sent events by fetch, since EventSource cannot send a key. Goes on after a lost connection.
export async function follow(address, onEvent, signal) {
  let last = 0;
  while (!signal.aborted) {
    try {
      const answer = await fetch(absolute(address), { headers: headers({ "Last-Event-ID": String(last) }), signal });
      if (answer.status === 204) return;
      if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({})));
      let rest = "";
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const events = (rest + part.value).split("\n\n");
        rest = events.pop();
        for (const event of events) {
          const number = /^id: (\d+)$/m.exec(event);
          if (number === null) continue;
          last = Number(number[1]);
          onEvent();
        }
      }
    } catch (error) {
      if (signal.aborted || (error instanceof Problem && error.status < 500)) return;
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
}

export async function download(address, name) {
  const answer = await fetch(absolute(address), { headers: headers() });
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({})));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

export function curlLine(address) {
  const key = hasKey() ? ' -H "Authorization: Bearer $HWNAS_KEY"' : "";
  return `curl${key} '${absolute(address)}'`;
}
