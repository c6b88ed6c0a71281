// Throughput as a curve, drawn as SVG by hand: one series, its axes, and the figure under the pointer.

import { make } from "./dom.js";
import { clock, rate } from "./words.js";

const NS = "http://www.w3.org/2000/svg";
const LEFT = 46;
const RIGHT = 8;
const TOP = 12;
const BOTTOM = 24;

function draw(name, attributes, ...inside) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...inside);
  return element;
}

/** Give round steps from 0 to at least `most`, few of them. */
export function steps(most, few = 4) {
  const rough = Math.max(most, 1e-3) / few;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough);
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, n) => n * step);
}

export class Chart {
  constructor(container) {
    this.container = container;
    this.points = [];
    this.tip = make("div", { class: "tip numbers", hidden: true });
    new ResizeObserver(() => this.#draw()).observe(container);
    container.addEventListener("pointermove", (event) => this.#point(event));
    container.addEventListener("pointerleave", () => this.#unpoint());
  }

  /** Show [seconds since the epoch, samples a second], oldest first, up to `now`. */
  show(points, now) {
    this.points = points;
    this.now = now;
    this.#draw();
  }

  #draw() {
    const { width, height } = this.container.getBoundingClientRect();
    if (width < 80) return;
    if (this.points.length < 2) {
      this.container.replaceChildren(make("p", { class: "nothing" }, "There is nothing to draw yet."));
      return;
    }
    this.width = width;
    this.height = height;
    const ticks = steps(Math.max(...this.points.map(([, value]) => value)));
    this.most = ticks.at(-1) || 1;
    this.from = this.points[0][0];
    this.until = Math.max(this.now, this.points.at(-1)[0], this.from + 1);
    const line = this.points.map(([at, value]) => `${this.#x(at).toFixed(1)},${this.#y(value).toFixed(1)}`);
    const floor = this.#y(0).toFixed(1);
    const ends = [this.points.at(-1)[0], this.from].map((at) => `${this.#x(at).toFixed(1)},${floor}`);
    this.marks = draw("g", {});
    const svg = draw(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": this.#spoken() },
      ...ticks.flatMap((tick) => this.#rung(tick)),
      ...this.#times(),
      draw("polygon", { class: "area", points: [...line, ...ends].join(" ") }),
      draw("polyline", { class: "curve", points: line.join(" ") }),
      this.marks,
    );
    this.container.replaceChildren(svg, this.tip);
    if (this.pointed !== undefined) this.#mark(this.pointed);
  }

  #x(at) {
    return LEFT + ((at - this.from) / (this.until - this.from)) * (this.width - LEFT - RIGHT);
  }

  #y(value) {
    return this.height - BOTTOM - (value / this.most) * (this.height - TOP - BOTTOM);
  }

  #rung(tick) {
    const y = this.#y(tick);
    return [
      draw("line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y }),
      draw("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, rate(tick)),
    ];
  }

  #times() {
    const many = Math.max(2, Math.min(7, Math.floor(this.width / 150)));
    return Array.from({ length: many }, (_, n) => {
      const at = this.from + ((this.until - this.from) * n) / (many - 1);
      const anchor = n === 0 ? "start" : n === many - 1 ? "end" : "middle";
      return draw("text", { x: this.#x(at), y: this.height - 5, "text-anchor": anchor }, clock(at));
    });
  }

  #spoken() {
    const values = this.points.map(([, value]) => value);
    return `Throughput from ${clock(this.from)} to ${clock(this.until)}: now ${rate(values.at(-1))}, at most ${rate(Math.max(...values))} samples a second`;
  }

  #point(event) {
    if (this.points.length < 2 || this.width === undefined) return;
    const x = event.clientX - this.container.getBoundingClientRect().left;
    const at = this.from + ((x - LEFT) / (this.width - LEFT - RIGHT)) * (this.until - this.from);
    this.#mark(at);
  }

  #mark(at) {
    this.pointed = at;
    const near = this.points.reduce((best, one) => (Math.abs(one[0] - at) < Math.abs(best[0] - at) ? one : best));
    const [x, y] = [this.#x(near[0]), this.#y(near[1])];
    this.marks.replaceChildren(
      draw("line", { class: "cross", x1: x, x2: x, y1: TOP, y2: this.height - BOTTOM }),
      draw("circle", { class: "dot", cx: x, cy: y, r: 5 }),
    );
    this.tip.textContent = `${clock(near[0])} · ${rate(near[1])} samples/s`;
    this.tip.hidden = false;
    const room = this.width - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(room, x - this.tip.offsetWidth / 2))}px`;
  }

  #unpoint() {
    this.pointed = undefined;
    this.tip.hidden = true;
    this.marks?.replaceChildren();
  }
}
