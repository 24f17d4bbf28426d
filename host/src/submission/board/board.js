"use strict";
// A click on a heading sorts its table, a second one turns it around; the field hides the rows that lack its text.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((heading, column) => {
    heading.addEventListener("click", () => {
      const down = heading.ariaSort === "ascending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      heading.ariaSort = down ? "descending" : "ascending";
      const text = (row) => row.cells[column].textContent;
      const order = (a, b) => {
        const [x, y] = [parseFloat(text(a)), parseFloat(text(b))];
        const known = !Number.isNaN(x) && !Number.isNaN(y);
        return known && x !== y ? x - y : text(a).localeCompare(text(b), "en", { numeric: true });
      };
      const rows = [...body.rows].sort((a, b) => (down ? order(b, a) : order(a, b)));
      body.append(...rows);
    });
  });
}
document.getElementById("search").addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  for (const article of document.querySelectorAll(".division article")) {
    const heading = article.querySelector("h3").textContent.toLowerCase();
    let shown = 0;
    for (const row of article.querySelectorAll("tbody tr")) {
      row.hidden = !heading.includes(wanted) && !row.textContent.toLowerCase().includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    article.hidden = shown === 0;
  }
});
