"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const text = data.text, depth = document.getElementById("depth"), now = document.getElementById("depth-now");
  const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6f4e9c", "#7a7a00"];
  const grey = "#8c959f";
  const sections = [...document.querySelectorAll("section.word")];
  const chosen = data.words.map(() => 0);
  let word = 0;
  document.body.classList.add("js");

  const most = Math.max(1, ...data.words.flatMap((w) => w.sources.map((s) => s.layers.length - 1)));
  depth.max = most;
  depth.value = most;

  function layerOf(source) {
    return Math.round(Number(depth.value) * Math.max(0, source.layers.length - 1) / most);
  }
  function idOf(source, place) { return source.ids ? source.ids[place] : place; }
  function groupOf(w, source, layer, place) {
    return w.senses.length ? w.s[idOf(source, place)] : Number(source.layers[layer].cl[place]);
  }
  function groupName(w, group) {
    if (!w.senses.length) return text.cluster + " " + (group + 1);
    return group < 0 ? text.unlabelled : w.senses[group];
  }
  function shape(x, y, r, group) {
    const d = [
      `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0z`,
      `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
      `M${x},${y - 1.2 * r}l${1.2 * r},${2.1 * r}h${-2.4 * r}z`,
      `M${x},${y - 1.4 * r}l${1.4 * r},${1.4 * r}l${-1.4 * r},${1.4 * r}l${-1.4 * r},${-1.4 * r}z`,
      `M${x},${y + 1.2 * r}l${1.2 * r},${-2.1 * r}h${-2.4 * r}z`,
    ];
    return d[group < 0 ? 0 : group % d.length];
  }
  function colour(group) { return group < 0 ? grey : colours[group % colours.length]; }
  function useOf(index, id) { return sections[index].querySelectorAll(".uses > li")[id]; }
  function sentence(item) { return [...item.children].slice(0, 3).map((part) => part.textContent).join(""); }

  function read(index, id) {
    const place = sections[index].querySelector(".reading"), item = useOf(index, id);
    place.replaceChildren(...[...item.childNodes].map((part) => part.cloneNode(true)));
    place.dir = "auto";
  }

  function drawPlot(index, number, box) {
    const w = data.words[index], source = w.sources[number], svg = box.querySelector("svg");
    if (!svg) return;
    const layer = layerOf(source), part = source.layers[layer];
    const count = part.one ? 1 : part.xy.length / 2, r = count > 300 ? 9 : count > 60 ? 13 : 20;
    const marks = [];
    for (let i = 0; i < count; i++) {
      const group = part.one ? -1 : groupOf(w, source, layer, i);
      marks.push(`<path class="pt" role="img" d="${shape(part.xy[2 * i], data.side - part.xy[2 * i + 1], r, group)}" fill="${colour(group)}" data-i="${i}"/>`);
    }
    svg.innerHTML = `<path d="M0,${data.side / 2}H${data.side}M${data.side / 2},0V${data.side}" stroke="#d0d7de" fill="none" stroke-width="2"/>` + marks.join("");
    const points = [...svg.querySelectorAll(".pt")], items = sections[index].querySelectorAll(".uses > li");
    points.forEach((point, i) => {
      const id = idOf(source, i);
      point.setAttribute("tabindex", count <= 60 || i === 0 ? "0" : "-1");
      const label = part.one ? text.use + " 1–" + part.xy.length / 2 : text.use + " " + (id + 1) + ", " + groupName(w, groupOf(w, source, layer, i));
      point.setAttribute("aria-label", label + ": " + sentence(items[id]));
      point.classList.toggle("on", id === chosen[index]);
    });
    box.querySelector(".layer").textContent = source.layers.length > 1 ? `${text.layer} ${layer}` + (part.one || !part.v ? "" : ` (${part.v[0]}% + ${part.v[1]}%)`) : "";
    const note = box.querySelector(".one");
    if (note) note.textContent = part.one && count < part.xy.length / 2 ? text.layer_one : "";
  }

  function drawHeat(index, number, box) {
    const w = data.words[index], source = w.sources[number], svg = box.querySelector("svg");
    const layer = layerOf(source), part = source.layers[layer];
    box.querySelector(".layer").textContent = source.layers.length > 1 ? `${text.layer} ${layer}` : "";
    if (!svg) return;
    const n = source.heat.length, side = 600 / n, cells = [], top = data.shades.length - 1;
    let at = 0;
    for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) {
      const share = i === j || part.one ? 1 : data.shades.indexOf(part.m[at++]) / top, light = Math.round(96 - 72 * share);
      const fill = `hsl(215 70% ${light}%)`, size = side.toFixed(2);
      cells.push(`<rect x="${(j * side).toFixed(2)}" y="${(i * side).toFixed(2)}" width="${size}" height="${size}" fill="${fill}"/>`);
      if (i !== j) cells.push(`<rect x="${(i * side).toFixed(2)}" y="${(j * side).toFixed(2)}" width="${size}" height="${size}" fill="${fill}"/>`);
    }
    for (let i = 1; i < n; i++) if (w.s[source.heat[i]] !== w.s[source.heat[i - 1]]) {
      cells.push(`<path d="M0,${i * side}H600M${i * side},0V600" stroke="#d55e00" stroke-width="3"/>`);
    }
    svg.innerHTML = cells.join("");
    box.querySelector(".range").textContent = `${text.range} ${part.lo.toFixed(2)} – ${text.range_to} ${part.hi.toFixed(2)}`;
  }

  function drawList(index, number, box) {
    const source = data.words[index].sources[number], lines = box.querySelector(".lines");
    const layer = layerOf(source), part = source.layers[layer], items = sections[index].querySelectorAll(".uses > li");
    box.querySelector(".layer").textContent = source.layers.length > 1 ? `${text.layer} ${layer}` : "";
    const place = source.ids ? source.ids.indexOf(chosen[index]) : chosen[index];
    const count = part ? part.xy.length / 2 : 0, width = count ? part.near.length / count : 0;
    if (!part || part.one || !width || place < 0) {
      lines.textContent = !part || place < 0 ? "–" : width ? text.alike : text.only_one;
      return;
    }
    lines.replaceChildren();
    for (let k = place * width; k < (place + 1) * width; k += 2) {
      const line = document.createElement("div"), item = items[idOf(source, part.near[k])];
      line.className = "line"; line.setAttribute("role", "listitem");
      const words = document.createElement("div");
      words.className = "context"; words.dir = "auto"; line.append(words);
      for (const child of [...item.children].slice(0, 3)) words.append(wrap(child.cloneNode(true)));
      const cosine = wrap(document.createTextNode((part.near[k + 1] / 1000).toFixed(3)));
      cosine.className = "num"; line.append(cosine); lines.append(line);
    }
  }
  function wrap(node) { const box = document.createElement("div"); box.append(node); return box; }

  function drawLegend(index) {
    const w = data.words[index], list = sections[index].querySelector(".legend");
    let groups = w.senses.map((_, i) => i);
    if (w.senses.length && w.s.includes(-1)) groups.push(-1);
    if (!w.senses.length) groups = [...new Set(w.sources.flatMap((s) => s.layers.length ? [...s.layers[layerOf(s)].cl].map(Number) : []))].sort();
    list.replaceChildren(...groups.map((group) => {
      const item = document.createElement("li");
      item.innerHTML = `<svg viewBox="-14 -14 28 28"><path d="${shape(0, 0, 9, group)}" fill="${colour(group)}"/></svg>`;
      const name = document.createElement("bdi");
      name.textContent = groupName(w, group); item.append(name);
      return item;
    }));
  }

  function draw() {
    const section = sections[word], w = data.words[word];
    sections.forEach((other, i) => other.classList.toggle("on", i === word));
    const focused = document.activeElement && document.activeElement.closest ? document.activeElement.closest(".word.on .plot") : null;
    const focusAt = focused ? document.activeElement.dataset.i : null;
    document.querySelectorAll(".choose").forEach((b, i) => b.setAttribute("aria-pressed", String(i === word)));
    section.querySelectorAll(".plot").forEach((box) => drawPlot(word, Number(box.dataset.source), box));
    section.querySelectorAll(".list").forEach((box) => drawList(word, Number(box.dataset.source), box));
    section.querySelectorAll(".heat").forEach((box) => drawHeat(word, Number(box.dataset.source), box));
    section.querySelectorAll("tr[data-layer]").forEach((row) => {
      row.classList.toggle("on", layerOf(w.sources[row.dataset.source]) === Number(row.dataset.layer));
    });
    drawLegend(word); read(word, chosen[word]);
    const deep = w.sources.filter((s) => s.layers.length > 1);
    now.textContent = deep.map((s) => `${s.name}: ${text.layer} ${layerOf(s)} ${text.of} ${s.layers.length - 1}`).join("; ");
    depth.disabled = !deep.length;
    if (focusAt !== null) { const again = focused.querySelector(`[data-i="${focusAt}"]`); if (again) again.focus(); }
  }

  function pointOf(event) { return event.target.closest ? event.target.closest(".pt") : null; }
  function wordOf(point) { return Number(point.closest("section.word").dataset.word); }
  function idOfPoint(point) {
    const source = data.words[wordOf(point)].sources[point.closest(".plot").dataset.source];
    return idOf(source, Number(point.dataset.i));
  }
  for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, (event) => {
    const point = pointOf(event);
    if (point) read(wordOf(point), idOfPoint(point));
  });
  document.addEventListener("click", (event) => {
    const point = pointOf(event);
    if (point) { chosen[wordOf(point)] = idOfPoint(point); draw(); }
  });
  document.addEventListener("keydown", (event) => {
    const point = pointOf(event);
    if (!point) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) {
      const all = [...point.parentNode.querySelectorAll(".pt")];
      const next = all[(all.indexOf(point) + step + all.length) % all.length];
      if (all.length > 60) { point.setAttribute("tabindex", "-1"); next.setAttribute("tabindex", "0"); }
      next.focus(); event.preventDefault();
    } else if (event.key === "Enter" || event.key === " ") {
      chosen[wordOf(point)] = idOfPoint(point); draw(); event.preventDefault();
    }
  });
  depth.addEventListener("input", draw);
  document.querySelectorAll(".choose").forEach((button) => button.addEventListener("click", () => { word = Number(button.dataset.word); draw(); }));
  draw();
})();
