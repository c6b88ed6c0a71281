// Elements made in a few words. Texts go in as texts: what a name or a caption says is no markup.

/** Make an element: `make("td", { class: "number" }, "12", other)`. */
export function make(name, attributes = {}, ...inside) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...inside.filter((one) => one !== null && one !== undefined));
  return element;
}

/** Write a text where it differs, so that what is marked in it stays marked. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Put these children into a parent, in their order; those that stand right are left alone. */
export function arrange(parent, children) {
  children.forEach((child, place) => {
    const there = parent.children[place];
    if (there !== child) parent.insertBefore(child, there ?? null);
  });
  while (parent.children.length > children.length) parent.lastElementChild.remove();
}
