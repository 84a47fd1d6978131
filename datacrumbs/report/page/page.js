"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const byId = (name) => document.getElementById(name);
  document.documentElement.classList.add("live");

  const duration = (us) => {
    if (us === 0) return "<1 us";
    if (us < 999.5) return `${Number(us.toPrecision(3))} us`;
    if (us < 999500) return `${Number((us / 1000).toPrecision(3))} ms`;
    return `${(us / 1e6).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })} s`;
  };
  const size = (number) => {
    let value = number, unit = 0;
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    for (; value >= 1024 && unit < 4; unit++) value /= 1024;
    return unit ? `${value.toFixed(1)} ${units[unit]}` : `${number} B`;
  };

  // Tables: a heading sorts, a field searches, a button saves.
  const number = (cell) => {
    const text = cell.dataset.v ?? cell.textContent.replace(/[,~%<\s]/g, "");
    return text === "" ? -Infinity : Number.parseFloat(text);
  };
  const order = (table, column, isText, down) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [isText ? row.cells[column].textContent : number(row.cells[column]), row]);
    const compare = isText ? (a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0) : (a, b) => a[0] - b[0];
    rows.sort((a, b) => (down ? compare(b, a) : compare(a, b)));
    body.append(...rows.map((row) => row[1]));
  };
  for (const table of document.querySelectorAll("table")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      const isText = heading.classList.contains("text");
      button.addEventListener("click", () => {
        const before = heading.getAttribute("aria-sort");
        const down = before ? before === "ascending" : !isText;
        headings.forEach((each) => each.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
        order(table, column, isText, down);
      });
    });
  }
  for (const field of document.querySelectorAll("input[type=search]")) {
    field.addEventListener("input", () => {
      const wanted = field.value.toLowerCase();
      for (const row of byId(`${field.dataset.of}-table`).tBodies[0].rows) {
        row.hidden = !row.textContent.toLowerCase().includes(wanted);
      }
    });
  }
  // A cell that a spreadsheet would take for a formula begins with an apostrophe.
  const csvCell = (cell) => {
    const value = cell.dataset.v ?? cell.textContent.trim();
    const plain = cell.classList.contains("text") && /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  };
  for (const button of document.querySelectorAll("button.csv")) {
    button.addEventListener("click", () => {
      const rows = [...byId(`${button.dataset.of}-table`).rows].filter((row) => !row.hidden);
      const text = rows.map((row) => [...row.cells].map(csvCell).join(",")).join("\n");
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text + "\n"], { type: "text/csv" }));
      link.download = `${button.dataset.of}.csv`;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  const unpacked = async () => {
    const bytes = Uint8Array.from(atob(byId("data").textContent.trim()), (each) => each.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };

  const showHeat = (heat) => {
    const plot = byId("heat"), readout = byId("heat-readout");
    if (!heat || !plot) return;
    const picture = plot.querySelector("svg");
    const rows = heat.time.length, columns = heat.time[0].length;
    picture.addEventListener("pointermove", (event) => {
      const box = picture.getBoundingClientRect();
      const row = Math.min(Math.floor(((event.clientY - box.top) / box.height) * rows), rows - 1);
      const column = Math.min(Math.floor(((event.clientX - box.left) / box.width) * columns), columns - 1);
      if (row < 0 || column < 0) return;
      const time = heat.time[row][column], moved = heat.bytes[row][column];
      const from = ((column * heat.width) / 1e6).toFixed(3);
      readout.textContent = `${heat.names[row]}, from ${from} s: ${time ? duration(time) : "no time"} in calls, ${size(moved)}`;
    });
    picture.addEventListener("pointerleave", () => (readout.textContent = ""));
  };

  // Timeline: what is drawn again at each step is at most a window's slices.
  const ROW = 17, TOP = 20, GAP = 22, LABEL = 14;
  const showWindows = ({ functions, paths, all }) => {
    const canvas = byId("canvas"), readout = byId("slice-readout"), choice = byId("window");
    if (!canvas || !all.length) return;
    document.querySelector(".controls").hidden = false;
    all.forEach((each, at) => choice.append(new Option(`${at + 1}: from ${(each.begin / 1e6).toFixed(3)} s`, at)));
    let current = all[0], from = 0, to = current.width;
    const make = (tag, attributes, text) => {
      const element = document.createElementNS(SVG, tag);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      if (text !== undefined) element.textContent = text;
      return element;
    };
    const axis = (picture, width, height) => {
      const steps = width < 600 ? 3 : 6;
      for (let step = 0; step <= steps; step++) {
        const x = (width * step) / steps, anchor = step === 0 ? "start" : step === steps ? "end" : "middle";
        picture.append(make("line", { x1: x, x2: x, y1: TOP - 4, y2: height }));
        const at = from + ((to - from) * step) / steps;
        picture.append(make("text", { class: "axis", x, y: 11, "text-anchor": anchor }, `+${duration(at).replace("<1 us", "0")}`));
      }
    };
    const draw = () => {
      const width = canvas.clientWidth || 1000, scale = width / (to - from);
      const depths = current.lanes.map(() => 0);
      for (const [lane, depth] of current.slices) depths[lane] = Math.max(depths[lane], depth + 1);
      const tops = [];
      let y = TOP;
      for (const depth of depths) { tops.push(y + LABEL); y += depth * ROW + GAP; }
      const picture = make("svg", { class: "slices", width, height: y, viewBox: `0 0 ${width} ${y}`, role: "img", "aria-label": "Calls of the window, a row per thread and depth" });
      axis(picture, width, y);
      current.lanes.forEach((lane, at) => picture.append(make("text", { class: "axis", x: 2, y: tops[at] - 3 }, lane)));
      current.slices.forEach(([lane, depth, name, , begin, took, , failed], at) => {
        const left = Math.max((begin - from) * scale, -2), right = Math.min((begin + took - from) * scale, width + 2);
        if (right < 0 || left > width) return;
        const wide = Math.max(right - left, 1), top = tops[lane] + depth * ROW;
        const [, style, text] = functions[name];
        picture.append(make("rect", { class: style + (failed ? " failed" : ""), x: left, y: top, width: Math.max(wide - 0.5, 0.7), height: ROW - 2, rx: wide > 6 ? 2 : 0, "data-at": at }));
        if (wide > text.length * 6.6 + 8) picture.append(make("text", { class: "on", x: Math.max(left, 0) + 4, y: top + 11.5 }, text));
      });
      if (!picture.querySelector("rect")) picture.append(make("text", { class: "axis", x: width / 2, y: y / 2, "text-anchor": "middle" }, "no calls here"));
      canvas.replaceChildren(picture);
    };
    const limit = (begin, end) => {
      const length = Math.min(Math.max(end - begin, 2), current.width);
      from = Math.min(Math.max(begin, 0), current.width - length);
      to = from + length;
      draw();
    };
    const zoom = (factor, middle) => limit(middle - (middle - from) * factor, middle + (to - middle) * factor);
    const act = { in: () => zoom(0.5, (from + to) / 2), out: () => zoom(2, (from + to) / 2), all: () => limit(0, current.width) };
    act.left = () => limit(from - (to - from) / 4, to - (to - from) / 4);
    act.right = () => limit(from + (to - from) / 4, to + (to - from) / 4);
    for (const button of document.querySelectorAll("[data-zoom]")) button.addEventListener("click", act[button.dataset.zoom]);
    choice.addEventListener("change", () => { current = all[choice.value]; limit(0, current.width); about(); });
    const about = () => {
      const less = current.slices.length < current.calls ? `the longest ${current.slices.length.toLocaleString("en-US")} of ${current.calls.toLocaleString("en-US")} calls` : `${current.calls.toLocaleString("en-US")} calls`;
      readout.textContent = `${less}, during ${duration(current.width)}; a row per thread and depth of nesting. Ctrl and the wheel zoom, dragging moves.`;
    };
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = canvas.getBoundingClientRect();
      zoom(event.deltaY > 0 ? 1.25 : 0.8, from + ((event.clientX - box.left) / box.width) * (to - from));
    }, { passive: false });
    let held = null;
    canvas.addEventListener("pointerdown", (event) => { held = event.clientX; });
    addEventListener("pointerup", () => { held = null; });
    canvas.addEventListener("pointermove", (event) => {
      if (held !== null && event.buttons) {
        const moved = ((held - event.clientX) / canvas.clientWidth) * (to - from);
        held = event.clientX;
        limit(from + moved, to + moved);
        return;
      }
      const at = event.target.dataset?.at;
      if (at === undefined) return;
      const [lane, , name, path, begin, took, moved, failed] = current.slices[at];
      const parts = [`${functions[name][2]} (${functions[name][0]})`, duration(took), `at +${duration(Math.max(begin, 0))}`];
      if (moved >= 0) parts.push(size(moved));
      if (failed) parts.push("failed");
      if (paths[path]) parts.push(paths[path]);
      readout.textContent = `${parts.join(", ")} · ${current.lanes[lane]}`;
    });
    addEventListener("resize", draw);
    draw();
    about();
  };

  unpacked().then((data) => {
    showHeat(data.heat);
    showWindows(data.windows);
    document.documentElement.dataset.ready = "yes";
  });
})();
