// A line under the pointer, and what every series is there.
for (const figure of document.querySelectorAll(".figure")) {
  const svg = figure.querySelector("svg"), box = figure.querySelector(".readout");
  const data = JSON.parse(figure.querySelector("script").textContent);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  line.setAttribute("class", "cursor");
  line.setAttribute("y1", data.top);
  line.setAttribute("y2", data.bottom);
  line.setAttribute("visibility", "hidden");
  svg.append(line);
  const last = (points, at) => {
    let low = 0, high = points.length;
    while (low < high) { const mid = (low + high) >> 1; points[mid][0] <= at ? low = mid + 1 : high = mid; }
    return points[low - 1];
  };
  const row = (name, value, tag) => {
    const div = document.createElement("div");
    const left = document.createElement(tag), right = document.createElement("span");
    left.textContent = name; right.textContent = value;
    div.append(left, right);
    return div;
  };
  svg.addEventListener("pointermove", event => {
    const frame = svg.getBoundingClientRect(), width = svg.viewBox.baseVal.width;
    const x = (event.clientX - frame.left) / frame.width * width;
    const share = (x - data.left) / (data.right - data.left);
    const inside = share >= 0 && share <= 1;
    line.setAttribute("visibility", inside ? "visible" : "hidden");
    box.style.display = inside ? "block" : "none";
    if (!inside) return;
    const at = data.from + share * (data.until - data.from);
    line.setAttribute("x1", x); line.setAttribute("x2", x);
    const head = document.createElement("b");
    head.textContent = at.toFixed(1) + " s";
    box.replaceChildren(head);
    for (const panel of data.panels) for (const series of panel.series) {
      const point = last(series.points, at);
      if (point) box.append(row(panel.title + " · " + series.name, point[2], "i"));
    }
    const place = figure.getBoundingClientRect();
    const left = event.clientX - place.left, over = left > place.width / 2;
    box.style.left = (over ? left - box.offsetWidth - 14 : left + 14) + "px";
    box.style.top = event.clientY - place.top + 14 + "px";
  });
  svg.addEventListener("pointerleave", () => {
    line.setAttribute("visibility", "hidden");
    box.style.display = "none";
  });
}
