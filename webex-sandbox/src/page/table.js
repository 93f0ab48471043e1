// Tables that change while somebody uses them.
//
// A row belongs to a key and is kept as long as its item is shown: only texts that differ are written,
// and rows move only when their order does. So focus and selection survive every refresh. When the row
// that has the focus goes, the focus goes to its neighbour.

/**
 * A table of items.
 *
 * `columns`: `{title, kind, text(item), tone(item)}` for text, or `{title, kind, make(cell, item)}`,
 * where `make` fills the cell once and returns a function that brings it up to date; it must ask
 * `item()` for the item, which is replaced with every refresh. The first column names the row.
 */
export class Table {
  #body;
  #rows = new Map();
  #columns;
  #key;
  #caption;
  #empty;
  #heading;

  constructor(table, { key, columns, empty }) {
    this.#columns = columns;
    this.#key = key;
    this.#empty = empty;
    this.#heading = table.closest('section').querySelector('h2');
    table.setAttribute('aria-labelledby', this.#heading.id);
    this.#caption = table.createCaption();
    const head = table.createTHead().insertRow();
    for (const { title, kind = '' } of columns) {
      const cell = element('th', title, kind);
      cell.scope = 'col';
      head.append(cell);
    }
    this.#body = table.createTBody();
    this.show([]);
  }

  /** Shows these items, in this order. */
  show(items) {
    this.#caption.textContent = items.length ? '' : this.#empty;
    this.#caption.hidden = items.length > 0;
    const wanted = new Set(items.map(this.#key));
    for (const [key, row] of this.#rows) {
      if (!wanted.has(key)) this.#remove(key, row);
    }
    let next = this.#body.firstElementChild;
    for (const item of items) {
      const row = this.#row(item);
      if (row.element === next) next = next.nextElementSibling;
      else this.#body.insertBefore(row.element, next);
      row.item = item;
      for (const update of row.updates) update();
    }
  }

  /** Brings the rows up to date without new items: for what depends on the time. */
  tick() {
    for (const row of this.#rows.values()) for (const update of row.updates) update();
  }

  #row(item) {
    const key = this.#key(item);
    let row = this.#rows.get(key);
    if (row) return row;
    row = { element: document.createElement('tr'), item, updates: [] };
    this.#columns.forEach((column, index) => {
      const cell = element(index === 0 ? 'th' : 'td', '', column.kind ?? '');
      if (index === 0) cell.scope = 'row';
      row.element.append(cell);
      row.updates.push(
        column.make ? column.make(cell, () => row.item) : () => fill(cell, column, row.item),
      );
    });
    this.#rows.set(key, row);
    return row;
  }

  #remove(key, row) {
    const controls = [...row.element.querySelectorAll('button')];
    const at = controls.indexOf(document.activeElement);
    const neighbour = row.element.nextElementSibling ?? row.element.previousElementSibling;
    row.element.remove();
    this.#rows.delete(key);
    if (at >= 0) (neighbour?.querySelectorAll('button')[at] ?? this.#heading).focus();
  }
}

function fill(cell, { text, tone, kind = '' }, item) {
  const value = String(text(item) ?? '');
  if (cell.textContent !== value) cell.textContent = value;
  if (/long|name/.test(kind)) cell.title = value;
  if (tone) cell.className = `${kind} ${tone(item) ?? ''}`.trim();
}

/** A button in a cell; `act` is given the row's present item. */
export function button(cell, item, label, act, describe) {
  const made = element('button', label);
  made.type = 'button';
  if (describe) made.setAttribute('aria-label', `${label} ${describe(item())}`);
  made.addEventListener('click', () => act(item()));
  cell.append(made);
  return made;
}

/** An element with text and classes. */
export function element(name, text = '', classes = '') {
  const made = document.createElement(name);
  made.textContent = text;
  if (classes) made.className = classes;
  return made;
}

/** Pages through a list of known length. `load` is called when another page is wanted. */
export class Pager {
  offset = 0;
  #size;
  #place;
  #load;
  #text = element('span');
  #before;
  #after;

  constructor(place, what, size, load) {
    this.#place = place;
    this.#size = size;
    this.#load = load;
    this.#before = this.#button('Previous', `${what}, previous page`, -size);
    this.#after = this.#button('Next', `${what}, next page`, size);
  }

  /** What part of the list to ask for. */
  get part() {
    return { offset: this.offset, limit: this.#size };
  }

  /** Tells how long the list is. Asks for a page that exists when the present one is gone. */
  total(total) {
    if (this.offset > 0 && this.offset >= total) {
      this.offset = Math.max(0, Math.floor((total - 1) / this.#size) * this.#size);
      this.#load();
    }
    if (total <= this.#size) {
      this.#place.replaceChildren();
      return;
    }
    const last = Math.min(total, this.offset + this.#size);
    this.#text.textContent = `${this.offset + 1}–${last} of ${total.toLocaleString('en')}`;
    this.#before.disabled = this.offset === 0;
    this.#after.disabled = last === total;
    if (!this.#place.firstChild) this.#place.append(this.#before, this.#after, this.#text);
  }

  #button(label, name, by) {
    const made = element('button', label);
    made.type = 'button';
    made.setAttribute('aria-label', name);
    made.addEventListener('click', () => {
      this.offset = Math.max(0, this.offset + by);
      this.#load();
    });
    return made;
  }
}
