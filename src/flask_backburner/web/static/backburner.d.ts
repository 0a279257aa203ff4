/** Live status of Flask-Backburner's jobs in the browser. */

export type JobState = "queued" | "running" | "succeeded" | "failed" | "cancelled";

/** How far a job is; every member is null before the task has reported it. */
export interface JobProgressReport {
  current: number | null;
  total: number | null;
  /** From 0 to 1; null while the total is unknown. */
  fraction: number | null;
  message: string | null;
  phase: string | null;
  /** Seconds, estimated. */
  remaining: number | null;
}

/** Why a queued job has not started. */
export interface JobWaiting {
  reason: "in_line" | "scheduled" | "retry" | "no_worker" | "paused" | "limit";
  /** 1 is next; null when it is too far back to be counted. */
  position: number | null;
  /** Seconds until it starts. */
  estimate: number | null;
}

export interface JobFile {
  name: string;
  type: string;
  size: number;
  url: string;
}

/** What `GET /jobs/<id>` answers. Times are ISO 8601 in UTC. */
export interface JobDocument<Result = unknown> {
  id: string;
  task: string;
  state: JobState;
  done: boolean;
  /** Rises with every change. */
  version: number;
  queue: string;
  attempt: number;
  /** So many more attempts may fail before the job does. */
  retries_left: number;
  crashes: number;
  created_at: string;
  run_at: string;
  started_at: string | null;
  finished_at: string | null;
  updated_at: string;
  /** If its first attempt has not begun by then, it fails. */
  start_by: string | null;
  kept_until: string | null;
  progress: JobProgressReport;
  cancel_requested: boolean;
  /** It was told to stop a while ago, by a cancel or its time limit, and has not yet. */
  overdue: boolean;
  waiting: JobWaiting | null;
  error: { code: string; message: string } | null;
  files: JobFile[];
  /** Seconds to wait before asking again; null when the job is done. */
  poll_after: number | null;
  links: {
    self: string;
    log: string;
    cancel: string;
    events?: string;
    result?: string;
    [name: string]: string | undefined;
  };
  /** Only of a job that succeeded, and only if it is small. */
  result?: Result;
}

export interface WatchOptions {
  /** Ends the iteration quietly. */
  signal?: AbortSignal;
  /** Told `false` when the connection is lost, `true` when it is back; tries go on meanwhile. */
  onconnection?: (up: boolean) => void;
  /** The document that the page has already: it is not read again, and not yielded. */
  job?: JobDocument | null;
}

/** Thrown by `watch` when asking again is pointless: 404 unknown, 410 no longer kept, 401 … */
export interface WatchError extends Error {
  status: number;
}

/**
 * The documents of one job as they change, until it is done. Versions never fall. All that is
 * watched on a page (up to 100 jobs) shares one stream of events; where streams do not come
 * through, each job is asked for by its `poll_after`. Lost connections are retried for as long as
 * it takes, and nothing is asked while the page is hidden.
 *
 * @throws {WatchError} when the server refuses for good.
 */
export function watch<Result = unknown>(
  url: string | URL,
  options?: WatchOptions,
): AsyncGenerator<JobDocument<Result>, void, undefined>;

/**
 * `<job-progress src="/jobs/…" label="Export">`: the live bar of a job. Children with
 * `data-when="succeeded"` show in that state only; several are set apart by spaces, `active` and
 * `done` stand for the states before and after the end, `unknown` for a job that is not there. One
 * for `succeeded` takes the place of the plain result and of the links to result and files.
 */
export interface JobProgressElement extends HTMLElement {
  /** The newest document, or null. */
  readonly job: JobDocument | null;
}

/**
 * `<job-log src="/jobs/…/log">`: the lines of a job's log, live until the job's bar on the same
 * page is done.
 */
export type JobLogElement = HTMLElement;

/** The document as it now is. All three events bubble. */
export type JobEvent<Result = unknown> = CustomEvent<JobDocument<Result>>;

declare global {
  interface HTMLElementTagNameMap {
    "job-progress": JobProgressElement;
    "job-log": JobLogElement;
  }

  interface GlobalEventHandlersEventMap {
    /** Every document shown, the first one too. */
    "job-progress": JobEvent;
    /** Once, when a job that was seen unfinished is done: the place to reload the page. */
    "job-done": JobEvent;
    /** Once, instead, when the job was done at load. */
    "job-restored": JobEvent;
  }
}
