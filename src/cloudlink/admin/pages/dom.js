// Elements, dialogs and notes. Texts become text nodes, so no name can become code.

const UNDO_TIME = 10_000; // milliseconds; the bar in style.css takes as long
const NAME_SHOWN = 60; // characters
const MOST_NOTES = 4;

const isProperties = (value) => value && typeof value === "object" && !(value instanceof Node) && !Array.isArray(value);

const maker = (create) => (tag, ...rest) => {
  const [name, ...classes] = tag.split(".");
  const element = create(name);
  if (classes.length) element.classList.add(...classes);
  if (isProperties(rest[0])) {
    for (const [key, value] of Object.entries(rest.shift())) {
      if (key.startsWith("on") || key === "value" || key === "checked") element[key] = value;
      else if (value !== false) element.setAttribute(key, value === true ? "" : value);
    }
  }
  put(element, rest);
  return element;
};

/** Make an element: `h("button.danger", { onclick }, "Text", child)`; null, false and "" are left out. */
export const h = maker((name) => document.createElement(name));
export const svg = maker((name) => document.createElementNS("http://www.w3.org/2000/svg", name));

/** Replace the children. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(9).filter((child) => child || child === 0));
}

/** Set a text, unless it is the same. */
export function text(element, value) {
  if (element.textContent !== String(value)) element.textContent = value;
}

/** A stranger's name: isolated from the text around it, cut, never invisible. */
export function who(name) {
  const element = h("bdi.name");
  element.show = (now) => {
    const line = String(now ?? "").slice(0, 999).replace(/[\s\p{Cc}\p{Zl}\p{Zp}]+/gu, " ");
    const letters = [...line];
    const isBlank = !/[^\s\p{C}\p{Z}\u115f\u1160\u3164\uffa0]/u.test(line);
    text(element, isBlank ? "(no name)" : letters.length > NAME_SHOWN ? `${letters.slice(0, NAME_SHOWN).join("")}…` : line);
  };
  element.show(name);
  return element;
}

/** Several names: "a, b and 3 more". */
export const names = (list, more = 0) => h("span", list.map((name, place) => [place > 0 && ", ", who(name)]), more > 0 && ` and ${more} more`);

/** Also what the navigation has. */
export const ICONS = {
  now: "M3 12h4l3-8 4 16 3-8h4",
  players: "M9 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM2 21v-1a7 7 0 0 1 14 0v1M16 3.5a4 4 0 0 1 0 7M22 21v-1a7 7 0 0 0-4-6.3",
  rooms: "M5 21V4l9-2v19M14 4h5v17M2 21h20M10 12v1",
  bans: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM5.6 5.6l12.8 12.8",
  words: "M4 5h16v11H9l-5 4zM8 9h8M8 12h5",
  cloud: "M7 19a5 5 0 0 1-.6-9.96A6 6 0 0 1 18 10.5 4.3 4.3 0 0 1 17.5 19z",
  history: "M12 7v5l3 2M3.5 9a9 9 0 1 1-.5 4M3 4v5h5",
  server: "M4 4h16v6H4zM4 14h16v6H4zM8 7h.01M8 17h.01",
  menu: "M4 6h16M4 12h16M4 18h16",
  quiet: "M4 9v6h4l6 5V4L8 9zM18 9l4 6M22 9l-4 6",
};

export const icon = (name) => svg("svg.icon", { viewBox: "0 0 24 24", "aria-hidden": true }, svg("path", { d: ICONS[name] }));

// Forms and dialogs.

let lastId = 0;

export const button = (label, onclick, kind = "plain") => h(`button.${kind}`, { type: "button", onclick }, label);
export const input = (properties = {}) => h("input", { autocomplete: "off", spellcheck: "false", ...properties });
export const secret = (properties) => input({ type: "password", maxlength: 1024, required: true, ...properties });
export const FRESH = { autocomplete: "new-password", minlength: 15 }; // a password to be chosen
export const RULE = "At least 15 characters: four words, such as quick otter paints clouds.";

/** A labelled control. */
export function field(label, control, hint) {
  control.id = `x${++lastId}`;
  if (hint) control.setAttribute("aria-describedby", `${control.id}h`);
  return h("div.field", h("label", { for: control.id }, label), control, hint && h("small", { id: `${control.id}h` }, hint));
}

/** A menu of `[value, label]` pairs. */
export function select(pairs, value, properties = {}) {
  const element = h("select", properties, pairs.map(([key, label]) => h("option", { value: key }, label)));
  element.value = value;
  return element;
}

export const check = (label, properties = {}) => h("label.check", h("input", { type: "checkbox", ...properties }), h("span", label));

/** A form that shows refusals, and cannot be sent again while `submit` runs. */
export function form(contents, buttons, submit) {
  const alert = h("p.alert", { role: "alert", hidden: true });
  let isBusy = false;
  const onsubmit = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    isBusy = true;
    alert.hidden = true;
    try {
      await submit();
    } catch (error) {
      alert.textContent = sentence(error);
      alert.hidden = false;
    }
    isBusy = false;
  };
  return h("form", { onsubmit }, contents, alert, h("div.buttons", buttons));
}

/** A refusal in words. */
export function sentence(error) {
  const wait = error.data?.retry_after;
  return error.message + (wait ? ` Try again in ${duration(Math.ceil(wait))}.` : "");
}

/** A dialog that closes once `submit` has succeeded; `send` is its button, or a label. */
export function question(title, contents, send, submit, kind = "main") {
  const heading = h("h2", { id: `x${++lastId}` }, title);
  const close = () => element.close();
  const buttons = [send instanceof Node ? send : h(`button.${kind}`, send), button("Cancel", close)];
  const sent = form(contents, buttons, async () => {
    await submit();
    close();
  });
  const element = h("dialog", { "aria-labelledby": heading.id, onclose: () => element.remove() }, heading, sent);
  document.body.append(element);
  element.showModal();
}

/** "Kick bob?", with a button "Kick". */
export const questionOf = (verb, name, contents, submit, kind) => question([`${verb} `, who(name), "?"], contents, verb, submit, kind);

let undoLast = null;

/** Say for 10 s what was done; that long `undo` can be called, also with Ctrl+Z. */
export function note(message, undo, kind = "note") {
  const area = document.getElementById("notes");
  let timer = 0;
  const end = () => {
    clearTimeout(timer);
    element.remove();
    if (undoLast === run) undoLast = null;
  };
  const start = () => (timer = setTimeout(end, UNDO_TIME));
  const run = async () => {
    end();
    try {
      await undo();
      note("Undone.");
    } catch (error) {
      complain(error);
    }
  };
  if (undo) undoLast = run;
  const close = h("button", { type: "button", onclick: end, "aria-label": "Close" }, "×");
  const element = h(`div.note.${kind}`, h("span", message), undo && [button("Undo", run), h("i")], close);
  // With the pointer or the focus on it there is more time.
  element.onmouseenter = element.onfocusin = () => clearTimeout(timer);
  element.onmouseleave = element.onfocusout = start;
  start();
  area.append(element);
  if (area.children.length > MOST_NOTES) area.firstChild.remove();
}

export const complain = (error) => note(sentence(error), null, "bad");

addEventListener("keydown", (event) => {
  if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || !undoLast || event.target.closest("input, textarea")) return;
  event.preventDefault();
  undoLast();
});

// Parts of pages.

export const section = (title, ...contents) => h("section.card", h("h2", title), contents);

export const linkTo = (page, label) => h("p", h("a", { href: `#${page}` }, label));
export const linkOf = (page, of, label = who(of)) => h("a", { href: `#${page}?${new URLSearchParams({ of })}` }, label);

/** What opens on demand, and calls `opened`. */
export function details(label, contents, opened) {
  const element = h("details", h("summary", label), contents);
  element.ontoggle = () => element.open && opened();
  return element;
}

/** A table that can be scrolled by keyboard; `body` gets the rows. */
export const table = (label, heads, body) =>
  h("div.scroll", { tabindex: 0, role: "region", "aria-label": label },
    h("table", h("thead", h("tr", heads.map((head) => h("th", { scope: "col" }, head)))), body));

/** A list updated in place, which keeps the focus. `make(item, get)` returns a `row`; `get` the current item. */
export function list(make, id, empty, label) {
  const rows = new Map();
  const keyOf = (item) => `${item.node}${item[id]}`;
  const items = h("ul.list", { "aria-label": label, hidden: true });
  const none = h("p.soft", { hidden: true }, empty);
  const element = h("div", items, none);
  element.show = (now) => {
    const keys = new Set(now.map(keyOf));
    for (const [key, old] of rows) {
      if (keys.has(key)) continue;
      old.remove();
      rows.delete(key);
    }
    let place = items.firstChild;
    for (const item of now) {
      const key = keyOf(item);
      if (!rows.has(key)) rows.set(key, make(item, () => rows.get(key).item));
      const line = rows.get(key);
      line.show(item);
      if (line === place) place = place.nextSibling;
      else items.insertBefore(line, place);
    }
    items.hidden = !now.length;
    none.hidden = now.length > 0;
  };
  return element;
}

/** A row of a list; `parts(item)` returns chips and the texts below. */
export function row(title, buttons, parts) {
  const chips = h("span.chips");
  const line = h("span.soft.line");
  const element = h("li.row", h("div.what", h("div.title", title, chips), line), h("div.buttons", buttons));
  element.show = (item) => {
    element.item = item;
    const { chip = [], below = [] } = parts(item);
    const wanted = chip.filter(Boolean);
    if (chips.textContent !== wanted.join("")) put(chips, wanted.map((label) => h("span.chip", label)));
    text(line, below.filter(Boolean).join(" · "));
  };
  return element;
}

// Numbers and times.

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const MOMENT = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "short" });

export const number = (value) => NUMBER.format(value ?? 0);
export const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
export const moment = (seconds) => MOMENT.format(seconds * 1000);
export const until = (seconds) => (seconds == null ? "for ever" : `until ${moment(seconds)}`);
export const ago = (seconds) => duration(Math.max(0, Date.now() / 1000 - seconds));

export function size(bytes) {
  const power = Math.min(3, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${number(bytes / 1000 ** power)} ${["B", "KB", "MB", "GB"][power]}`;
}

/** Seconds in the largest unit that fits: "5 minutes". */
export function duration(seconds) {
  const [unit, word] = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]].find(([least]) => seconds >= least || least === 1);
  return plural(Math.floor(seconds / unit), word);
}
