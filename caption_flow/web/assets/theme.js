// Dark or light: as the system has it, or as the button was last pressed.

const KEPT = "caption-flow.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

function chosen() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null; // a browser may keep nothing
  }
}

function keep(theme) {
  try {
    localStorage.setItem(KEPT, theme);
  } catch {
    // then it is as the system has it, the next time
  }
}

function shown() {
  return document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
}

/** Let a button switch between the two. */
export function themed(button) {
  const label = () => {
    const other = shown() === "dark" ? "light" : "dark";
    button.setAttribute("aria-label", `Show it ${other}`);
    button.title = `Show it ${other}`;
    button.textContent = other === "light" ? "☀" : "☾";
  };
  button.addEventListener("click", () => {
    const other = shown() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = other;
    keep(other);
    label();
  });
  dark.addEventListener("change", label);
  label();
}

const before = chosen();
if (before === "dark" || before === "light") document.documentElement.dataset.theme = before;
