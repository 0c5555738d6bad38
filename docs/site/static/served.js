// Says how to serve the site where a page was opened as a file: then browsers load no modules, and
// so this is none.

if (location.protocol === "file:") {
  addEventListener("DOMContentLoaded", () => {
    const bar = document.createElement("p");
    bar.className = "live-page";
    bar.append(
      "The code of this page runs here once the site is served: call ",
      Object.assign(document.createElement("code"), {
        textContent: "python -m http.server -d site 8000",
      }),
      " in the folder above it, and open http://localhost:8000.",
    );
    document.querySelector("article h1")?.after(bar);
  });
}
