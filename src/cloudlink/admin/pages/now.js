// Numbers, charts, notices, and the address for friends.

import { button, complain, details, duration, h, linkTo, moment, note, number, put, section, svg, table, text } from "./dom.js";
import { playerList } from "./players.js";

const POINTS = 120; // ten minutes, in steps of
const STEP = 5; // seconds
const WIDTH = 240;
const HEIGHT = 60;
const NEWEST = 5; // players
const SLOW = 0.05; // seconds of delay that players notice

const whole = (value) => number(Math.round(value));
const milliseconds = (value) => `${number(value * 1000)} ms`;

/** Label, key in the statistics, how it is written, whether there is a chart of it. */
const FIGURES = [
  ["Players", "clients", number, true],
  ["Rooms", "rooms", number],
  ["Messages per second", "messages_in", whole, true],
  ["Delay", "loop_delay", (value) => milliseconds(value) + (value > SLOW ? " (slow)" : ""), true],
];

/** A line, and the same as a table. */
function chart([title, key, write]) {
  const line = svg("polyline");
  const picture = svg("svg.chart", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title, preserveAspectRatio: "none" }, line);
  const summary = h("p.soft");
  const body = h("tbody");
  let values = [];
  const fillTable = () =>
    put(body, values.map((value, place) => h("tr", h("td", place ? `${duration(place * STEP)} ago` : "now"), h("td", write(value)))));
  const more = details("As a table", table(title, ["When", title], body), fillTable);
  const element = section(title, picture, summary, more);
  element.show = (points) => {
    values = points.map((point) => point[key]).reverse();
    const most = Math.max(...values, 0);
    const at = (value, place) => `${(1 - place / (POINTS - 1)) * WIDTH},${HEIGHT - 3 - (value / (most || 1)) * (HEIGHT - 6)}`;
    line.setAttribute("points", values.map(at).join(" "));
    text(summary, values.length ? `Now ${write(values[0])}; at most ${write(most)} within ten minutes` : "Not measured");
    picture.setAttribute("aria-label", `${title}: ${summary.textContent}`);
    if (more.open) fillTable();
  };
  return element;
}

export function now(page) {
  const values = FIGURES.map(() => h("strong", "–"));
  const boxes = FIGURES.map(([label], place) => h("div.card", values[place], h("span.soft", label)));
  const show = (stats) => FIGURES.forEach(([, key, write], place) => text(values[place], write(stats[key])));
  const charts = FIGURES.filter((figure) => figure[3]).map(chart);
  const friends = h("div");
  const notices = h("ul.list");
  const none = h("p.soft", "Nothing to report.");
  put(
    page.body,
    friends,
    h("div.grid.figures", boxes),
    section("Newest players", page.feed(playerList(page, "Nobody is here."), "clients.list", { sort: "-since", limit: NEWEST }), linkTo("players", "All players")),
    h("div.grid", charts),
    section("Notices", none, notices),
  );
  page.ask("me").then(({ connect }) => put(friends, forFriends(connect)), complain);
  page.ask("stats.get").then(show, complain);
  page.watch("stats", show);
  page.watch("notices", (notice) => {
    none.hidden = true;
    notices.prepend(h("li.row", h("div", h("bdi", notice.text), h("span.soft.line", moment(notice.at)))));
  });
  page.poll(async () => {
    const { items } = await page.ask("stats.history", { minutes: (POINTS * STEP) / 60 });
    for (const one of charts) one.show(items.slice(-POINTS));
  }, complain, STEP * 1000);
}

/** How players connect; on this computer, only the server knows how others see it. */
function forFriends(connect) {
  const here = new URL(".", location).href.replace("http", "ws");
  const address = /\/\/(localhost|127\.|\[::1\])/.test(here) && connect ? connect : here;
  const shown = h("code", address);
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(address);
      note("Copied.");
    } catch {
      getSelection().selectAllChildren(shown); // pages may copy on https:// and this computer only
      note("Press Ctrl+C to copy the address.");
    }
  });
  return h("section.card.connect", h("h2", "Your friends connect to"), shown, copy);
}
