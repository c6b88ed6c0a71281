// The gallery: samples as tiles, a search over them, and one of them in front of the rest.
//
// A row is { id, shard, source, captions: { OUTPUT: [text, …] }, stages: [{ stage, contributor,
// outputs: [OUTPUT, …] }, …], contributor, flags: ["STAGE:FLAG", …], width, height, at }. What a row
// has besides is the page's own. `thumbnailUrl(row)` gives a URL, a promise of one, or null.

import { arrange, make, write } from "./dom.js";

/** What may be searched for; empty: everything. */
export const ANY = Object.freeze({ text: "", shard: "", stage: "", contributor: "", flag: "" });

/** Name who made a row: the operator's own workers have no name. */
export function makers(row) {
  const named = row.stages.map((made) => made.contributor || "");
  return [...new Set(named.length ? named : [row.contributor || ""])];
}

export const OURS = "own workers";

const FIELDS = {
  shard: (row) => [row.shard],
  stage: (row) => row.stages.map((made) => made.stage),
  contributor: (row) => makers(row).map((name) => name || OURS),
  flag: (row) => row.flags,
};

/** List what a field of the rows may be asked for, sorted. */
export function choices(rows, field) {
  return [...new Set(rows.flatMap(FIELDS[field]))].sort((a, b) => a.localeCompare(b));
}

export function wordsOf(text) {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}

/** Whether a row is what is searched for: each word stands in a caption, the id or the source. */
export function fits(row, asked) {
  for (const [field, found] of Object.entries(FIELDS)) {
    if (asked[field] && !found(row).includes(asked[field])) return false;
  }
  const words = wordsOf(asked.text);
  if (!words.length) return true;
  const said = [row.id, row.source, ...Object.values(row.captions).flat()].join("\n").toLowerCase();
  return words.every((word) => said.includes(word));
}

/** The captions of a row by output: of one stage, or of all; the last one first where `newest`. */
export function outputsOf(row, stage = "") {
  const of = row.stages.find((made) => made.stage === stage)?.outputs;
  const names = Object.keys(row.captions).filter((name) => !of || of.includes(name));
  return names.map((name) => [name, row.captions[name]]);
}

function textOf(row, asked) {
  const outputs = outputsOf(row, asked.stage).filter(([, texts]) => texts.length);
  const words = wordsOf(asked.text);
  const texts = outputs.flatMap(([, some]) => some);
  const found = words.length
    ? texts.find((text) => words.some((word) => text.toLowerCase().includes(word)))
    : null;
  return found ?? outputs.at(-1)?.[1][0] ?? "";
}

/** Put a text into an element with the searched words marked. */
export function marked(element, text, words) {
  const lower = text.toLowerCase();
  // A letter may have another length in lower case: then nothing is marked, rather than the wrong.
  const known = lower.length === text.length ? words : [];
  const pieces = [];
  let from = 0;
  while (from < text.length) {
    const next = known
      .map((word) => [lower.indexOf(word, from), word.length])
      .filter(([at]) => at >= 0)
      .sort((a, b) => a[0] - b[0] || b[1] - a[1])[0];
    if (!next) break;
    pieces.push(text.slice(from, next[0]), make("mark", {}, text.slice(next[0], next[0] + next[1])));
    from = next[0] + next[1];
  }
  element.replaceChildren(...pieces.filter((piece) => piece !== ""), text.slice(from));
}

/** Cut a text that is searched in, so that the first found word is in sight. */
function inSight(text, words) {
  const at = Math.min(...words.map((word) => text.toLowerCase().indexOf(word)).filter((n) => n >= 0));
  return Number.isFinite(at) && at > 90 ? `… ${text.slice(text.indexOf(" ", at - 60) + 1)}` : text;
}

async function show(shot, row, thumbnailUrl) {
  let url = null;
  try {
    url = await thumbnailUrl(row);
  } catch (exc) {
    shot.dataset.why = exc.message; // there is no picture of it
  }
  if (!url) {
    shot.classList.add("bare");
    return;
  }
  const image = make("img", { alt: "", decoding: "async" });
  image.addEventListener("error", () => {
    image.remove();
    shot.classList.add("bare");
  });
  image.src = url;
  shot.prepend(image);
}

function size(row) {
  return row.width && row.height ? `${row.width} × ${row.height}` : "";
}

function tile(row, { thumbnailUrl, onOpen }) {
  const shot = make("span", { class: "shot" });
  if (size(row)) shot.append(make("span", { class: "size numbers" }, size(row)));
  const text = make("span", { class: "text" });
  const marks = make("span", { class: "marks" });
  const from = make("span", { class: "from", title: row.id }, row.id);
  const made = make(
    "button",
    { class: "tile", type: "button", onclick: () => onOpen(row) },
    shot,
    make("span", { class: "words" }, text, from, marks),
  );
  show(shot, row, thumbnailUrl);
  return made;
}

function dress(element, row, asked) {
  const words = wordsOf(asked.text);
  const text = textOf(row, asked);
  const key = JSON.stringify([text, words]);
  if (element.shown === key) return; // nothing is new
  element.shown = key;
  marked(element.querySelector(".text"), inSight(text, words), words);
  const flags = row.flags.map((flag) => make("span", { class: "badge warn", title: flag }, flag));
  const by = makers(row).filter(Boolean).map((name) => make("span", { class: "badge" }, name));
  arrange(element.querySelector(".marks"), [...flags, ...by]);
}

/**
 * Show rows as tiles in a container; a tile that stands there already is moved and not made again.
 * `asked`: what was searched for, to mark it; `keyOf(row)`: what tells rows apart.
 */
export function renderTiles(
  container,
  rows,
  { thumbnailUrl, onOpen, asked = ANY, keyOf = (row) => row.id },
) {
  const known = container.tiles ?? new Map();
  const first = known.size === 0;
  const now = new Map();
  for (const row of rows) {
    const key = keyOf(row);
    let element = known.get(key);
    if (!element) {
      element = tile(row, { thumbnailUrl, onOpen });
      element.classList.toggle("fresh", !first);
    }
    dress(element, row, asked);
    now.set(key, element);
  }
  container.tiles = now;
  arrange(container, [...now.values()]);
}

/** Let the arrow keys go from tile to tile, as they lie. */
export function walkTiles(container) {
  container.addEventListener("keydown", (event) => {
    const tiles = [...container.children];
    const here = tiles.indexOf(document.activeElement);
    if (here < 0) return;
    const top = tiles[0].offsetTop;
    const across = Math.max(1, tiles.filter((one) => one.offsetTop === top).length);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
    const next = tiles[here + (steps[event.key] ?? NaN)];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
}

/**
 * A search field and the choices of shard, stage, contributor and flag. `onAsk(asked)` is called
 * whenever something else is searched for; `offer(rows)` says what there is to choose from.
 */
export class Finder {
  constructor(container, onAsk, { delay = 120 } = {}) {
    this.asked = { ...ANY };
    this.onAsk = onAsk;
    this.search = make("input", {
      class: "field search",
      type: "search",
      placeholder: "Search captions and ids",
      "aria-label": "Search captions and ids",
      autocomplete: "off",
      spellcheck: "false",
    });
    let later = 0;
    this.search.addEventListener("input", () => {
      clearTimeout(later);
      later = setTimeout(() => this.#ask({ text: this.search.value }), delay);
    });
    this.selects = Object.fromEntries(Object.keys(FIELDS).map((field) => [field, this.#select(field)]));
    container.classList.add("finder");
    container.setAttribute("role", "search");
    container.append(this.search, ...Object.values(this.selects));
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && !event.target.closest("input, select, textarea, dialog")) {
        event.preventDefault();
        this.search.focus();
      }
    });
  }

  #select(field) {
    const select = make("select", { class: "field", "aria-label": `Filter by ${field}`, name: field });
    select.append(make("option", { value: "" }, `Any ${field}`));
    select.addEventListener("change", () => {
      select.classList.toggle("chosen", Boolean(select.value));
      this.#ask({ [field]: select.value });
    });
    return select;
  }

  #ask(change) {
    this.asked = { ...this.asked, ...change };
    this.onAsk(this.asked);
  }

  /** Say what the rows can be filtered by; what is chosen stays so. */
  offer(rows) {
    for (const [field, select] of Object.entries(this.selects)) {
      this.#fill(select, field, choices(rows, field));
    }
  }

  /** Say what one field can be filtered by, where the page knows better than its rows. */
  offerField(field, values) {
    this.#fill(this.selects[field], field, values);
  }

  #fill(select, field, values) {
    const all = [...new Set([...values, ...(select.value ? [select.value] : [])])];
    const now = [...select.options].slice(1).map((option) => option.value);
    if (now.join("\n") === all.join("\n")) return; // an open list is left alone
    const chosen = select.value;
    select.replaceChildren(
      make("option", { value: "" }, `Any ${field}`),
      ...all.map((value) => make("option", { value }, value)),
    );
    select.value = chosen;
    select.hidden = all.length === 0;
  }
}

/** One sample in front of the rest, all its captions side by side; arrows go to its neighbours. */
export class Sample {
  /**
   * `pictureUrl(row)`: of a larger picture, where there is one; `neighbour(row, step)`: the row
   * before or after, or null; `asked()`: what was searched for.
   */
  constructor({ thumbnailUrl, pictureUrl = thumbnailUrl, neighbour, asked = () => ANY }) {
    this.pictureUrl = pictureUrl;
    this.neighbour = neighbour;
    this.asked = asked;
    this.title = make("h2", {});
    const step = (by, label, sign) =>
      make("button", { class: "button plain", type: "button", "aria-label": label, title: label, onclick: () => this.#go(by) }, sign);
    this.back = step(-1, "The one before (←)", "←");
    this.on = step(1, "The next one (→)", "→");
    const close = make("button", { class: "button plain", type: "button", "aria-label": "Close (Esc)", title: "Close (Esc)", onclick: () => this.dialog.close() }, "✕");
    this.inside = make("div", { class: "inside" });
    this.dialog = make(
      "dialog",
      { class: "sample", tabindex: "-1", onkeydown: (event) => this.#key(event), onclick: (event) => this.#outside(event) },
      make("header", {}, this.title, this.back, this.on, close),
      this.inside,
    );
    document.body.append(this.dialog);
  }

  open(row) {
    this.row = row;
    write(this.title, row.id);
    this.title.title = row.id;
    this.back.disabled = !this.neighbour(row, -1);
    this.on.disabled = !this.neighbour(row, 1);
    const shot = make("div", { class: "shot" });
    if (row.width && row.height) shot.style.aspectRatio = `${row.width} / ${Math.min(row.height, 1.4 * row.width)}`;
    show(shot, row, this.pictureUrl);
    this.inside.replaceChildren(
      shot,
      make("div", { class: "outputs" }, ...this.#outputs(row)),
      facts(row),
    );
    if (!this.dialog.open) {
      this.dialog.showModal();
      this.dialog.focus(); // and not its first button
    }
    this.dialog.scrollTop = 0;
  }

  #outputs(row) {
    const words = wordsOf(this.asked().text);
    return outputsOf(row).map(([name, texts]) => {
      const by = row.stages.find((made) => made.outputs?.includes(name));
      const label = by && by.stage !== name ? `${name} · ${by.stage}` : name;
      return make(
        "section",
        { class: "output" },
        make("h3", {}, label),
        ...texts.map((text) => {
          const paragraph = make("p", {});
          marked(paragraph, text, words);
          return paragraph;
        }),
      );
    });
  }

  #go(step) {
    const next = this.neighbour(this.row, step);
    if (next) this.open(next);
  }

  #key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    this.#go(step);
  }

  #outside(event) {
    if (event.target === this.dialog) this.dialog.close();
  }
}

function facts(row) {
  const by = row.stages.length
    ? row.stages.map((made) => `${made.stage}: ${made.contributor || OURS}`).join(", ")
    : row.contributor || OURS;
  const told = {
    Source: row.source,
    Shard: row.shard,
    Size: size(row),
    Captioned: row.at ? new Date(row.at * 1000).toLocaleString() : "",
    By: by,
    Flags: row.flags.join(", "),
    ...(row.facts ?? {}),
  };
  const lines = Object.entries(told).filter(([, value]) => value);
  return make("dl", {}, ...lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}
