// Live status of jobs, as backburner.d.ts says. Text enters through textContent alone.

const PATIENCE = 20; // seconds
const FIRST_WORD = 2.5; // of a stream
const SILENCE = 35;
const LONGEST_PAUSE = 30;
const LOG_PAUSE = 3;
const MINUTE = 60;
const SESSION = 1e6;
const MOST_LINES = 1000;

/** By stream once a document names it; by asking until then and when it fails. */
export async function* watch(url, { signal = new AbortController().signal, onconnection, job } = {}) {
  let newest = job?.version ?? 0;
  while (!signal.aborted) {
    const streaming = streams(job);
    for await (job of streaming ? streamed(job, signal) : polled(url, signal, onconnection)) {
      if (job.version < newest) continue;
      newest = job.version;
      yield job;
      if (job.done) return;
      if (!streaming && streams(job)) break;
    }
    if (streaming) job = null;
  }
}

async function* polled(url, signal, onconnection) {
  let known = "";
  let pause;
  let wait = 0;
  let failures = 0;
  for (;;) {
    await rest(wait, signal);
    const headers = { "If-None-Match": known };
    const { lost, status, retry, etag, body } = await ask(url, signal, { headers });
    if (signal.aborted) return;
    if (lost) {
      strikes = 0;
      if (!failures) onconnection?.(false);
      wait = Math.max(retry, around(Math.min(2 ** failures++, LONGEST_PAUSE)));
      continue;
    }
    if (failures) onconnection?.(true);
    failures = 0;
    if (status >= 400) throw refusal(status);
    pause = body?.poll_after ?? Math.min(pause * 1.5, retry || pause);
    wait = around(pause || 1);
    if (!body) continue;
    known = etag;
    yield body;
  }
}

// One stream for all jobs that the page watches

const hearers = new Set(); // of {id, link, hear}
let source, opening, watchdog;
let teller; // the job whose log it tells
let strikes = 0; // too short, in a row
let memory = {};
try {
  memory = sessionStorage;
} catch {} // forbidden here

function streams(job) {
  return job?.links.events && !(Date.now() < memory.backburner);
}

async function* streamed({ id, links }, signal) {
  const news = [];
  let wake;
  const hear = (job) => {
    news.push(job);
    wake?.();
  };
  const hearer = { id, link: links.events, hear };
  hearers.add(hearer);
  signal.addEventListener("abort", () => hear());
  clearTimeout(opening);
  opening = setTimeout(open, 200); // all bars at once
  try {
    for (;;) {
      if (!news.length) await new Promise((resolve) => (wake = resolve));
      const job = news.shift();
      if (!job) return;
      yield job;
    }
  } finally {
    hearers.delete(hearer);
    if (!hearers.size) close();
  }
}

function open() {
  close();
  const [first] = hearers;
  if (!first || document.hidden) return fail();
  const ids = new Set([...hearers].map(({ id }) => id));
  const { id, link } = first;
  if (ids.size == 1) teller = id;
  source = new EventSource(teller ? link : link.replace(/[^/]+\/events/, `events?ids=${[...ids]}`));
  let opened, spoke;
  const on = (name, hear) => {
    source.addEventListener(name, ({ data, lastEventId }) => {
      spoke = true;
      expect(SILENCE);
      hear(JSON.parse(data), lastEventId);
    });
  };
  const tell = (id, job) => {
    for (const each of hearers) if (each.id == id) each.hear(job);
  };
  const tellLine = (line) => document.dispatchEvent(new CustomEvent("job-line", { detail: { ...line, job: id } }));
  on("job", (job, last) => {
    tell(job.id, job);
    if (teller) tellLine({ id: last.split(".")[1] });
  });
  on("log", tellLine);
  on("gone", ({ id }) => tell(id));
  source.onopen = () => (opened = Date.now());
  source.onerror = () => {
    // Streams are bounded: the browser opens the next where this one ended.
    strikes = spoke && Date.now() - opened > 1000 ? 0 : strikes + 1;
    if (strikes > 1) fail(spoke ? MINUTE : SESSION);
    else if (!spoke || !opened) fail();
    else expect(SILENCE);
    opened = undefined;
  };
  expect(FIRST_WORD, SESSION);
}

function close() {
  clearTimeout(watchdog);
  source?.close();
  teller = null;
}

function expect(seconds, penalty) {
  clearTimeout(watchdog);
  watchdog = setTimeout(fail, seconds * 1000, penalty);
}

/** Let all ask: once, or for so long. */
function fail(seconds) {
  close();
  for (const each of hearers) each.hear();
  if (seconds) memory.backburner = Date.now() + seconds * 1000;
}

document.addEventListener("visibilitychange", () => document.hidden && fail());

function around(seconds) {
  return seconds * (0.8 + 0.4 * Math.random());
}

/** Not over while the page is hidden; over at once when it is seen again or back online. */
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
    document.addEventListener("visibilitychange", wake, over);
    addEventListener("online", wake, over);
    signal.addEventListener("abort", end, over);
    if (signal.aborted) end();
  });
}

async function ask(url, signal, { headers, method }) {
  try {
    const answer = await fetch(url, {
      method,
      headers: { Accept: "application/json", ...headers },
      cache: "no-store",
      signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE * 1000)]),
    });
    const { status, ok, redirected, headers: heads } = answer;
    if (redirected && !/json/.test(heads.get("Content-Type"))) return { status: 401 };
    return {
      lost: status >= 500 || status == 429,
      status,
      retry: Number(heads.get("Retry-After")) || 0,
      etag: heads.get("ETag") ?? "",
      body: ok && (await answer.json()),
    };
  } catch {
    return { lost: true, retry: 0 };
  }
}

function refusal(status) {
  const words = { 401: "Please sign in again.", 404: "This job is unknown.", 410: "This job is no longer kept." };
  return Object.assign(Error(words[status] ?? `This job cannot be read (${status}).`), { status });
}

function human(task) {
  const name = task.split(/[:.]/).pop().replaceAll("_", " ").trim();
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function about(seconds) {
  if (seconds < 90) return `about ${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min`;
  return `about ${Math.round(seconds / 3600)} h`;
}

function stateWords({ state, attempt, cancel_requested }) {
  if (state == "succeeded") return "Done";
  if (state != "running") return human(state);
  if (cancel_requested) return "Cancelling …";
  return attempt > 1 ? `Running, attempt ${attempt}` : "Running";
}

function messageWords({ state, waiting, overdue, progress }) {
  if (state == "queued") return waitingWords(waiting);
  return overdue ? "Asked to stop, but has not yet" : progress.message || progress.phase;
}

function waitingWords(waiting) {
  const { reason, position, estimate } = waiting ?? {};
  const when = estimate == null ? "" : about(estimate);
  const later = when ? `in ${when}` : "later";
  const place = position > 1 ? `Number ${position} in line` : position ? "Next in line" : "Waiting in line";
  const words = {
    in_line: place + (when && `, ${when}`),
    scheduled: `Starts ${later}`,
    retry: `The last attempt failed; the next starts ${later}`,
    no_worker: "No worker is running for this queue",
    paused: "This queue is paused",
    limit: "Too many of these jobs run now",
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
  return typeof result == "string" ? result : result == null ? "" : JSON.stringify(result, null, 2);
}

const loaded =
  document.readyState == "complete" ||
  new Promise((resolve) => {
    addEventListener("DOMContentLoaded", resolve);
    addEventListener("load", resolve);
  });

const PARTS = {
  label: "span", state: "span", cancel: "form", bar: "progress", message: "span", amount: "span",
  left: "span", note: "p", error: "p", result: "pre", files: "ul", live: "span",
};

function put(node, text) {
  if (node.textContent != (text ?? "")) node.textContent = text;
  node.hidden = !text;
}

function make(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

class JobProgress extends HTMLElement {
  static observedAttributes = ["src"];
  #parts;
  #job = null;
  #said = null;
  #watching;

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
    put(this.#parts.result);
    this.#begin();
  }

  #adopt() {
    const parts = {};
    const made = [];
    for (const [name, tag] of Object.entries(PARTS)) {
      const className = `backburner-${name}`;
      parts[name] = this.querySelector("." + className) ?? make(tag, { className, hidden: tag != "progress" });
      if (!parts[name].parentNode) made.push(parts[name]);
    }
    this.prepend(...made);
    parts.bar.max = 1;
    parts.note.role = "status";
    parts.error.role = "alert";
    parts.live.ariaLive = "polite";
    parts.live.hidden = false;
    if (!parts.cancel.firstChild) parts.cancel.append(make("button", { textContent: "Cancel" }));
    parts.button = parts.cancel.querySelector("button");
    parts.cancel.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#cancel();
    });
    return parts;
  }

  async #begin(known = this.#job) {
    this.#watching?.abort();
    const { signal } = (this.#watching = new AbortController());
    await loaded; // for the page to hear it
    if (signal.aborted) return;
    if (!this.#job && this.dataset.job) this.#show((known = JSON.parse(this.dataset.job)));
    const url = this.getAttribute("src");
    if (!url || this.#job?.done) return;
    const onconnection = (up) => this.#connected(up);
    try {
      for await (const job of watch(url, { signal, onconnection, job: known })) this.#show(job);
    } catch (error) {
      if (!error.status) throw error;
      this.#refuse(error);
    }
  }

  #show(job) {
    const before = this.#job;
    if (before?.done) return;
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
    const name = this.getAttribute("label");
    bar.ariaLabel = name || human(job.task);
    put(label, name);
    put(parts.state, stateWords(job));
    put(parts.message, messageWords(job));
    put(parts.amount, amount(shown));
    put(parts.left, done || progress.remaining == null ? "" : `${about(progress.remaining)} left`);
    put(parts.error, error?.message);
    if (done) put(parts.note);
    if (shown.fraction != null || done) bar.value = shown.fraction ?? 0;
    else bar.removeAttribute("value");
    const held = cancel.contains(document.activeElement);
    cancel.hidden = done || !links.cancel;
    cancel.action = links.cancel ?? "";
    button.disabled = job.cancel_requested;
    if (held && cancel.hidden) this.#focus();
    const own = this.#choose([state, done ? "done" : "active"]);
    if (own || !result.textContent) put(result, own ? "" : resultWords(job.result));
    const more = state == "succeeded" && !("result" in job) && links.result;
    this.#list(own ? [] : [...(more ? [{ name: "Result", url: more }] : []), ...job.files]);
    this.#announce(job);
  }

  #list(files) {
    const { files: list } = this.#parts;
    list.hidden = !files.length;
    if (list.childElementCount == files.length) return;
    list.textContent = "";
    for (const { name, size, url } of files) {
      const item = make("li");
      item.append(make("a", { href: url, textContent: name }), size ? ` ${Math.ceil(size / 1e3).toLocaleString("en")} kB` : "");
      list.append(item);
    }
  }

  /** Keep the keyboard's place. */
  #focus() {
    this.tabIndex = -1;
    this.focus();
  }

  /** Show the page's own parts for this state: is one for success? */
  #choose(states) {
    let own = false;
    for (const child of this.querySelectorAll("[data-when]")) {
      const meant = child.dataset.when.split(/\s+/);
      child.hidden = !states.some((state) => meant.includes(state));
      own ||= !child.hidden && meant.includes("succeeded");
    }
    return own;
  }

  /** To screen readers: states, quarters, phases; a failure is said by its own part. */
  #announce({ state, progress: { phase, fraction } }) {
    const { live, bar, amount, state: { textContent } } = this.#parts;
    const key = [textContent, phase, Math.floor(fraction * 4)].join();
    const news = this.#said && this.#said != key && state != "failed";
    this.#said = key;
    if (!news) return;
    live.textContent = [bar.ariaLabel, textContent, amount.textContent, phase].filter(Boolean).join(", ");
  }

  #connected(up) {
    this.toggleAttribute("data-lost", !up);
    put(this.#parts.note, up ? "" : "Connection lost, retrying …");
  }

  #refuse({ message }) {
    const { label, error, live, button, ...parts } = this.#parts;
    for (const name in parts) parts[name].hidden = true;
    this.dataset.state = "unknown";
    this.#choose(["unknown"]);
    put(error, message);
  }

  async #cancel() {
    const { button, note, cancel } = this.#parts;
    const meta = document.querySelector("meta[name=csrf-token]")?.content;
    const headers = { "X-CSRFToken": meta ?? cancel.elements.csrf_token?.value ?? "" };
    this.#focus();
    button.disabled = true;
    put(note);
    const { status } = await ask(cancel.action, this.#watching.signal, { method: "POST", headers });
    if (status < 400 || status == 409) return this.#begin(null); // reads at once
    button.disabled = false;
    put(note, "This job could not be cancelled. Please try again.");
  }
}

/** A job's log, until its bar is done. */
class JobLog extends HTMLElement {
  #list;
  #after = 0;
  #watching;

  connectedCallback() {
    this.#list ??= this.#adopt();
    this.#watching = new AbortController();
    if (!this.hasAttribute("data-done")) this.#follow(this.#watching.signal);
  }

  disconnectedCallback() {
    this.#watching.abort();
  }

  #adopt() {
    for (const time of this.querySelectorAll("time")) time.textContent = clock(time.dateTime);
    this.#after = Number(this.dataset.after ?? 0);
    this.scrollTop = this.scrollHeight;
    return this.querySelector("ol") ?? this.appendChild(document.createElement("ol"));
  }

  async #follow(signal) {
    const src = this.getAttribute("src");
    const id = src.split("/").at(-2);
    let done = false;
    let lost;
    const on = (name, hear) => document.addEventListener(name, ({ detail }) => hear(detail), { signal });
    const read = async () => {
      const answer = await ask(`${src}?after=${this.#after}`, signal, {});
      lost = answer.lost;
      done ||= !lost && answer.status >= 400;
      for (const line of answer.body?.lines ?? []) this.#add(line);
    };
    on("job-progress", (job) => {
      if (job.id != id) return;
      done = job.done;
      setTimeout(() => (done || id != teller) && read(), 300);
    });
    on("job-line", (line) => {
      if (line.job != id || line.id <= this.#after) return;
      if (line.at && line.id == this.#after + 1) this.#add(line);
      else read();
    });
    if (!this.dataset.after) read();
    do {
      await rest(LOG_PAUSE, signal);
      if (done || id != teller) await read();
    } while (!signal.aborted && (!done || lost));
  }

  #add({ id, at, level, text }) {
    if (id <= this.#after) return;
    this.#after = id;
    const following = this.scrollHeight - this.scrollTop - this.clientHeight < 8;
    const line = make("li");
    line.dataset.level = level;
    line.append(make("time", { dateTime: at, textContent: clock(at) }), " ", make("span", { textContent: text }));
    this.#list.append(line);
    if (this.#list.childElementCount > MOST_LINES) this.#list.firstElementChild.remove();
    if (following) this.scrollTop = this.scrollHeight;
  }
}

if (!customElements.get("job-log")) {
  customElements.define("job-progress", JobProgress);
  customElements.define("job-log", JobLog);
}
