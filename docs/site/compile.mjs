// Compiles the Python files of an archive, in Python for the browser itself: node compile.mjs IN OUT.
//
// A module that is compiled beforehand imports about four times as fast. Only the Python that loads
// it can compile it, and that is pyodide's, which runs in Node as well as in a page.

import { readFileSync, writeFileSync } from "node:fs";
import { loadPyodide } from "pyodide";

const PROGRAM = `
import marshal, zipfile
from importlib.util import MAGIC_NUMBER, source_hash

UNCHECKED_HASH = (1).to_bytes(4, "little")  # no source will stand beside it
with zipfile.ZipFile("/in.zip") as given, zipfile.ZipFile("/out.zip", "w") as made:
    for name in given.namelist():
        content = given.read(name)
        if name.endswith(".py"):
            code = marshal.dumps(compile(content, name, "exec", optimize=2))
            content = MAGIC_NUMBER + UNCHECKED_HASH + source_hash(content) + code
            name += "c"
        made.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 9)
`;

const [from, to] = process.argv.slice(2);
const python = await loadPyodide();
python.FS.writeFile("/in.zip", readFileSync(from));
python.runPython(PROGRAM);
writeFileSync(to, python.FS.readFile("/out.zip"));
