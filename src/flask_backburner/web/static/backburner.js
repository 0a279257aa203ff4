// Flask-Backburner in the browser: watch(), <job-progress> and <job-log>; typed in backburner.d.ts.
// Text enters the page through textContent alone, so the strictest Content-Security-Policy will do.

const PATIENCE = 20; // seconds for one answer
const SHORTEST_PAUSE = 0.05;
const LONGEST_PAUSE = 30; // seconds between two tries while the server is away
const LOG_PAUSE = 5; // seconds between two reads of a silent log
const MOST_LINES = 1000; // as many as the server keeps

/** The documents of one job as they change; ends when the job is done or `signal` says so. */
export async function* watch(url, options = {}) {
  let newest = -Infinity;
  for await (const job of polled(url, options)) {
    if (job.version < newest) continue; // an answer from before the last one
    newest = job.version;
    yield job;
    if (job.done) return;
  }
}

// Transports: generators of documents, as they come, until they are told to stop.

async function* polled(url, { signal, onconnection } = {}) {
  let etag;
  let pause = 0;
  let wait = 0;
  let failures = 0;
  for (;;) {
    await rest(wait, signal);
    if (signal?.aborted) return;
    const headers = etag ? { "If-None-Match": etag } : {};
    const { lost, status, retry, body, ...answer } = await ask(url, { signal, headers });
    if (signal?.aborted) return;
    if (lost) {
      if (!failures) onconnection?.(false);
      wait = Math.max(retry, around(Math.min(2 ** failures++, LONGEST_PAUSE), 0.5));
      continue;
    }
    if (failures) onconnection?.(true);
    failures = 0;
    if (status >= 400) throw refusal(status);
    // Retry-After is `poll_after` in whole seconds: only a larger one says more. Of an unchanged
    // job it is the only word on how the pauses grow.
    const own = body?.poll_after ?? Math.min(pause * 1.5, retry || Math.ceil(pause));
    pause = retry > Math.ceil(own) ? retry : own;
    wait = around(Math.max(pause, SHORTEST_PAUSE), 0.1);
    if (!body) continue;
    etag = answer.etag;
    yield body;
  }
}

function around(seconds, share) {
  return seconds * (1 - share + 2 * share * Math.random());
}

/** Wait; not over while the page is hidden, over at once when it is seen again or back online. */
function rest(seconds, signal) {
  return new Promise((resolve) => {
    const over = new AbortController();
    const end = () => {
      clearTimeout(timer);
      over.abort();
      resolve();
    };
    const wake = () => document.hidden || end();
    const timer = setTimeout(wake, Math.min(seconds, 1e6) * 1000);
    document.addEventListener("visibilitychange", wake, { signal: over.signal });
    addEventListener("online", wake, { signal: over.signal });
    signal?.addEventListener("abort", end, { signal: over.signal });
    if (signal?.aborted) end();
  });
}

/** One request; `lost` is an answer that did not come or that a later try may better. */
async function ask(url, { signal, headers, method } = {}) {
  const signals = [AbortSignal.timeout(PATIENCE * 1000)];
  if (signal) signals.push(signal);
  try {
    const answer = await fetch(url, {
      method,
      headers: { Accept: "application/json", ...headers },
      cache: "no-store",
      signal: AbortSignal.any(signals),
    });
    const { status } = answer;
    const retry = Number(answer.headers.get("Retry-After")) || 0;
    if (status >= 500 || status == 429) return { lost: true, status, retry };
    if (!answer.ok) return { status, retry };
    if (answer.redirected && !/json/.test(answer.headers.get("Content-Type"))) return { status: 401 };
    return { status, retry, etag: answer.headers.get("ETag") ?? "", body: await answer.json() };
  } catch {
    return { lost: true, status: 0, retry: 0 };
  }
}

function refusal(status) {
  const words = { 401: "Please sign in again.", 404: "This job is unknown.", 410: "This job is no longer kept." };
  return Object.assign(new Error(words[status] ?? `This job cannot be read (${status}).`), { status });
}

// Words. The template progress.html says the same ones.

function human(task) {
  const name = task.split(/[:.]/).pop().replaceAll("_", " ").trim();
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function about(seconds) {
  if (seconds < 90) return `about ${Math.max(1, Math.floor(seconds + 0.5))} s`;
  if (seconds < 5400) return `about ${Math.floor(seconds / 60 + 0.5)} min`;
  return `about ${Math.floor(seconds / 3600 + 0.5)} h`;
}

function stateWords({ state, attempt, cancel_requested }) {
  if (state == "succeeded") return "Done";
  if (state == "running" && cancel_requested) return "Cancelling …";
  return human(state) + (state == "running" && attempt > 1 ? `, attempt ${attempt}` : "");
}

function waitingWords(waiting) {
  const { reason, position, estimate } = waiting ?? {};
  const when = estimate == null ? "" : about(estimate);
  const place = position > 1 ? `Number ${position} in line` : position ? "Next in line" : "Waiting in line";
  const words = {
    in_line: when ? `${place}, ${when}` : place,
    scheduled: when ? `Starts in ${when}` : "Scheduled for later",
    retry: when ? `The last attempt failed; the next is in ${when}` : "The last attempt failed; waiting for the next",
    no_worker: "Waiting: no worker is running",
    paused: "Waiting: the queue is paused",
    limit: "Waiting: as many of these jobs run as may at once",
  };
  return words[reason] ?? "Waiting to start";
}

function amount({ fraction, current }) {
  if (fraction != null) return `${Math.floor(fraction * 100 + 1e-9)}%`;
  return current == null ? "" : `${Math.floor(current).toLocaleString("en")} done`;
}

function clock(at) {
  return new Date(at).toLocaleTimeString([], { hourCycle: "h23" });
}

function resultWords(result) {
  if (result == null) return "";
  return typeof result == "object" ? JSON.stringify(result, null, 2) : String(result);
}

// Elements

const loaded =
  document.readyState == "complete" ||
  new Promise((resolve) => {
    addEventListener("DOMContentLoaded", resolve);
    addEventListener("load", resolve);
  });

const PARTS = {
  label: "span", state: "span", cancel: "form", bar: "progress", message: "span", amount: "span",
  left: "span", note: "p", error: "p", result: "pre", live: "span",
};

function put(node, text) {
  if (node.textContent != text) node.textContent = text;
  node.hidden = !text;
}

class JobProgress extends HTMLElement {
  static observedAttributes = ["src"];
  #parts;
  #job = null;
  #said = null;
  #watching;

  /** The newest document, or null. */
  get job() {
    return this.#job;
  }

  connectedCallback() {
    this.#parts ??= this.#adopt();
    this.#begin();
  }

  disconnectedCallback() {
    this.#watching.abort();
  }

  attributeChangedCallback(name, before, now) {
    if (!this.#parts || before == now) return;
    this.#job = this.#said = null;
    delete this.dataset.job;
    put(this.#parts.result, "");
    this.#begin();
  }

  /** Take the parts that the server rendered; make those that are missing. */
  #adopt() {
    const parts = {};
    const made = [];
    for (const [name, tag] of Object.entries(PARTS)) {
      let part = this.querySelector(`.backburner-${name}`);
      if (!part) {
        part = document.createElement(tag);
        part.className = `backburner-${name}`;
        part.hidden = !["bar", "live"].includes(name);
        made.push(part);
      }
      parts[name] = part;
    }
    this.prepend(...made);
    parts.bar.max = 1;
    parts.bar.ariaLabel ??= this.getAttribute("label") ?? "Job";
    parts.note.role = "status";
    parts.error.role = "alert";
    parts.live.ariaLive = "polite";
    if (!parts.cancel.firstElementChild) {
      parts.cancel.append(document.createElement("button"));
      parts.cancel.lastChild.textContent = "Cancel";
    }
    parts.button = parts.cancel.querySelector("button");
    parts.cancel.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#cancel();
    });
    return parts;
  }

  async #begin() {
    this.#watching?.abort();
    const { signal } = (this.#watching = new AbortController());
    await loaded; // so that the page's own scripts hear the first event
    if (signal.aborted) return;
    if (!this.#job && this.dataset.job) this.#show(JSON.parse(this.dataset.job));
    const url = this.getAttribute("src");
    if (!url || this.#job?.done) return;
    const onconnection = (up) => this.#connected(up);
    try {
      for await (const job of watch(url, { signal, onconnection })) this.#show(job);
    } catch (error) {
      if (!error.status) throw error;
      this.#refuse(error);
    }
  }

  #show(job) {
    const before = this.#job;
    if (before?.done || job.version < before?.version) return;
    this.#job = job;
    this.#paint(job);
    this.#tell("job-progress");
    if (job.done) this.#tell(before ? "job-done" : "job-restored");
  }

  #tell(name) {
    this.dispatchEvent(new CustomEvent(name, { detail: this.#job, bubbles: true }));
  }

  #paint(job) {
    const { state, done, progress, error, links } = job;
    const { label, bar, cancel, button, result, ...parts } = this.#parts;
    const shown = state == "succeeded" ? { fraction: 1 } : progress;
    this.dataset.state = state;
    bar.hidden = false;
    bar.ariaLabel = this.getAttribute("label") || human(job.task);
    put(label, this.getAttribute("label") ?? "");
    put(parts.state, stateWords(job));
    put(parts.message, (state == "queued" ? waitingWords(job.waiting) : progress.message || progress.phase) ?? "");
    put(parts.amount, amount(shown));
    put(parts.left, done || progress.remaining == null ? "" : `${about(progress.remaining)} left`);
    put(parts.error, error?.message ?? "");
    if (done) put(parts.note, "");
    if (shown.fraction != null || done) bar.value = shown.fraction ?? 0;
    else bar.removeAttribute("value");
    const held = cancel.contains(document.activeElement);
    cancel.hidden = done || !links.cancel;
    cancel.action = links.cancel ?? "";
    button.disabled = job.cancel_requested;
    if (held && cancel.hidden) this.#focus();
    const own = this.#choose([state, done ? "done" : "active"]);
    if (own || !result.textContent) put(result, own ? "" : resultWords(job.result));
    this.#announce(job);
  }

  /** Keep the keyboard's place when the button under it can no longer hold it. */
  #focus() {
    this.tabIndex = -1;
    this.focus();
  }

  /** Show the page author's children meant for this state; whether one of them stands for success. */
  #choose(states) {
    let own = false;
    for (const child of this.querySelectorAll("[data-when]")) {
      const meant = child.dataset.when.split(/\s+/);
      child.hidden = !states.some((state) => meant.includes(state));
      own ||= !child.hidden && meant.includes("succeeded");
    }
    return own;
  }

  /** To screen readers: quarters, phases, the end; a failure is said by its own part. */
  #announce({ state, cancel_requested, progress }) {
    const { live, bar, message, amount, state: words } = this.#parts;
    const key = [state, cancel_requested, progress.phase, Math.floor((progress.fraction ?? 0) * 4)].join();
    const news = this.#said && this.#said != key && state != "failed";
    this.#said = key;
    if (!news) return;
    const going = state == "running" && !cancel_requested;
    const said = going ? [amount.textContent, progress.phase || message.textContent] : [words.textContent];
    live.textContent = [bar.ariaLabel, ...said].filter(Boolean).join(", ");
  }

  #connected(up) {
    this.toggleAttribute("data-lost", !up);
    put(this.#parts.note, up ? "" : "Connection lost, retrying …");
  }

  #refuse({ message }) {
    const { label, error, live, button, ...parts } = this.#parts;
    for (const part of Object.values(parts)) part.hidden = true;
    this.dataset.state = "unknown";
    this.#choose(["unknown"]);
    put(error, message);
  }

  async #cancel() {
    const { button, note, cancel } = this.#parts;
    const token =
      document.querySelector("meta[name=csrf-token]")?.content || cancel.querySelector("[name=csrf_token]")?.value;
    this.#focus();
    button.disabled = true;
    put(note, "");
    const { status } = await ask(cancel.action, { method: "POST", headers: token ? { "X-CSRFToken": token } : {} });
    if (status && (status < 400 || status == 409)) return this.#begin(); // reads at once
    button.disabled = false;
    put(note, "The job could not be cancelled. Please try again.");
  }
}

/** The lines of a job's log; new ones as they come, until the job's bar on this page is done. */
class JobLog extends HTMLElement {
  #list;
  #after = 0;
  #following;

  connectedCallback() {
    this.#list ??= this.#adopt();
    this.#following = new AbortController();
    if (!this.hasAttribute("data-done")) this.#follow(this.#following.signal);
  }

  disconnectedCallback() {
    this.#following.abort();
  }

  /** Take the lines that the server rendered. */
  #adopt() {
    for (const time of this.querySelectorAll("time")) time.textContent = clock(time.dateTime);
    this.#after = Number(this.dataset.after ?? 0);
    this.scrollTop = this.scrollHeight;
    return this.querySelector("ol") ?? this.appendChild(document.createElement("ol"));
  }

  async #follow(signal) {
    const src = this.getAttribute("src");
    let turn;
    let done = false;
    const hear = ({ detail }) => {
      if (detail.links.log != src) return;
      done = detail.done;
      turn.abort();
    };
    document.addEventListener("job-progress", hear, { signal });
    for (let pause = 1; ; ) {
      turn = new AbortController();
      const last = done;
      const { lost, status, body } = await ask(`${src}?after=${this.#after}`, { signal });
      if (signal.aborted || (status >= 400 && !lost)) return;
      for (const line of body?.lines ?? []) this.#add(line);
      const more = body?.lines.length > 0;
      this.#after = body?.next ?? this.#after;
      if (last && !more && !lost) return;
      pause = more ? 1 : Math.min(pause * 1.5, LOG_PAUSE);
      await rest(last && more ? 0 : pause, turn.signal);
    }
  }

  #add({ at, level, text }) {
    const following = this.scrollHeight - this.scrollTop - this.clientHeight < 8;
    const line = document.createElement("li");
    const time = document.createElement("time");
    const words = document.createElement("span");
    line.dataset.level = level;
    time.dateTime = at;
    time.textContent = clock(at);
    words.textContent = text;
    line.append(time, " ", words);
    this.#list.append(line);
    if (this.#list.childElementCount > MOST_LINES) this.#list.firstElementChild.remove();
    if (following) this.scrollTop = this.scrollHeight;
  }
}

for (const [name, element] of [["job-progress", JobProgress], ["job-log", JobLog]]) {
  if (!customElements.get(name)) customElements.define(name, element);
}
