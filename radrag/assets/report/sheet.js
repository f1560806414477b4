"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("sheet");
  const state = document.getElementById("state");
  const risky = /^[\t\r]|^[\s\x00-\x1f\u200b-\u200f\u2060\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]/;
  let dirty = false;
  const cell = (value) => {
    const text = risky.test(value) ? "'" + value : value;
    return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };
  const filled = () => new Map([...new FormData(form)].map(([name, value]) => [name, String(value)]));
  const show = () => {
    const rated = [...filled().keys()].filter((name) => !name.endsWith("|comment")).length;
    const all = data.rows.length * data.columns.filter((name) => /^[AB]: /.test(name)).length;
    state.textContent = rated + " of " + all + " ratings made" + (dirty ? ", not saved yet" : "");
  };
  form.addEventListener("input", () => { dirty = true; show(); });
  document.getElementById("save").addEventListener("click", () => {
    const values = filled();
    const lines = [data.columns.map(cell).join(",")];
    for (const row of data.rows) {
      lines.push(data.columns.map((name) => cell(row[name] ?? values.get(row.item + "|" + name) ?? "")).join(","));
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff" + lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
    link.download = "sheet-filled.csv";
    link.click();
    dirty = false;
    show();
  });
  window.addEventListener("beforeunload", (event) => { if (dirty) event.preventDefault(); });
  show();
})();
