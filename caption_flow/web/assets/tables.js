// Tables that are written anew every second or two, and keep what was sorted and opened in them.

import { arrange, make, write } from "./dom.js";

const LONG = 36; // letters, beyond which a detail has a line to itself

/**
 * A table of rows. A column is { title, value(row), show(row, cell)?, number?, sort?, optional? }:
 * rows are sorted by `value`, and it is shown unless `show` fills the cell; an optional column is
 * there where one row at least has a value for it. `keyOf(row)` tells rows apart; `detail(row)`
 * lists all that is known of one, as [name, value], for a line below it that a button opens.
 */
export class Table {
  constructor(container, columns, { keyOf, empty, sorted = null, most = 200, detail = null }) {
    this.columns = columns;
    this.detail = detail;
    this.keyOf = keyOf;
    this.sorted = sorted; // [title, falling]
    this.most = most;
    this.rows = [];
    this.lines = new Map();
    this.head = make("tr", {}, ...columns.map((column) => this.#title(column)));
    if (detail) this.head.append(make("td"));
    this.body = make("tbody");
    this.nothing = make("p", { class: "nothing" }, empty);
    this.rest = make("p", { class: "more-of" });
    this.table = make("table", {}, make("thead", {}, this.head), this.body);
    container.append(this.table, this.nothing, this.rest);
  }

  #title(column) {
    const inside = column.sort
      ? make("button", { type: "button", onclick: () => this.#sort(column) }, column.title)
      : column.title;
    return make("th", { scope: "col", class: column.number ? "number" : null }, inside);
  }

  #sort(column) {
    const again = this.sorted?.[0] === column.title;
    this.sorted = [column.title, again ? !this.sorted[1] : Boolean(column.number)];
    this.show(this.rows);
  }

  show(rows) {
    this.rows = rows;
    const shown = this.#ordered(rows).slice(0, this.most);
    this.table.hidden = rows.length === 0;
    this.nothing.hidden = rows.length !== 0;
    this.rest.hidden = rows.length <= this.most;
    write(this.rest, `${this.most} of ${rows.length} are shown.`);
    const lines = new Map(shown.map((row) => [this.keyOf(row), this.#line(row)]));
    this.lines = lines;
    arrange(
      this.body,
      [...lines.values()].flatMap((line) => (line.below?.isOpen ? [line, line.below] : [line])),
    );
    this.columns.forEach((column, place) => {
      const mine = this.sorted?.[0] === column.title;
      const order = mine ? (this.sorted[1] ? "descending" : "ascending") : null;
      if (order) this.head.children[place].setAttribute("aria-sort", order);
      else this.head.children[place].removeAttribute("aria-sort");
    });
    this.#hide(shown);
  }

  #hide(shown) {
    this.columns.forEach((column, place) => {
      const hidden = Boolean(column.optional) && !shown.some((row) => column.value(row));
      this.head.children[place].hidden = hidden;
      for (const line of this.lines.values()) line.children[place].hidden = hidden;
    });
  }

  #ordered(rows) {
    const column = this.columns.find((one) => one.title === this.sorted?.[0]);
    if (!column) return rows;
    const sign = this.sorted[1] ? -1 : 1;
    const compare = (a, b) => (typeof a === "number" ? a - b : String(a).localeCompare(String(b)));
    return [...rows].sort((a, b) => sign * compare(column.value(a), column.value(b)));
  }

  #line(row) {
    const line = this.lines.get(this.keyOf(row)) ?? this.#blank();
    this.columns.forEach((column, place) => {
      const cell = line.children[place];
      if (column.show) column.show(row, cell);
      else write(cell, String(column.value(row)));
    });
    if (line.below?.isOpen) this.#fill(line.below, row);
    return line;
  }

  #blank() {
    const line = make("tr", {}, ...this.columns.map((column) => make("td", { class: column.number ? "number" : null })));
    if (this.detail) this.#openable(line);
    return line;
  }

  #openable(line) {
    const button = make("button", { class: "opener", type: "button", "aria-expanded": "false", "aria-label": "All that is known" }, "›");
    button.addEventListener("click", () => {
      line.below.isOpen = !line.below.isOpen;
      button.setAttribute("aria-expanded", String(line.below.isOpen));
      this.show(this.rows);
    });
    line.append(make("td", { class: "number" }, button));
    line.below = make("tr", { class: "below" }, make("td", { colspan: this.columns.length + 1 }, make("dl", { class: "numbers" })));
  }

  #fill(below, row) {
    const told = this.detail(row).map(([name, value]) => make("div", { class: value.length > LONG ? "long" : null }, make("dt", {}, name), make("dd", {}, value)));
    below.querySelector("dl").replaceChildren(...told);
  }
}

/** Fill a cell by a function that is told its one child, made once by `first`. */
export function kept(cell, first) {
  if (!cell.firstElementChild) cell.append(first());
  return cell.firstElementChild;
}
