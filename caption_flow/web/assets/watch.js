// The page of a proxy: asks for the state of the job every two seconds, and draws it.

import { Chart } from "./chart.js";
import { arrange, make, write } from "./dom.js";
import { ANY, Finder, fits, renderTiles, Sample, walkTiles } from "./gallery.js";
import { kept, Table } from "./tables.js";
import { themed } from "./theme.js";
import { ago, bytes, clock, count, lasting, percent, rate } from "./words.js";

const EVERY = 2000; // ms between two looks
const PATIENCE = 10_000; // ms for an answer
const MOST_ROWS = 600; // that this page keeps
const AT_FIRST = 24; // tiles
const PICTURES_AT_ONCE = 24; // that a proxy gives
const WINDOW = 30; // seconds over which a speed is taken
const SHORTEST = 5; // seconds over which there is a rate
const SILENT = 20; // seconds without a word, after which a process is marked
const TOKEN = "caption-flow.token";

const at = (id) => document.getElementById(id);
const pause = (ms) => new Promise((done_) => setTimeout(done_, ms));

// Asking

class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status; // 0: there was no answer
  }

  /** Whether this token does not let in. */
  get barred() {
    return [401, 403].includes(this.status);
  }
}

function token() {
  try {
    return sessionStorage.getItem(TOKEN) ?? "";
  } catch {
    return held;
  }
}

let held = ""; // where the browser keeps nothing

function keep(said) {
  held = said;
  try {
    if (said) sessionStorage.setItem(TOKEN, said);
    else sessionStorage.removeItem(TOKEN);
  } catch {
    // then it is asked for again when the page is loaded again
  }
}

async function ask(path) {
  const said = token();
  const headers = said ? { Authorization: `Bearer ${said}` } : {};
  const signal = AbortSignal.timeout(PATIENCE); // a connection from before a sleep is silent for minutes
  try {
    const answer = await fetch(path, { headers, signal, cache: "no-store", credentials: "omit" });
    if (answer.ok) return await answer.json();
    // Whoever stands before a proxy may answer in its place, with a page of its own.
    const isOurs = answer.headers.get("Content-Type")?.startsWith("text/plain");
    const sentence = isOurs ? (await answer.text()).trim() : `The proxy does not answer (${answer.status}).`;
    throw new Refused(answer.status, sentence);
  } catch (error) {
    throw error instanceof Refused ? error : new Refused(0, "The proxy does not answer.");
  }
}

// Progress

const BOOKS = [
  ["captioned", "in finished parts", (books) => books.captioned],
  ["unwritten", "captioned, not written yet", (books) => books.completed - books.captioned],
  ["in-stages", "on their way", (books) => books.in_flight - (books.completed - books.captioned)],
  ["in-chunks", "waiting to be fed", (books) => books.in_chunks],
  ["dead", "dead letters", (books) => books.dead],
];

function showProgress({ books, done, rates }) {
  const settled = books.completed + books.dead;
  // While samples are still being found, a share of them would fall as the job goes on.
  const known = books.plan_done && books.planned;
  write(at("share"), known ? percent(settled / books.planned) : count(settled));
  const of = known ? `${count(settled)} of ${count(books.planned)} samples` : `samples, of ${count(books.planned)} found so far`;
  write(at("done"), books.planned ? of : "No sample is planned yet");
  at("bar").setAttribute("aria-label", BOOKS.map(([, label, of_]) => `${count(of_(books))} ${label}`).join(", "));
  arrange(
    at("bar"),
    BOOKS.map(([name, , of_]) => {
      const part = at("bar").querySelector(`.${name}`) ?? make("i", { class: name });
      part.hidden = !(of_(books) > 0);
      part.style.flexGrow = String(Math.max(0, of_(books)));
      return part;
    }),
  );
  arrange(
    at("books"),
    BOOKS.map(([name, label, of_]) => {
      const line = at("books").querySelector(`.${name}`) ?? make("li", { class: name }, make("span", {}, make("i"), label), make("b"));
      write(line.lastChild, count(Math.max(0, of_(books))));
      return line;
    }),
  );
  write(at("left"), done ? "" : rates.left === null ? "" : rates.left > 0 ? `about ${lasting(rates.left)} left` : "");
}

function showState({ job, done, paused, limit, at: when }) {
  write(at("job"), job);
  document.title = `${at("share").textContent} · ${job} · caption-flow`;
  const state = at("state");
  const [word, kind] = done ? ["Done", "good"] : paused ? ["Paused", "warn"] : limit.kind === "workers" || limit.kind === "sink" ? ["Waiting", "warn"] : ["Running", "accent"];
  write(state, word);
  state.className = `badge ${kind}`;
  state.hidden = false;
  write(at("news"), clock(when));
  at("news").classList.remove("away");
}

const LIMITS = {
  done: ["done", "good"],
  nothing: ["nothing", "good"],
  engine: ["engine", "accent"],
  feeding: ["feeding", "warn"],
  preparing: ["preparing", "warn"],
  budget: ["budget", "warn"],
  workers: ["workers", "bad"],
  sink: ["sink", "bad"],
  paused: ["paused", "warn"],
};

function figure(of, value) {
  const [name] = of.split(":"); // what follows is a stage, or a reason
  if (/_(lately|share|use)$/.test(name)) return percent(value);
  if (/bytes|memory/.test(name)) return bytes(value);
  if (name.endsWith("_at")) return ago(value, latest);
  if (name.endsWith("_ahead")) return `${value < 0 ? "-" : ""}${lasting(Math.abs(value))}`;
  return Number.isInteger(value) ? count(value) : rate(value);
}

const plain = (name) => name.replaceAll("_", " ").replace(":", ": ");

function showLimit({ limit }) {
  const [word, kind] = LIMITS[limit.kind] ?? [limit.kind, ""];
  write(at("limit-kind"), word);
  at("limit-kind").className = `badge ${kind}`;
  write(at("limit"), limit.sentence);
  at("limit-figures").replaceChildren(
    ...Object.entries(limit.figures).flatMap(([name, value]) => [make("dt", {}, plain(name)), make("dd", {}, figure(name, value))]),
  );
}

/** A rate, where it is taken over long enough to be one. */
const paced = (pace, what) => (pace.seconds < SHORTEST ? ["–", ""] : [rate(pace[what]), "/s"]);

const RATES = [
  ["Last minute", ({ rates }) => paced(rates.minute, "samples")],
  ["Last 5 minutes", ({ rates }) => paced(rates.five_minutes, "samples")],
  ["Last hour", ({ rates }) => paced(rates.hour, "samples")],
  ["Tokens, last minute", ({ rates }) => paced(rates.minute, "tokens")],
  ["Time left", ({ rates, done }) => [done ? "done" : rates.left === null ? "–" : lasting(rates.left), ""]],
];

function showRates(state) {
  arrange(
    at("rates"),
    RATES.map(([label, of], place) => {
      const line = at("rates").children[place] ?? make("li", {}, make("span", {}, label), make("b"), make("small"));
      const [figure_, unit] = of(state);
      write(line.children[1], figure_);
      write(line.children[2], unit);
      return line;
    }),
  );
}

/** The throughput as a curve; what the first figure is of began before it. */
function curve({ throughput, rates, at: now }) {
  const [first] = throughput;
  const began = now - rates.hour.seconds;
  return first && began < first[0] ? [[began, first[1]], ...throughput] : throughput;
}

// Machines

class Speeds {
  // What members do a second, by what they said at several looks; as monitor/speeds.py reckons.
  #told = new Map(); // by member: [when, done until then], …

  look(members) {
    this.#told = new Map(members.map((one) => [keyOf(one), this.#after(one)]));
  }

  #after(one) {
    const word = [one.seen, done(one)];
    const told = this.#told.get(keyOf(one)) ?? [];
    const last = told.at(-1);
    // Another process of that name, or one that counts anew.
    if (!last || word[0] < last[0] || word[1] < last[1]) return [word];
    const all_ = word[0] > last[0] ? [...told, word] : told;
    const old = all_.filter(([when]) => one.seen - when >= WINDOW).length;
    return all_.slice(Math.max(0, old - 1));
  }

  /** Of a member that was heard once: since it began. */
  of(one) {
    if (isSilent(one)) return 0;
    const told = this.#told.get(keyOf(one)) ?? [];
    if (!told.length) return NaN;
    const [until, now] = told.at(-1);
    const [since, before] = until - told[0][0] < 1 ? [one.started, 0] : told[0];
    return until - since < 1 ? NaN : Math.max(0, now - before) / (until - since);
  }
}

const keyOf = (one) => `${one.role}:${one.name}`;
const isSilent = (one) => latest - one.seen >= SILENT;
const DONE = { worker: "captions", sink: "rows", feed: "samples" }; // figures that grow with what is done
const done = (one) => one.figures[DONE[one.role]] ?? 0;
const speeds = new Speeds();

const shownState = {
  working: "good",
  starting: "accent",
  reloading: "accent",
  paused: "warn",
  waiting: "",
  idle: "warn",
  draining: "warn",
};

let latest = 0; // the job's time in the last state

function named(one, cell) {
  const both = kept(cell, () => make("div", {}, make("div", { class: "name" }), make("div", { class: "host" })));
  write(both.firstChild, one.name);
  write(both.lastChild, one.name.startsWith(one.host) ? "" : one.host);
}

/** Split what a member says of its state, as "idle: It has no model", into the word and the rest. */
function stateOf(one) {
  const [word, ...rest] = one.state.split(":");
  return [word, rest.join(":").trim()];
}

function stated(one, cell) {
  const both = kept(cell, () => make("div", {}, make("span", { class: "badge" }), make("div", { class: "why" })));
  const [word, why] = stateOf(one);
  const silent = isSilent(one);
  write(both.firstChild, silent ? `silent, ${ago(one.seen, latest)}` : word);
  both.firstChild.className = `badge ${silent ? "bad" : (shownState[word] ?? "")}`;
  write(both.lastChild, why);
  both.lastChild.title = why;
}

function meter(cell, share, words) {
  const both = kept(cell, () => make("span", {}, make("span", { class: "meter" }, make("i")), make("span")));
  both.firstChild.firstChild.style.width = `${Math.min(100, 100 * share)}%`;
  write(both.lastChild, words);
}

function inside(one, cell) {
  const { running = 0, slots = 0 } = isSilent(one) ? {} : one.figures;
  meter(cell, slots ? running / slots : 0, slots ? `${count(running)} / ${count(slots)}` : isSilent(one) ? "–" : count(running));
}

function gpu(one, cell) {
  const both = kept(cell, () => make("div", {}, make("div"), make("div", { class: "host numbers" })));
  const { gpu_memory_used: used, gpu_memory_total: total, gpu_use: use } = one.figures;
  const busy = use === undefined ? "" : `, ${percent(use)} busy`; // not every kind tells
  write(both.firstChild, one.facts.gpu ?? "");
  write(both.lastChild, total ? `${bytes(used)} of ${bytes(total)}${busy}` : "");
}

function failed(one, cell) {
  write(cell, count(one.figures.failed ?? 0));
  cell.title = one.facts.last_error ?? "";
}

function doing(one) {
  if (one.role === "feed") return one.facts.shards ?? "";
  if (one.role === "proxy") return one.facts.address ?? "";
  const { last_part: part } = one.facts;
  return part ? `${part}, ${ago(one.figures.last_part_at, latest)}` : "";
}

function all(one) {
  const [word, why] = stateOf(one);
  return [
    ["state", why ? `${word}: ${why}` : word],
    ...Object.entries(one.facts).map(([name, value]) => [plain(name), name.endsWith("_at") ? ago(Number(value), latest) : value]),
    ...figures(one),
    ["host", one.host],
    ["process", String(one.pid)],
    ["started", ago(one.started, latest)],
    ["last word", ago(one.seen, latest)],
  ];
}

/** The figures of a member; what it tells of each stage, as "slots:STAGE", is a line for each. */
function figures(one) {
  const of = (name) => name.slice(name.indexOf(":") + 1);
  const names = Object.keys(one.figures);
  const many = new Set(names.filter((name) => name.startsWith("slots:")).map(of));
  const said = (name) => `${plain(name.split(":")[0])} ${figure(name, one.figures[name])}`;
  const isOf = (name) => name.includes(":") && many.has(of(name));
  return [
    ...names.filter((name) => !isOf(name)).map((name) => [plain(name), figure(name, one.figures[name])]),
    ...[...many].map((stage) => [stage, names.filter((name) => isOf(name) && of(name) === stage).map(said).join(" · ")]),
  ];
}

const fact = (name) => (one) => one.facts[name] ?? "";
const speed = (one) => rate(speeds.of(one));
const sortable = (value) => (one) => (Number.isFinite(value(one)) ? value(one) : -1);

const idle = (one) => (isSilent(one) ? NaN : (one.figures.idle_lately ?? NaN));

const workerColumns = [
  { title: "Worker", value: (one) => one.name, show: named, sort: true },
  { title: "State", value: (one) => stateOf(one)[0], show: stated, sort: true },
  { title: "Model", value: fact("model"), sort: true, optional: true },
  { title: "GPU", value: fact("gpu"), show: gpu, sort: true, optional: true },
  { title: "In the engine", value: (one) => one.figures.running ?? 0, show: inside, sort: true },
  { title: "Captions/s", value: sortable((one) => speeds.of(one)), show: (one, cell) => write(cell, speed(one)), number: true, sort: true },
  { title: "Captions", value: done, show: (one, cell) => write(cell, count(done(one))), number: true, sort: true },
  { title: "Idle", value: sortable(idle), show: (one, cell) => write(cell, percent(idle(one))), number: true, sort: true },
  { title: "Failed", value: (one) => one.figures.failed ?? 0, show: failed, number: true, sort: true },
];

const otherColumns = [
  { title: "Process", value: (one) => one.name, show: named, sort: true },
  { title: "Role", value: (one) => one.role, sort: true },
  { title: "State", value: (one) => stateOf(one)[0], show: stated, sort: true },
  { title: "At", value: doing, optional: true },
  { title: "Done", value: done, show: (one, cell) => write(cell, told(one)), number: true, sort: true },
  { title: "A second", value: sortable((one) => speeds.of(one)), show: (one, cell) => write(cell, one.role === "proxy" ? "" : speed(one)), number: true },
];

function told(one) {
  if (one.role === "proxy") return `${count(one.figures.connections ?? 0)} connections`;
  return `${count(done(one))} ${one.role === "sink" ? "rows" : "samples"}`;
}

const streamColumns = [
  { title: "Stream", value: (one) => one.stream },
  { title: "Waiting", value: (one) => one.waiting, show: (one, cell) => write(cell, count(one.waiting)), number: true },
  { title: "Held", value: (one) => one.held, show: (one, cell) => write(cell, count(one.held)), number: true },
  { title: "Passed", value: (one) => one.passed ?? 0, show: (one, cell) => write(cell, one.passed === undefined ? "" : count(one.passed)), number: true },
  { title: "Oldest", value: (one) => one.oldest ?? 0, show: (one, cell) => write(cell, one.oldest === null ? "" : lasting(latest - one.oldest)), number: true },
];

const settled = (one) => (one.planned ? (one.captioned + one.dead) / one.planned : 0);

function sharded(one, cell) {
  const both = kept(cell, () => make("div", {}, make("span", { class: "tail" }, make("bdi")), make("div", { class: "host numbers" })));
  write(both.firstChild.firstChild, one.name);
  both.firstChild.title = one.name;
  meter(both.lastChild, settled(one), percent(settled(one)));
}

const shardColumns = [
  { title: "Shard, settled", value: (one) => one.name, show: sharded },
  { title: "Samples", value: (one) => one.planned, show: (one, cell) => write(cell, count(one.planned)), number: true },
  { title: "Dead", value: (one) => one.dead, show: (one, cell) => write(cell, count(one.dead)), number: true, optional: true },
];

const boardColumns = [
  { title: "", value: (one) => one.rank || "", number: true },
  { title: "Contributor", value: (one) => one.name, show: (one, cell) => write(cell, whose(one)) },
  { title: "Captions", value: (one) => one.captions, show: (one, cell) => write(cell, count(one.captions)), number: true },
  { title: "Tokens", value: (one) => one.output_tokens, show: (one, cell) => write(cell, count(one.output_tokens)), number: true },
  { title: "Time", value: (one) => one.seconds, show: (one, cell) => write(cell, one.seconds ? lasting(one.seconds) : ""), number: true },
];

function whose(one) {
  if (one.kind === "own") return "own workers";
  return one.kind === "anonymous" ? `${count(one.members)} who are not named` : one.name;
}

const deadColumns = [
  { title: "Reason", value: ([reason]) => reason },
  { title: "Samples", value: ([, many]) => many, show: ([, many], cell) => write(cell, count(many)), number: true },
];

function tables() {
  return {
    workers: new Table(at("workers"), workerColumns, { keyOf, empty: "No worker has come yet.", sorted: ["Worker", false], detail: all }),
    others: new Table(at("others"), otherColumns, { keyOf, empty: "None runs.", sorted: ["Role", false], detail: all }),
    streams: new Table(at("streams"), streamColumns, { keyOf: (one) => one.stream, empty: "There is no stream yet." }),
    shards: new Table(at("shards"), shardColumns, { keyOf: (one) => one.name, empty: "None is fed or captioned now." }),
    board: new Table(at("board"), boardColumns, { keyOf: (one) => `${one.kind} ${one.name}`, empty: "No part is finished yet.", most: 50 }),
    dead: new Table(at("dead"), deadColumns, { keyOf: ([reason]) => reason, empty: "None: nothing was given up." }),
  };
}

function showMachines(state, shown) {
  speeds.look(state.members);
  const workers = state.members.filter((one) => one.role === "worker");
  shown.workers.show(workers);
  shown.others.show(state.members.filter((one) => one.role !== "worker"));
  const passed = new Map(state.stages.map((one) => [`samples:${one.stage}`, one.passed]));
  shown.streams.show(state.streams.map((one) => ({ ...one, passed: passed.get(one.stream) })));
  shown.shards.show(state.shards);
  shown.board.show(state.leaderboard);
  shown.dead.show(Object.entries(state.dead_reasons));
  const sum = workers.map((one) => speeds.of(one)).filter(Number.isFinite).reduce((a, b) => a + b, 0);
  write(at("workers-sum"), workers.length ? `${count(workers.length)}, together ${rate(sum)} captions/s` : "");
  write(at("dead-sum"), state.books.dead ? `${count(state.books.dead)} in all` : "");
}

// The wall

class Pictures {
  // Pictures of rows, asked for several at a time, as soon as their tiles are made.
  #waiting = new Map(); // key -> [resolve, …], in the order in which they are wanted
  #known = new Map(); // key -> URL or null
  #asking = false;

  of(row) {
    if (this.#known.has(row.key)) return Promise.resolve(this.#known.get(row.key));
    return new Promise((resolve) => {
      const others = this.#waiting.get(row.key) ?? [];
      this.#waiting.set(row.key, [...others, resolve]);
      this.resume();
    });
  }

  /** A larger picture of one row; the small one where that is all there is. */
  async large(row) {
    const key = encodeURIComponent(row.key);
    for (let tries = 0; tries < 5; tries += 1) {
      const { ready, later } = await ask(`/api/thumbnails?size=large&keys=${key}`);
      if (ready[row.key]) return picture(ready[row.key]);
      if (!later.length) break;
    }
    return this.of(row);
  }

  /** Ask for the pictures of tiles in their order, and for no others any more. */
  want(visible) {
    const before = this.#waiting;
    const keys = visible.map((row) => row.key).filter((key) => before.has(key));
    this.#waiting = new Map(keys.map((key) => [key, before.get(key)]));
    for (const [key, others] of before) {
      if (!this.#waiting.has(key)) for (const resolve of others) resolve(null);
    }
    this.resume();
  }

  /** Let go of pictures whose rows are gone. */
  forget(keys) {
    for (const key of keys) this.#known.delete(key);
  }

  /** Let go of all pictures but those of some rows. */
  keep(rows) {
    const keys = new Set(rows.map((row) => row.key));
    this.forget([...this.#known.keys()].filter((key) => !keys.has(key)));
  }

  /** Ask for what is waited for, also after a token did not let in. */
  resume() {
    if (this.#waiting.size && !this.#asking) this.#askAll();
  }

  async #askAll() {
    this.#asking = true;
    try {
      await pause(30); // for the tiles beside it
      while (this.#waiting.size) await this.#askSome([...this.#waiting.keys()].slice(0, PICTURES_AT_ONCE));
    } catch (error) {
      if (!error.barred) throw error;
    } finally {
      this.#asking = false;
    }
  }

  async #askSome(keys) {
    if (document.hidden) return pause(EVERY);
    try {
      const { ready, none, later } = await ask(`/api/thumbnails?keys=${keys.map(encodeURIComponent).join(",")}`);
      for (const [key, data] of Object.entries(ready)) this.#settle(key, picture(data));
      for (const key of none) this.#settle(key, null);
      if (later.length === keys.length) await pause(1000);
    } catch (error) {
      if (!(error instanceof Refused) || error.barred) throw error;
      await pause(EVERY); // it passes
    }
  }

  #settle(key, url) {
    this.#known.set(key, url);
    for (const resolve of this.#waiting.get(key) ?? []) resolve(url);
    this.#waiting.delete(key);
  }
}

// With its data in it: what nobody holds any more takes no memory.
const picture = (data) => `data:image/webp;base64,${data}`;

class Wall {
  constructor() {
    this.rows = []; // the newest first
    this.mark = "";
    this.shown = AT_FIRST;
    this.held = false; // by the button
    this.pointed = false; // a mouse is over the tiles
    this.missed = 0; // rows that came meanwhile
    this.pictures = new Pictures();
    this.thumbnailUrl = (row) => this.pictures.of(row);
    this.finder = new Finder(at("finder"), () => {
      this.shown = AT_FIRST;
      this.show();
    });
    this.sample = new Sample({
      pictureUrl: (row) => this.pictures.large(row),
      neighbour: (row, step) => this.#neighbour(row, step),
      asked: () => this.finder.asked,
    });
    walkTiles(at("tiles"));
    at("hold").addEventListener("click", () => this.#hold(!this.held));
    // What somebody points at does not run away.
    at("tiles").addEventListener("pointerenter", (event) => {
      this.pointed = event.pointerType === "mouse";
    });
    at("tiles").addEventListener("pointerleave", () => {
      this.pointed = false;
      this.#catchUp();
    });
    this.sample.dialog.addEventListener("close", () => this.#catchUp());
    at("more").addEventListener("click", () => {
      this.shown += AT_FIRST;
      this.show();
    });
  }

  async look() {
    const { mark, rows } = await ask(`/api/captions?after=${encodeURIComponent(this.mark)}`);
    this.mark = mark;
    // Another proxy of the job tells again what was found a moment before the mark. What was
    // captioned anew is later by a second, as the proxy has it.
    const known = new Map(this.rows.map((row) => [row.id, row.at]));
    const isKnown = ([, row]) => row.at - known.get(row.id) < 1;
    const fresh = rows.filter((one) => !isKnown(one)).map(([key, row]) => ({ ...row, key })).reverse();
    if (!fresh.length) {
      if (!this.rows.length) this.show();
      return;
    }
    const again = new Set(fresh.map((row) => row.id));
    const all_ = [...fresh, ...this.rows.filter((row) => !again.has(row.id))];
    this.rows = all_.slice(0, MOST_ROWS);
    this.pictures.forget(all_.slice(MOST_ROWS).map((row) => row.key));
    this.finder.offer(this.rows);
    if (!this.held && !this.pointed && !this.sample.dialog.open) this.show();
    else this.#miss(fresh.filter((row) => fits(row, this.finder.asked)).length);
  }

  #found() {
    return this.rows.filter((row) => fits(row, this.finder.asked));
  }

  show() {
    this.missed = 0;
    this.#label();
    const found = this.#found();
    this.visible = found.slice(0, this.shown);
    renderTiles(at("tiles"), this.visible, {
      thumbnailUrl: this.thumbnailUrl,
      onOpen: (row) => this.sample.open(row),
      asked: this.finder.asked,
      keyOf: (row) => row.key,
    });
    this.pictures.want(this.visible);
    this.pictures.keep(this.rows);
    at("more").hidden = found.length <= this.shown;
    at("no-tiles").hidden = found.length > 0;
    write(at("no-tiles"), this.rows.length ? "None of the newest captions is like that." : "No caption has been made yet.");
    this.#count(found);
  }

  #catchUp() {
    if (this.missed && !this.held && !this.pointed && !this.sample.dialog.open) this.show();
  }

  #count(found) {
    const asked = JSON.stringify(this.finder.asked) !== JSON.stringify(ANY);
    const newest = `the newest ${count(this.rows.length)}`;
    write(at("found"), !this.rows.length ? "" : asked ? `${count(found.length)} of ${newest}` : newest);
  }

  #hold(held) {
    this.held = held;
    at("hold").setAttribute("aria-pressed", String(held));
    this.#label();
    if (!held) this.show();
  }

  #miss(many) {
    this.missed += many;
    this.#label();
    this.#count(this.#found());
  }

  #label() {
    write(at("hold"), this.held ? (this.missed ? `Show ${count(this.missed)} new` : "Held") : "Hold");
  }

  #neighbour(row, step) {
    const place = this.visible.findIndex((one) => one.key === row.key);
    return place < 0 ? null : (this.visible[place + step] ?? null);
  }
}

// All of it

let page = null; // what is drawn on, once there is something to draw

function begin(job) {
  page = { job, chart: new Chart(at("chart")), tables: tables(), wall: new Wall() };
}

function showAll(state) {
  latest = state.at;
  at("door").hidden = true;
  at("watch").hidden = false;
  at("nav").hidden = false;
  at("lost").hidden = true;
  at("leave").hidden = !token();
  if (!page) begin(state.job);
  if (page.job !== state.job) location.reload(); // nothing of another job is of use
  showProgress(state);
  showState(state);
  showLimit(state);
  showRates(state);
  page.chart.show(curve(state), state.at);
  showMachines(state, page.tables);
  page.wall.pictures.resume();
}

function showDoor(sentence) {
  at("watch").hidden = true;
  at("nav").hidden = true;
  at("leave").hidden = true;
  at("state").hidden = true;
  write(at("news"), "");
  write(at("job"), "caption-flow");
  at("refusal").hidden = !sentence;
  write(at("refusal"), sentence);
  if (!at("door").hidden) return; // somebody may be typing
  at("door").hidden = false;
  at("token").focus();
}

function showLost(why) {
  at("lost").hidden = false;
  write(at("lost"), `${why} What is shown is of ${latest ? clock(latest) : "before"}; this page goes on by itself.`);
  at("news").classList.add("away");
}

let turn = 0; // the newest round of looks; older ones end

async function watch() {
  const mine = (turn += 1);
  while (mine === turn) {
    try {
      if (!document.hidden) await look(() => mine === turn);
    } catch (error) {
      if (mine !== turn) return;
      if (!(error instanceof Refused)) reportError(error); // a slip of ours, and not the proxy's
      else if (!bear(error)) return;
    }
    await pause(EVERY);
  }
}

async function look(isMine) {
  const state = await ask("/api/state");
  if (!isMine()) return;
  showAll(state);
  await page.wall.look();
}

/** Say that a look was refused; gives whether it is worth another. */
function bear(error) {
  if (error.barred) {
    const had = token();
    keep("");
    if (had) enter(error.message); // without it there may be none needed
    else showDoor(error.message);
    return false;
  }
  if (page) showLost(error.message);
  else showDoor(error.message);
  return Boolean(page) || error.status !== 429; // of wrong tokens there were too many
}

/** Go in, or ask for a token where one is needed, as soon as the proxy says which. */
async function enter(why = "") {
  const mine = (turn += 1);
  while (mine === turn) {
    try {
      const needed = !token() && (await ask("/api/door")).needs_token;
      if (mine !== turn) return;
      if (needed) showDoor(why);
      else watch();
      return;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (mine === turn) showDoor(error.message);
    }
    await pause(EVERY);
  }
}

function start() {
  themed(at("theme"));
  at("door").addEventListener("submit", (event) => {
    event.preventDefault();
    keep(at("token").value.trim());
    at("token").value = "";
    watch();
  });
  at("leave").addEventListener("click", () => {
    turn += 1;
    keep("");
    location.reload();
  });
  enter();
}

start();
