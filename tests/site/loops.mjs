// Runs a Python program in pyodide, under Node, with the NumPy and the loops of a built folder.
// Its task is {folder, program}; it says {text} for each line that the program prints.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { loadPyodide } from "../../docs/site/node_modules/pyodide/pyodide.mjs";

const { folder, program } = JSON.parse(readFileSync(0, "utf8"));
const packages = "/lib/python3.12/site-packages";

function read(name) {
  const { buffer, byteOffset, length } = readFileSync(resolve(folder, name));
  return buffer.slice(byteOffset, byteOffset + length);
}

const python = await loadPyodide();
python.setStdout({ batched: (text) => console.log(JSON.stringify({ text })) });
for (const name of ["backtrace.so", "loops.so"]) {
  python.FS.writeFile(`/lib/${name}`, new Uint8Array(read(name)));
}
python.runPython("import ctypes; ctypes.CDLL('/lib/backtrace.so', mode=ctypes.RTLD_GLOBAL)");
python.unpackArchive(read("numpy.zip"), "zip", { extractDir: packages });
python.unpackArchive(read("site.zip"), "zip", { extractDir: packages });
python.unpackArchive(read("project.zip"), "zip", { extractDir: packages });
try {
  python.runPython(program);
} catch (error) {
  console.error(error.message); // without the lines of pyodide, each of which is a whole file
  process.exit(1);
}
