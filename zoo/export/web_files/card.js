// The model's card beside the page: what it is, where it comes from, whom to thank, how good it is.

/** Element of a tag, with text or children. */
function make(tag, ...content) {
  const element = document.createElement(tag);
  element.append(...content.filter((each) => each !== null && each !== undefined));
  return element;
}

function rows(pairs) {
  const list = make("dl");
  for (const [name, value] of pairs) if (value) list.append(make("div", make("dt", name), make("dd", value)));
  return list;
}

/** Fill `element` with the card of one of instruments.json's entries. */
export function show(element, card) {
  const parts = [make("h2", card.name), make("p", card.text)];
  parts.push(
    rows([
      ["At home", card.range],
      ["Distilled from", card.teachers?.join(", from ")],
      ["Size", card.size],
      ["Licence", card.licence],
      ["Data", card.dataset],
    ]),
  );
  if (card.note) parts.splice(2, 0, make("p", card.note));
  if (card.authors?.length) {
    const names = make("ul", ...card.authors.map((author) => make("li", author)));
    parts.push(make("h3", "Made from recordings by"), names);
  }
  if (card.measures?.length > 1) {
    const [head, ...body] = card.measures;
    const line = (cells, tag) => make("tr", ...cells.map((cell, i) => make(i ? tag : "th", cell)));
    const table = make("table", make("thead", line(head, "th")), make("tbody", ...body.map((cells) => line(cells, "td"))));
    const details = make("details", make("summary", "Measured"), make("div", table), make("p", "Mean ± standard deviation over held-out recordings; lower is better."));
    details.className = "measures";
    details.querySelector("div").className = "scroll";
    details.querySelector("div").tabIndex = 0;
    parts.push(details);
  }
  element.replaceChildren(...parts);
}
