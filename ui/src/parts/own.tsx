import type { Linked } from "../query/linked.ts";

export default function Own({ linked, rest }: { linked: Linked; rest: string[] }) {
  return <p>{linked.level + rest.length}</p>;
}
