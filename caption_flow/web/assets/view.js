// The page of `caption-flow view`: rows of finished parts, a page at a time, and dead letters.

import { make, write } from "./dom.js";
import { ANY, Finder, OURS, renderTiles, Sample, walkTiles } from "./gallery.js";
import { themed } from "./theme.js";
import { count, percent } from "./words.js";

const PER_PAGE = 48; // rows
const EVERY = 2000; // ms between two looks at how far the gallery is
const SEARCH_AGAIN = 6000; // ms between two searches for the same while rows are indexed
const MOST_CHOICES = 100; // of a field, in a list; for more there is a field to type in
const PICTURES_AT_ONCE = 4; // a browser keeps six connections: some are left for questions
const PICTURES_KEPT = 400;
const PICTURE_TRIES = 20;
const TOKEN = "caption-flow.view.token";

const at = (id) => document.getElementById(id);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Asking

class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

let token = "";

/** Take the token out of the address that was printed, so that it stands in no history. */
function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  try {
    if (given) sessionStorage.setItem(TOKEN, given);
    token = given ?? sessionStorage.getItem(TOKEN) ?? "";
  } catch {
    token = given ?? ""; // a browser may keep nothing
  }
  if (given) history.replaceState(null, "", location.pathname);
}

async function get(path, asked = {}) {
  const said = Object.entries(asked).filter(([, value]) => value !== null && value !== undefined);
  const query = new URLSearchParams(said.map(([name, value]) => [name, String(value)]));
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(`${path}?${query}`, { headers, credentials: "omit" });
  if (!answer.ok) throw new Refused(answer.status, (await answer.text()).trim());
  return answer;
}

const ask = async (path, asked) => (await get(path, asked)).json();

// Pictures: few at once, and as many kept as a person looks at in a while

const pictures = new Map(); // by what was asked for: promises of URLs
const waiting = [];
let reading = 0;

async function inTurn(act) {
  if (reading >= PICTURES_AT_ONCE) await new Promise((go) => waiting.push(go));
  else reading += 1;
  try {
    return await act();
  } finally {
    const next = waiting.pop(); // the latest: what was asked before may be out of sight
    if (next) next();
    else reading -= 1;
  }
}

async function picture(asked) {
  for (let tried = 1; ; tried += 1) {
    const answer = await inTurn(() => get("api/picture", asked));
    if (answer.headers.get("Content-Type").startsWith("image/")) return URL.createObjectURL(await answer.blob());
    const { why, again } = await answer.json();
    if (!again || tried >= PICTURE_TRIES) throw new Error(why);
    await pause(500);
  }
}

function pictureOf(row, size) {
  const asked = row.letter ? { letter: row.letter, size } : { key: row.key, size };
  const name = JSON.stringify(asked);
  const made = pictures.get(name) ?? picture(asked);
  pictures.delete(name);
  pictures.set(name, made);
  made.catch(() => pictures.delete(name)); // another time it may be there
  if (pictures.size > PICTURES_KEPT) forget(pictures.keys().next().value);
  return made;
}

function forget(name) {
  const made = pictures.get(name);
  pictures.delete(name);
  made.then((url) => URL.revokeObjectURL(url), () => {});
}

// What is shown, as it stands in the address

const MORE = ["finish", "model"]; // filters beside those of the finder
const shown = { tab: "rows", start: 0, order: "", more: { finish: "", model: "" } };
let rows = [];
let total = 0;
let whole = true; // there are no more than that
let state = { rows: 0, parts: 0, indexed: 0, indexing: false };
let latest = 0; // number of the last question
let loaded = 0; // when it was asked, in ms
let searched = 0; // which generation of the index was, then

const isDead = () => shown.tab === "dead";

/** The words that are marked: not those that must be missing. */
const marking = (text) =>
  text.replace(/(^|\s)-("[^"]*"?|\S+)/g, " ").replace(/["*]/g, " ").trim();

function filters() {
  const { text, ...fields } = finder.asked;
  if (isDead()) return { text, reason: fields.flag };
  const chosen = { ...fields, ...shown.more };
  const set = Object.fromEntries(Object.entries(chosen).filter(([, value]) => value));
  if (set.contributor === OURS) set.contributor = "";
  return { text, ...set };
}

const isFiltered = () => Object.values({ ...finder.asked, ...shown.more }).some(Boolean);

async function load() {
  const mine = ++latest;
  loaded = Date.now();
  searched = state.generation;
  at("tiles").setAttribute("aria-busy", "true");
  const window = { start: shown.start, count: PER_PAGE, order: isDead() ? null : shown.order };
  try {
    const found = await ask(isDead() ? "api/letters" : "api/rows", { ...filters(), ...window });
    if (mine !== latest) return; // something else was asked since
    take(found);
  } catch (exc) {
    if (mine !== latest) return;
    rows = [];
    total = 0;
    tell(exc);
    draw([]);
  } finally {
    if (mine === latest) at("tiles").removeAttribute("aria-busy");
  }
}

function take(found) {
  rows = found.rows;
  total = found.total;
  whole = found.complete ?? true;
  if (isDead()) finder.offerField("flag", Object.keys(found.reasons));
  trouble(isDead() ? [found.why] : found.notes);
  if (!rows.length && shown.start > 0 && total > 0) return go(lastStart());
  draw(rows);
}

function draw(some) {
  const asked = { ...ANY, text: marking(finder.asked.text) };
  renderTiles(at("tiles"), some, { thumbnailUrl: (row) => pictureOf(row, "small"), onOpen: (row) => sample.open(row), asked, keyOf: (row) => row.key });
  const pages = Math.max(1, Math.ceil(total / PER_PAGE));
  const page = Math.floor(shown.start / PER_PAGE) + 1;
  at("page").value = count(page);
  write(at("pages"), `of ${count(pages)}`);
  at("back").disabled = page <= 1;
  at("on").disabled = page >= pages;
  at("clear").hidden = !isFiltered();
  write(at("found"), told());
  at("nothing").hidden = some.length > 0;
  write(at("nothing"), some.length ? "" : none());
  remember();
}

function told() {
  if (isDead()) return `${count(total)} dead letters${total >= 1000 ? ", the newest" : ""}`;
  const more = whole ? "" : "+";
  if (!isFiltered()) return `${count(total)}${state.counted ? "" : "+"} captions`;
  const part = state.indexing ? `, of the ${percent(state.indexed / state.rows)} that can be searched by now` : "";
  return `${count(total)}${more && !state.indexing ? more : ""} found${part}`;
}

function none() {
  if (isDead()) return at("trouble").hidden ? "No dead letter fits." : "";
  if (isFiltered()) return state.indexing ? "Nothing is found yet." : "No caption fits.";
  return state.counted ? "No part is finished yet. Captions show up here as parts are written." : "";
}

function trouble(sentences) {
  const all = [...sentences, ...(isDead() ? [] : [state.trouble, isFiltered() ? state.search : ""])];
  const unread = isDead() ? [] : Object.keys(state.troubles ?? {});
  if (unread.length) all.push(`Cannot be read: ${unread.slice(0, 5).join(", ")}${unread.length > 5 ? ", …" : ""}`);
  const said = all.filter(Boolean);
  at("trouble").hidden = said.length === 0;
  write(at("trouble"), said.join("\n"));
}

function tell(exc) {
  at("trouble").hidden = false;
  write(at("trouble"), exc instanceof Refused ? exc.message : "No answer. Is caption-flow view still running?");
}

const lastStart = () => Math.max(0, Math.ceil(total / PER_PAGE) - 1) * PER_PAGE;

function go(start) {
  const next = Math.min(Math.max(0, start), Math.max(lastStart(), 0));
  if (next === shown.start && rows.length) return draw(rows);
  shown.start = next;
  scrollTo({ top: 0 });
  return load();
}

function again() {
  shown.start = 0;
  return load();
}

function remember() {
  const said = { tab: isDead() ? "dead" : "", start: shown.start || "", order: shown.order, ...finder.asked, ...shown.more };
  const set = Object.entries(said).filter(([, value]) => value);
  const hash = new URLSearchParams(set.map(([name, value]) => [name, String(value)])).toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname);
}

function recall() {
  const said = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(ANY)) finder.asked[name] = said.get(name) ?? "";
  for (const name of MORE) shown.more[name] = said.get(name) ?? "";
  finder.search.value = finder.asked.text;
  shown.start = Number.parseInt(said.get("start") ?? "0", 10) || 0;
  shown.order = said.get("order") === "newest" ? "newest" : "";
  shown.tab = said.get("tab") === "dead" ? "dead" : "rows";
}

// One row, with all that is known of it

class Looked extends Sample {
  open(row) {
    super.open(row);
    this.#columns(row);
    if (!row.facts) this.#whole(row);
  }

  async #whole(row) {
    try {
      const { part, number, id } = row;
      const found = await ask("api/row", { part, number, id });
      // By the key of its tile, though its part may have been rewritten since.
      if (this.row === row && this.dialog.open) this.open({ ...found, key: row.key });
    } catch (exc) {
      if (this.row === row) this.inside.append(make("p", { class: "soft" }, exc.message));
    }
  }

  #columns(row) {
    const lines = Object.entries(row.columns ?? {});
    if (!lines.length) return;
    this.inside.lastElementChild.append(
      make("dt", { class: "apart" }, "Columns of the sample"),
      ...lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
    );
  }
}

const sample = new Looked({
  pictureUrl: (row) => pictureOf(row, "large"),
  neighbour: (row, step) => {
    // Its part may have been rewritten since it was opened.
    const same = (one) => one.key === row.key || (row.part && one.part === row.part && one.id === row.id);
    const here = rows.findIndex(same);
    return here < 0 ? null : (rows[here + step] ?? null);
  },
  asked: () => ({ ...ANY, text: marking(finder.asked.text) }),
});

// What there is to choose from

const finder = new Finder(at("finder"), again, { delay: 200 });
finder.search.setAttribute("aria-label", "Search captions, ids and columns");

function choice(name, label) {
  const select = make("select", { class: "field", "aria-label": `Filter by ${label}`, name });
  select.addEventListener("change", () => {
    shown.more[name] = select.value;
    dress();
    again();
  });
  at("finder").append(select);
  return select;
}

const chosen = { finish: choice("finish", "finish reason"), model: choice("model", "model") };
const anyShard = make("input", { class: "field narrow", list: "shards", placeholder: "Any shard", "aria-label": "Filter by shard", name: "any-shard", hidden: true, autocomplete: "off" });
const shards = make("datalist", { id: "shards" });
const order = make("select", { class: "field", "aria-label": "Order", name: "order" }, make("option", { value: "" }, "Oldest first"), make("option", { value: "newest" }, "Newest first"));
at("finder").append(anyShard, shards, order);

anyShard.addEventListener("input", async () => {
  const found = await ask("api/choices", { kind: "shard", like: anyShard.value }).catch(() => []);
  shards.replaceChildren(...found.map(({ value }) => make("option", { value })));
});
anyShard.addEventListener("change", () => {
  finder.asked = { ...finder.asked, shard: anyShard.value };
  again();
});
order.addEventListener("change", () => {
  shown.order = order.value;
  again();
});

function fill(select, label, values) {
  const value = shown.more[select.name];
  const all = [...new Set([...values, ...(value ? [value] : [])])];
  const now = [...select.options].slice(1).map((option) => option.value);
  if (select.options.length && now.join("\n") === all.join("\n")) return;
  select.replaceChildren(make("option", { value: "" }, `Any ${label}`), ...all.map((one) => make("option", { value: one }, one)));
  select.value = value;
}

/** Offer what the rows have; asked anew when more of them are indexed. */
async function offer() {
  const kinds = ["shard", "stage", "contributor", "flag", ...MORE];
  const found = await Promise.all(kinds.map((kind) => ask("api/choices", { kind }).catch(() => [])));
  const values = Object.fromEntries(kinds.map((kind, place) => [kind, found[place].map((one) => one.value)]));
  values.contributor = values.contributor.map((name) => name || OURS);
  for (const kind of ["shard", "stage", "contributor", ...(isDead() ? [] : ["flag"])]) {
    finder.offerField(kind, values[kind].filter(Boolean).sort());
  }
  fill(chosen.finish, "finish reason", values.finish.filter(Boolean));
  fill(chosen.model, "model", values.model.filter(Boolean));
  manyShards = values.shard.length >= MOST_CHOICES;
  dress();
}

let manyShards = false;

/** Show the controls that say something here, as they are set. */
function dress() {
  const { selects } = finder;
  for (const [name, select] of [...Object.entries(selects), ...Object.entries(chosen)]) {
    const value = finder.asked[name] ?? shown.more[name];
    if ([...select.options].some((option) => option.value === value)) select.value = value;
    select.classList.toggle("chosen", Boolean(value));
    select.hidden = (isDead() && name !== "flag") || select.options.length <= (value ? 1 : 2 - (name === "flag"));
  }
  selects.shard.hidden ||= manyShards;
  finder.search.placeholder = isDead() ? "Search ids, sources and reasons" : 'Search: words, "a phrase", begin*, -without';
  selects.flag.options[0].textContent = isDead() ? "Any reason" : "Any flag";
  anyShard.hidden = isDead() || !manyShards;
  anyShard.value = finder.asked.shard;
  anyShard.classList.toggle("chosen", Boolean(finder.asked.shard));
  order.value = shown.order;
  order.hidden = isDead();
  for (const [tab, name] of [["tab-rows", "rows"], ["tab-dead", "dead"]]) {
    at(tab).setAttribute("aria-selected", String(shown.tab === name));
    at(tab).tabIndex = shown.tab === name ? 0 : -1;
  }
}

// Following

let lost = false; // nobody answered

async function follow() {
  for (;;) {
    try {
      if (!document.hidden) await look();
      if (lost) await load();
      lost = false;
    } catch (exc) {
      tell(exc);
      if (exc.status === 401) return;
      lost = true;
    }
    await pause(EVERY);
  }
}

async function look() {
  const before = state;
  const told_ = await ask("api/state");
  state = told_.state;
  write(at("job"), told_.job);
  document.title = `${told_.job} · caption-flow`;
  const parts = `${count(state.rows)} rows in ${count(state.parts)} ${state.parts === 1 ? "part" : "parts"}`;
  const searching = state.indexing ? ` · ${percent(state.indexed / state.rows)} can be searched` : "";
  write(at("sum"), parts + searching);
  at("indexing").hidden = !state.indexing;
  at("indexing").value = state.rows ? state.indexed / state.rows : 0;
  if (before.indexed !== state.indexed) await offer();
  if (isDead()) return;
  if (before.counted === undefined) {
    if (!at("tiles").hasAttribute("aria-busy")) draw(rows); // now that it is known what there is
    return;
  }
  if (isFiltered()) {
    const due = !state.indexing || Date.now() - loaded >= SEARCH_AGAIN;
    if (searched !== state.generation && due) await load();
  } else if (before.rows !== state.rows || before.counted !== state.counted) {
    // Who has turned to a later page of the newest goes on reading what is there.
    const newer = shown.order === "newest" && shown.start === 0;
    if (newer || rows.length < PER_PAGE || state.rows < before.rows) return load();
    total = state.rows;
    draw(rows);
  }
}

// Going through

at("back").addEventListener("click", () => go(shown.start - PER_PAGE));
at("on").addEventListener("click", () => go(shown.start + PER_PAGE));
at("page").addEventListener("change", () => {
  const page = Number.parseInt(at("page").value.replaceAll(/\D/g, ""), 10) || 1;
  go((page - 1) * PER_PAGE);
});
at("clear").addEventListener("click", () => {
  finder.asked = { ...ANY };
  finder.search.value = "";
  for (const name of MORE) shown.more[name] = "";
  dress();
  again();
});

function turnTo(tab) {
  if (tab === shown.tab) return;
  shown.tab = tab;
  finder.asked = { ...ANY, text: finder.asked.text };
  finder.offerField("flag", []);
  dress();
  again();
  offer();
}

at("tab-rows").addEventListener("click", () => turnTo("rows"));
at("tab-dead").addEventListener("click", () => turnTo("dead"));
at("tabs").addEventListener("keydown", (event) => {
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  event.preventDefault();
  turnTo(isDead() ? "rows" : "dead");
  at(isDead() ? "tab-dead" : "tab-rows").focus();
});

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || sample.dialog.open) return;
  if (event.key === "Escape") {
    document.activeElement.blur();
    if (event.target === finder.search && finder.search.value) at("clear").click();
  }
  if (event.target.closest("input, select, textarea, .tabs")) return;
  if (event.key === "ArrowLeft" && !event.target.closest(".tile")) go(shown.start - PER_PAGE);
  if (event.key === "ArrowRight" && !event.target.closest(".tile")) go(shown.start + PER_PAGE);
  if (event.key === "ArrowDown" && !event.target.closest(".tile")) {
    event.preventDefault();
    at("tiles").firstElementChild?.focus();
  }
});

takeToken();
themed(at("theme"));
walkTiles(at("tiles"));
recall();
dress();
load();
follow();
