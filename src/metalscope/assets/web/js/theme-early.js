// Runs before the first paint, so that the page never flashes in the other theme.
// A classic script on purpose: modules wait for the document.
(() => {
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("metalscope-theme") ?? "auto";
  } catch {
    // Storage is blocked: the system's preference holds.
  }
  const dark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
