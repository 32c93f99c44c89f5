/** The question that was worked on last, so that other pages can add to it. */

const LAST = "dicomlake.question";

type Last = { text: string; level: string };

/** Keep what the question says, as text. */
export function remember(text: string, level: string): void {
  sessionStorage.setItem(LAST, JSON.stringify({ text, level }));
}

/** The text of that question; nothing where none is kept. */
export function asked(): string {
  return last().text;
}

function last(): Last {
  try {
    const found = JSON.parse(sessionStorage.getItem(LAST) ?? "null") as Partial<Last> | null;
    return { text: found?.text ?? "", level: found?.level ?? "study" };
  } catch {
    return { text: "", level: "study" };
  }
}

/** The address of that question with one more condition. */
export function withCondition(condition: string): string {
  const { text, level } = last();
  return `/ask?${new URLSearchParams({ q: joined(text, condition), level })}`;
}

/** Two conditions that both hold. */
export function joined(text: string, condition: string): string {
  if (!text.trim()) return condition;
  return `${/\bor\b/i.test(text) ? `(${text})` : text} and ${condition}`;
}
