// Python in a worker: pyodide, NumPy and the project, loaded once, then one call after the other.
// It is sent {id, module, function, arguments}, and answers {id, report}, {id, result} or
// {id, error}; before, while it loads, {progress}.

import { loadPyodide } from "./python/pyodide.mjs";

const here = new URL("./python/", import.meta.url);
const packages = "/lib/python3.12/site-packages";
const ready = start();

async function start() {
  postMessage({ progress: "loading Python" });
  const archives = ["numpy.zip", "project.zip", "site.zip", "backtrace.so"].map(fetchBytes);
  const data = fetchFrom("data.json").then((response) => response.json());
  const python = await loadPyodide({ indexURL: here.href });
  const [numpy, project, site, backtrace] = await Promise.all(archives);
  python.FS.writeFile("/lib/backtrace.so", new Uint8Array(backtrace));
  python.runPython(
    "import ctypes; ctypes.CDLL('/lib/backtrace.so', mode=ctypes.RTLD_GLOBAL)",
  );
  postMessage({ progress: "unpacking NumPy and minigrad" });
  python.unpackArchive(numpy, "zip", { extractDir: packages });
  python.unpackArchive(site, "zip", { extractDir: packages });
  python.unpackArchive(project, "zip", { extractDir: "/minigrad" });
  for (const path of await data) loadWhenOpened(python.FS, path);
  return python.pyimport("live");
}

async function fetchFrom(name) {
  const response = await fetch(new URL(name, here));
  if (!response.ok) throw new Error(`${name} could not be loaded (${response.status})`);
  return response;
}

async function fetchBytes(name) {
  return (await fetchFrom(name)).arrayBuffer();
}

/** A file of the project that few cells read: its bytes come when it is opened. */
function loadWhenOpened(files, path) {
  const [, folder, name] = `/minigrad/${path}`.match(/(.*)\/(.*)/);
  files.mkdirTree(folder);
  files.createLazyFile(folder, name, new URL(`data/${path}`, here).href, true, false);
}

async function answer({ id, module, function: name, arguments: values }) {
  try {
    const live = await ready;
    live.connect((message) => postMessage({ id, report: JSON.parse(message) }));
    const result = live.call(module, name, JSON.stringify(values));
    postMessage({ id, result: JSON.parse(result) });
  } catch (error) {
    postMessage({ id, error: String(error.message ?? error), isPython: error.type !== undefined });
  }
}

let last = Promise.resolve();
onmessage = ({ data }) => {
  last = last.then(() => answer(data));
};
