"use strict";
// Tables are sorted by their headings.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const key = (row, at) => {
    const cell = row.cells[at];
    return cell.dataset.sort === undefined ? cell.textContent : Number(cell.dataset.sort);
  };
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    head.dataset.title = head.textContent.trim();
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") !== "descending" && (head.classList.contains("right") || head.hasAttribute("aria-sort"));
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].sort((a, b) => (falling ? -1 : 1) * order(key(a, at), key(b, at)));
      table.tBodies[0].append(...rows);
    });
  });
}
// What has room need not be scrolled, nor reached by the keyboard for that.
for (const wide of document.querySelectorAll(".wide, pre")) {
  if (wide.scrollWidth <= wide.clientWidth && wide.scrollHeight <= wide.clientHeight && wide.offsetParent) wide.removeAttribute("tabindex");
}
const tip = document.getElementById("tip");
// Charts tell the numbers of the nearest point.
for (const chart of document.querySelectorAll("svg.chart")) {
  const marks = [...chart.querySelectorAll("circle, rect")].map((mark) => {
    const title = mark.querySelector("title") || mark.parentNode.querySelector("title");
    return { mark, text: title.textContent };
  });
  chart.querySelectorAll("g title").forEach((title) => title.remove());
  const name = chart.querySelector("title");
  chart.setAttribute("aria-label", name.textContent);
  chart.removeAttribute("aria-labelledby");
  name.remove(); // What a browser would lay over the numbers.
  chart.addEventListener("pointermove", (event) => {
    let best = null;
    for (const { mark, text } of marks) {
      const box = mark.getBoundingClientRect();
      const x = box.left + box.width / 2, y = box.top + box.height / 2;
      const away = Math.hypot(x - event.clientX, (y - event.clientY) / 2);
      if (!best || away < best.away) best = { away, text, x, top: box.top };
    }
    tip.hidden = !best || best.away > 40;
    if (tip.hidden) return;
    tip.textContent = best.text;
    const left = Math.min(best.x + 10, document.documentElement.clientWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(4, left + scrollX)}px`;
    tip.style.top = `${best.top + scrollY - tip.offsetHeight - 8}px`;
  });
  chart.addEventListener("pointerleave", () => { tip.hidden = true; });
}
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((each) => { each.open = true; });
});
addEventListener("afterprint", () => folded.forEach((each) => { each.open = false; }));
