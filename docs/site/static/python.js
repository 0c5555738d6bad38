// The page's side of Python in the browser: a worker, and calls to functions in it.

/** A call ended because `stop` was called. */
export class Stopped extends Error {}

/** A Python error, with its traceback; or what ended Python, or kept it from being loaded. */
export class PythonError extends Error {
  /**
   * @param {string} message what it says
   * @param {string} traceback where it arose; "" if not in the code of a call
   */
  constructor(message, traceback = "") {
    super(message);
    this.traceback = traceback;
  }
}

/** Python with NumPy and minigrad. Nothing is loaded before the first call. */
export class Python {
  #worker = null;
  #calls = new Map();
  #count = 0;
  #progress;
  #ended;

  /**
   * @param {{progress?: (text: string) => void, ended?: (reason: string) => void}} options
   *   progress: told what is being loaded; "" at the end. ended: told that the worker has ended,
   *   with all that it knew, and why
   */
  constructor({ progress = () => {}, ended = () => {} } = {}) {
    this.#progress = progress;
    this.#ended = ended;
  }

  /** Whether a worker is there, loaded or being loaded. */
  get isStarted() {
    return this.#worker !== null;
  }

  /**
   * Call a function of a Python module; calls queue one after the other.
   * @param {string} module its name
   * @param {string} name the function's
   * @param {any[]} values the arguments, as JSON can express them
   * @param {{report?: (message: any) => void}} options told what Python reports meanwhile
   * @returns {Promise<any>} what the function returns
   */
  call(module, name, values = [], { report = () => {} } = {}) {
    if (!this.#worker) this.#start();
    const id = this.#count++;
    this.#worker.postMessage({ id, module, function: name, arguments: values });
    return new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject, report }));
  }

  /** End the worker at once, with all that it knows. The next call starts another. */
  stop() {
    if (this.#worker) this.#end(new Stopped("stopped"));
  }

  #start() {
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#receive(data);
    this.#worker.onerror = (event) => {
      this.#end(new PythonError(event.message ?? "Python's worker could not be loaded."));
    };
    this.#progress("loading Python");
  }

  #end(error) {
    this.#worker.onmessage = this.#worker.onerror = null; // nothing that is still on its way
    this.#worker.terminate();
    this.#worker = null;
    this.#progress("");
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    this.#ended(error.message);
    for (const { reject } of calls) reject(error);
  }

  #receive({ id, progress, fatal, report, result, error, traceback }) {
    if (progress !== undefined) return this.#progress(progress);
    if (fatal !== undefined) return this.#end(new PythonError(fatal));
    const call = this.#calls.get(id);
    if (report !== undefined) return call.report(report);
    this.#calls.delete(id);
    if (error !== undefined) call.reject(new PythonError(error, traceback));
    else call.resolve(result);
  }
}
