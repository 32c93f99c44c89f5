/** The conditions of a question as chips, each of which can be taken away. */

import { useAnswer } from "../api/client.ts";
import { type Condition, type Leaf, opOf, pathOf, shown, valuesOf } from "../query/condition.ts";
import { partsOf, remove } from "../query/filters.ts";
import { type Key, useTexts } from "../texts.tsx";
import { Icon } from "./icon.tsx";
import { plainPath, useTerm } from "./terms.ts";

const FEW = 4;

export function Chips({ where, set }: { where: Condition | null; set: (where: Condition | null) => void }) {
  const { t } = useTexts();
  const parts = partsOf(where);
  return (
    <ul className="filter-chips" aria-label={t("chips")}>
      {parts.map((part, at) => (
        <Chip key={JSON.stringify(part)} part={part} away={() => set(remove(where, at))} />
      ))}
      {parts.length > 1 && (
        <li>
          <button type="button" className="filter-clear" onClick={() => set(null)}>
            {t("chart.clear")}
          </button>
        </li>
      )}
    </ul>
  );
}

const isLeaf = (part: Condition): part is Leaf => !["and", "or", "not", "same", "related"].some((key) => key in part);

function Chip({ part, away }: { part: Condition; away: () => void }) {
  const not = "not" in part;
  const inner = not ? part.not : part;
  return isLeaf(inner) ? <Plain leaf={inner} not={not} away={away} /> : <Written part={part} away={away} />;
}

function Plain({ leaf, not, away }: { leaf: Leaf; not: boolean; away: () => void }) {
  const { t } = useTexts();
  const path = pathOf(leaf);
  const term = useTerm(path);
  const label = term?.label ?? plainPath(path);
  const values = valuesOf(leaf).map((value) => shown(value).replace(/^(\d\d:\d\d):(00|59\.9+)$/, "$1"));
  const more = values.length > FEW ? ` +${values.length - FEW}` : "";
  const joint = "between" in leaf ? " – " : ", ";
  const said = t(`op.${not && "missing" in leaf ? "exists" : opOf(leaf)}` as Key);
  const op = not && !("missing" in leaf) ? t("chips.not", { op: said }) : said;
  return <Shape label={label} op={op} values={values.slice(0, FEW).join(joint) + more} title={values.join(joint)} not={not} away={away} />;
}

/** A condition of several parts, as the service writes it. */
function Written({ part, away }: { part: Condition; away: () => void }) {
  const found = useAnswer("POST /api/query/parse", { body: { json: { where: part, level: "series" } } });
  const text = (found.data?.text ?? "…").replace(/\s+level \w+$/, "");
  return <Shape label={text} op="" values="" title={text} not={false} away={away} />;
}

function Shape({ label, op, values, title, not, away }: { label: string; op: string; values: string; title: string; not: boolean; away: () => void }) {
  const { t } = useTexts();
  const whole = [label, op, values].filter(Boolean).join(" ");
  return (
    <li className={not ? "filter-chip filter-chip-not" : "filter-chip"} title={title}>
      <span>
        <b>{label}</b> {op && <i>{op}</i>} {values}
      </span>
      <button type="button" aria-label={t("chips.remove", { text: whole })} onClick={away}>
        <Icon name="close" size={12} />
      </button>
    </li>
  );
}
