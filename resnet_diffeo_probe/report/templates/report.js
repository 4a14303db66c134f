"use strict";
// The page is complete without this script: it adds sorting, filtering, and opening what a link points into.
(() => {
  const byId = (id) => document.getElementById(id);

  const reveal = () => {
    const target = location.hash.length > 1 && byId(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const box of closed) box.open = true;
  });
  addEventListener("afterprint", () => {
    for (const box of closed) box.open = false;
  });

  const table = byId("unit-table");
  const body = table.tBodies[0];
  const rows = [...body.rows].filter((row) => row.dataset.states);
  if (!rows.length) return;

  const key = (row, column) => {
    const cell = row.cells[column];
    const raw = cell.dataset.v;
    if (raw === undefined) return cell.textContent;
    if (raw === "inf") return Infinity;
    if (raw === "-inf") return -Infinity;
    return raw === "" || raw === "None" ? null : Number(raw);
  };
  const order = (a, b) =>
    typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a < b ? -1 : a > b ? 1 : 0;
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sorted = rows.map((row) => [key(row, column), row]);
      sorted.sort(([a], [b]) => {
        // rows without a value stay at the end, whichever way the others go
        if (a === null || b === null) return (a === null) - (b === null);
        return down ? order(b, a) : order(a, b);
      });
      body.append(...sorted.map(([, row]) => row));
    });
  });
  heads[0].setAttribute("aria-sort", "ascending");

  const form = byId("unit-filter");
  const name = byId("filter-name");
  const state = byId("filter-state");
  const filter = () => {
    const wanted = name.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits =
        row.dataset.name.includes(wanted) && (!state.value || row.dataset.states.split(" ").includes(state.value));
      row.hidden = !fits;
      shown += fits;
    }
    byId("filter-count").textContent = `${shown} of ${rows.length} shown`;
  };
  // Limits may be tried out; the page says so as long as one differs from those of the run.
  const box = byId("limits");
  if (box) {
    const fields = [...box.querySelectorAll("li[data-limit]")].map((item) => {
      const input = document.createElement("input");
      input.type = "number";
      input.step = "any";
      input.placeholder = "no limit";
      input.setAttribute("aria-label", item.querySelector(".rule").textContent.trim());
      item.querySelector(".value").replaceChildren(input);
      item.hidden = false;
      return { item, input, used: item.dataset.written };
    });
    const notice = box.querySelector(".edited");
    const number = (text) => (text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text));
    const mark = () => {
      for (const cell of table.querySelectorAll("[data-limits]")) {
        const found = [];
        for (const place of cell.dataset.limits.split(" ")) {
          const { item, input } = fields[Number(place)];
          if (input.value === "") continue;
          const above = item.dataset.bound === "max";
          const value = number(above ? cell.dataset.high : cell.dataset.low);
          if (!(above ? value > Number(input.value) : value < Number(input.value))) continue;
          const icon = document.createElement("span");
          const words = document.createElement("span");
          words.className = "hidden";
          words.textContent = ` ${above ? "above" : "below"} the limit ${input.value}`;
          icon.title = words.textContent.trim();
          icon.append(above ? "\u25b2" : "\u25bc", words);
          found.push(" ", icon);
        }
        cell.querySelector(".beyond").replaceChildren(...found);
      }
      notice.hidden = fields.every(({ input, used }) => input.value === used);
    };
    const reset = () => {
      for (const { input, used } of fields) input.value = used;
    };
    reset();
    // a number as the run stored it may be written otherwise in a field
    for (const field of fields) field.used = field.input.value;
    box.addEventListener("input", mark);
    byId("limits-reset").addEventListener("click", () => {
      reset();
      mark();
    });
  }

  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
})();
