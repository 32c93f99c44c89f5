/** Values out of a text that somebody pastes, or a file. */

export const MOST_LISTED = 100_000;

/** The values of a list: one per line or between separators; of a table, the column with one of the names.

A first line that names the column is no value, and without it the first column counts. */
export function listed(text: string, names: string[]): string[] {
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/).filter((line) => line.trim() !== "");
  if (lines.length < 2) return unique(text.split(/[\t,;\s]*[\t,;\n\r][\t,;\s]*/));
  const mark = ["\t", ";", ","].find((one) => lines[0]!.includes(one) && lines[1]!.includes(one));
  const wanted = names.filter(Boolean).map(plain);
  if (!mark) {
    const headless = wanted.includes(plain(lines[0]!)) ? lines.slice(1) : lines;
    return unique(headless.flatMap((line) => line.split(/[\t,;]/)));
  }
  const head = cells(lines[0]!, mark).map(plain);
  const at = head.findIndex((cell) => wanted.includes(cell));
  if (at >= 0) return unique(lines.slice(1).map((line) => cells(line, mark)[at] ?? ""));
  // no column has the name: a table's first one, or lines of values
  const table = lines.every((line) => cells(line, mark).length === head.length);
  return unique(table ? lines.map((line) => cells(line, mark)[0] ?? "") : lines.flatMap((line) => cells(line, mark)));
}

const plain = (text: string) => text.replace(/[\s"_'’]/g, "").toLowerCase();

const unique = (values: string[]) => [
  ...new Set(values.map((one) => one.trim().replace(/^"(.*)"$/, "$1")).filter((one) => one !== "")),
];

/** The cells of a line of CSV. */
function cells(line: string, mark: string): string[] {
  const found: string[] = [];
  let cell = "";
  let quoted = false;
  for (let at = 0; at < line.length; at++) {
    const sign = line[at]!;
    if (sign === '"' && quoted && line[at + 1] === '"') cell += line[++at]!;
    else if (sign === '"') quoted = !quoted;
    else if (sign === mark && !quoted) {
      found.push(cell.trim());
      cell = "";
    } else cell += sign;
  }
  return [...found, cell.trim()];
}
