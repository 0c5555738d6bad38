// Python in a worker: pyodide, NumPy and the project, loaded once, then one call after the other.
// It is sent {id, module, function, arguments}, and answers {id, report}, then {id, result} or
// {id, error, traceback}. Meanwhile {progress} says what is being loaded, "" that all is there, and
// {fatal} that Python could not be loaded, or can do no more: then the page ends the worker.

import { loadPyodide } from "./python/pyodide.mjs";

const here = new URL("./python/", import.meta.url);
const packages = "/lib/python3.12/site-packages";
const plainFetch = fetch;
const ready = start();

async function start() {
  tellProgress("loading Python");
  const wasm = await fetchUnpacked("pyodide.asm.wasm.gz");
  self.fetch = async (url, options) =>
    String(url).endsWith(".wasm") ? wasm : plainFetch(url, options);
  const names = ["numpy.zip", "project.zip", "site.zip", "backtrace.so", "loops.so"];
  const { data, environment } = await (await fetchFrom("settings.json")).json();
  const [python, numpy, project, site, backtrace, loops] = await Promise.all([
    loadPyodide({ indexURL: here.href, env: environment }),
    ...names.map(fetchBytes),
  ]);
  python.FS.writeFile("/lib/backtrace.so", new Uint8Array(backtrace));
  python.FS.writeFile("/lib/loops.so", new Uint8Array(loops));
  python.runPython(
    "import ctypes; ctypes.CDLL('/lib/backtrace.so', mode=ctypes.RTLD_GLOBAL)",
  );
  tellProgress("unpacking NumPy and minigrad");
  python.unpackArchive(numpy, "zip", { extractDir: packages });
  python.unpackArchive(site, "zip", { extractDir: packages });
  python.unpackArchive(project, "zip", { extractDir: "/minigrad" });
  for (const path of data) loadWhenOpened(python.FS, path);
  python.runPython("import sys; sys.path.insert(0, '/minigrad')");
  for (const name of ["clock", "fast_loops", "drawing"]) python.pyimport(name).install();
  const live = python.pyimport("live");
  tellProgress("");
  return live;
}

function tellProgress(progress) {
  postMessage({ progress });
}

/** Python itself, which is served compressed, as the file that pyodide asks for. */
async function fetchUnpacked(name) {
  const { body } = await fetchFrom(name);
  const unpacked = body.pipeThrough(new DecompressionStream("gzip"));
  return new Response(unpacked, { headers: { "Content-Type": "application/wasm" } });
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
  let live;
  try {
    live = await ready;
  } catch (error) {
    postMessage({ fatal: `Python could not be loaded: ${error.message}` });
    return;
  }
  try {
    live.connect((message) => postMessage({ id, report: JSON.parse(message) }), tellProgress);
    const outcome = JSON.parse(live.call(module, name, JSON.stringify(values)));
    postMessage({ id, ...outcome });
  } catch (error) {
    postMessage({ fatal: `Python has ended: ${error.message}. The next run starts it again.` });
  }
}

let last = Promise.resolve();
onmessage = ({ data }) => {
  last = last.then(() => answer(data));
};
