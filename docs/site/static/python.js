// The page's side of Python in the browser: a worker, and calls to functions in it.

/** A call ended because `stop` was called. */
export class Stopped extends Error {}

/** A Python error, or a failure to load Python; the message is what Python says. */
export class PythonError extends Error {}

/** Python with NumPy and minigrad. Nothing is loaded before the first call. */
export class Python {
  #worker = null;
  #calls = new Map();
  #count = 0;
  #progress;

  /** @param {{progress?: (text: string) => void}} options told what is being loaded; "" at the end */
  constructor({ progress = () => {} } = {}) {
    this.#progress = progress;
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
    this.#end(new Stopped("stopped"));
  }

  #start() {
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#receive(data);
    this.#worker.onerror = (event) => {
      this.#end(new PythonError(event.message ?? "the worker could not be loaded"));
    };
    this.#progress("loading Python");
  }

  #end(error) {
    this.#worker?.terminate();
    this.#worker = null;
    this.#progress("");
    for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
  }

  #receive({ id, progress, report, result, error }) {
    if (progress !== undefined) return this.#progress(progress);
    const call = this.#calls.get(id);
    if (!call) return;
    this.#progress("");
    if (report !== undefined) return call.report(report);
    this.#calls.delete(id);
    if (error !== undefined) call.reject(new PythonError(error));
    else call.resolve(result);
  }
}
