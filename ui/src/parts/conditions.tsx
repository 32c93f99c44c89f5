/** The conditions as a tree: rows and groups that can be moved, muted, negated and copied. */

import { ActionIcon, Button, Menu, NativeSelect, NumberInput, Tooltip } from "@mantine/core";
import { createContext, type DragEvent, type ReactNode, useContext, useState } from "react";
import type { StepOut, Totals } from "../api/schema.ts";
import { leafOf, type Level, type Op, opOf, pathOf, RELATIONS, type Scope, SCOPES, valuesOf } from "../query/condition.ts";
import * as trees from "../query/tree.ts";
import type { Group, Part, Related, Test } from "../query/tree.ts";
import { type Key, useTexts } from "../texts.tsx";
import { Icon } from "./icon.tsx";
import { DRAGGED_PART, DRAGGED_TERM, firstLeaf, opsOf, plainPath, useTerm } from "./terms.ts";
import { hasPicker, InRow, Picker } from "./values.tsx";
import type { TermOut } from "../api/schema.ts";

export type Editor = {
  tree: Group;
  set: (tree: Group) => void;
  open: string | null;
  setOpen: (id: string | null) => void;
  target: string;
  setTarget: (id: string) => void;
  steps: Map<string, StepOut>;
  whole: Totals | undefined;
  level: Level;
  counted: keyof Totals;
};

const Context = createContext<Editor | null>(null);
const useEditor = () => useContext(Context)!;

export function Conditions({ editor }: { editor: Editor }) {
  return (
    <Context.Provider value={editor}>
      <GroupBox group={editor.tree} root />
    </Context.Provider>
  );
}

const opKey = (op: Op): Key => `op.${op}` as Key;

function Row({ test }: { test: Test }) {
  const { t } = useTexts();
  const { tree, set, open, setOpen, level } = useEditor();
  const path = pathOf(test.leaf);
  const term = useTerm(path);
  const label = term?.label ?? plainPath(path);
  const op = opOf(test.leaf);
  const isOpen = open === test.id;
  const put = (leaf: Test["leaf"]) => set(trees.replace(tree, test.id, { ...test, leaf }));
  const expandable = hasPicker(test.leaf, term);
  return (
    <Shell part={test} label={label}>
      <div className="row">
        <button
          type="button"
          className="row-label"
          title={[path, term?.tag, term?.vr].filter(Boolean).join(" · ")}
          aria-expanded={expandable ? isOpen : undefined}
          onClick={() => setOpen(isOpen ? null : test.id)}
        >
          {label}
        </button>
        <NativeSelect
          size="xs"
          variant="unstyled"
          className="row-op"
          aria-label={t("row.op", { term: label })}
          value={op}
          onChange={(event) => {
            const next = event.currentTarget.value as Op;
            put(leafOf(path, next, valuesOf(test.leaf)));
            setOpen(test.id);
          }}
          data={opsOf(term?.kind, op).map((one) => ({
            value: one,
            label: t(opKey(one)),
          }))}
        />
        <div
          className="row-values"
          onFocus={() => expandable && !isOpen && setOpen(test.id)}
          onClick={() => expandable && !isOpen && setOpen(test.id)}
        >
          <InRow leaf={test.leaf} term={term} set={put} />
        </div>
      </div>
      {isOpen && expandable && (
        <div className="row-more">
          <Picker leaf={test.leaf} term={term} set={put} where={around(tree, test, level)} />
        </div>
      )}
    </Shell>
  );
}

const LONGEST = 6000;

/** The rest of the question, under which values are counted. */
function around(tree: Group, test: Test, level: Level): string {
  const rest = tree.join === "and" ? trees.conditionOf(trees.replace(tree, test.id, null)) : null;
  if (!rest || level === "patient") return "";
  // among the series of the studies that meet it, as far as the answer is about studies
  const among = level === "study" ? { same: { level: "study", part: rest } } : rest;
  const said = JSON.stringify(among);
  return said.length > LONGEST ? "" : said; // it goes into an address
}

function GroupBox({ group, root, title }: { group: Group; root?: boolean; title?: string }) {
  const { t } = useTexts();
  const editor = useEditor();
  const { tree, set, target, setTarget } = editor;
  const [over, setOver] = useState(false);
  const put = (next: Partial<Group>) => set(trees.replace(tree, group.id, { ...group, ...next }));
  const drop = (event: DragEvent) => {
    event.preventDefault();
    event.stopPropagation();
    setOver(false);
    dropped(event, editor, group.id, group.parts.length);
  };
  const aimed = target === group.id && !root;
  return (
    <div
      className={`group${root ? " group-root" : ""}${over ? " group-over" : ""}${aimed ? " group-aimed" : ""}`}
      onDragOver={(event) => {
        if (!carries(event)) return;
        event.preventDefault();
        event.stopPropagation();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      {(!root || group.parts.length > 1) && (
        <div className="group-head">
          {title && <span className="group-title">{title}</span>}
          <div className="joins" role="group" aria-label={t("group.join")}>
            {(["and", "or"] as const).map((join) => (
              <button
                type="button"
                key={join}
                aria-pressed={group.join === join}
                onClick={() => put({ join })}
              >
                {t(`join.${join}`)}
              </button>
            ))}
          </div>
          {!root && (
            <NativeSelect
              size="xs"
              variant="unstyled"
              className="row-op"
              aria-label={t("group.scope")}
              value={group.scope ?? ""}
              onChange={(event) => put({ scope: (event.currentTarget.value || null) as Scope | null })}
              data={[
                { value: "", label: t("scope.none") },
                ...SCOPES.map((scope) => ({ value: scope, label: t(`scope.${scope}`) })),
              ]}
            />
          )}
          {!root && (
            <button
              type="button"
              className="aim"
              aria-pressed={aimed}
              onClick={() => setTarget(aimed ? tree.id : group.id)}
            >
              {t(aimed ? "group.aimed" : "group.aim")}
            </button>
          )}
        </div>
      )}
      <div className="group-parts">
        {group.parts.map((part, n) => (
          <PartBox key={part.id} part={part} at={n} group={group} />
        ))}
        {group.parts.length === 0 && !root && <p className="group-empty">{t("group.empty")}</p>}
      </div>
    </div>
  );
}

function PartBox({ part, at, group }: { part: Part; at: number; group: Group }) {
  const { t } = useTexts();
  const editor = useEditor();
  const [over, setOver] = useState(false);
  const body: ReactNode =
    part.kind === "test" ? (
      <Row test={part} />
    ) : (
      <Shell part={part} label={t(part.kind === "group" ? "group" : "related")}>
        {part.kind === "group" ? <GroupBox group={part} /> : <RelatedBox part={part} />}
      </Shell>
    );
  return (
    <div
      className={`part${over ? " part-over" : ""}`}
      onDragOver={(event) => {
        if (part.kind !== "test" || !carries(event)) return;
        event.preventDefault();
        event.stopPropagation();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        if (part.kind !== "test") return;
        event.preventDefault();
        event.stopPropagation();
        setOver(false);
        dropped(event, editor, group.id, at);
      }}
    >
      {at > 0 && <span className="joined">{t(`joined.${group.join}`)}</span>}
      {body}
    </div>
  );
}

function RelatedBox({ part }: { part: Related }) {
  const { t } = useTexts();
  const { tree, set } = useEditor();
  const put = (next: Partial<Related>) => set(trees.replace(tree, part.id, { ...part, ...next }));
  const days = (value: number | string) => (typeof value === "number" ? value : null);
  return (
    <div className="related">
      <GroupBox group={part.parts[0]} title={t("related.first")} />
      <div className="related-how">
        <Icon name="time" />
        <NativeSelect
          aria-label={t("related.how")}
          value={part.relation}
          onChange={(event) => put({ relation: event.currentTarget.value as Related["relation"] })}
          data={RELATIONS.map((one) => ({ value: one, label: t(`relation.${one}`) }))}
        />
        <NumberInput
          w={70}
          hideControls
          min={0}
          aria-label={t("related.low")}
          placeholder="0"
          value={part.low ?? ""}
          onChange={(value) => put({ low: days(value) })}
        />
        <span>{t("related.to")}</span>
        <NumberInput
          w={70}
          hideControls
          min={0}
          aria-label={t("related.high")}
          placeholder="∞"
          value={part.high ?? ""}
          onChange={(value) => put({ high: days(value) })}
        />
        <span>{t("related.days")}</span>
      </div>
      <GroupBox group={part.parts[1]} title={t("related.second")} />
    </div>
  );
}

/** What is around every row and group: grip, count and what can be done with it. */
function Shell({ part, label, children }: { part: Part; label: string; children: ReactNode }) {
  const { t } = useTexts();
  const { tree, set, setOpen } = useEditor();
  const parent = trees.parentOf(tree, part.id);
  const at = parent?.parts.findIndex((inner) => inner.id === part.id) ?? 0;
  const among = parent?.kind === "group" ? parent : undefined;
  const [held, setHeld] = useState(false);
  const toggle = (next: Partial<Part>) =>
    set(trees.replace(tree, part.id, { ...part, ...next } as Part));
  const duplicate = () => among && set(trees.insert(tree, among.id, trees.copy(part), at + 1));
  const wrap = () => set(trees.replace(tree, part.id, trees.group([part], "or")));
  const classes = ["shell", `shell-${part.kind}`];
  if (part.muted) classes.push("shell-muted");
  if (part.not) classes.push("shell-not");
  return (
    <div
      className={classes.join(" ")}
      draggable={held}
      onDragStart={(event) => {
        event.stopPropagation();
        event.dataTransfer.setData(DRAGGED_PART, part.id);
        event.dataTransfer.effectAllowed = "move";
      }}
      onDragEnd={() => setHeld(false)}
    >
      <span
        className="grip"
        title={t("row.drag")}
        onPointerDown={() => setHeld(true)}
        onPointerUp={() => setHeld(false)}
      >
        <Icon name="grip" />
      </span>
      {part.not && (
        <button
          type="button"
          className="not"
          title={t("row.not.remove")}
          onClick={() => toggle({ not: false })}
        >
          {t("row.not")}
        </button>
      )}
      <div className="shell-body">{children}</div>
      <Kept part={part} />
      <span className="shell-ways">
        <Tooltip label={t(part.muted ? "row.unmute" : "row.mute")}>
          <ActionIcon
            variant="subtle"
            color="gray"
            size="sm"
            aria-pressed={part.muted}
            aria-label={`${t(part.muted ? "row.unmute" : "row.mute")}: ${label}`}
            onClick={() => toggle({ muted: !part.muted })}
          >
            <Icon name={part.muted ? "mute" : "eye"} size={15} />
          </ActionIcon>
        </Tooltip>
        <Menu position="bottom-end" width={190}>
          <Menu.Target>
            <ActionIcon variant="subtle" color="gray" size="sm" aria-label={`${t("row.more")}: ${label}`}>
              <Icon name="more" size={15} />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item onClick={() => toggle({ not: !part.not })}>
              {t(part.not ? "row.not.remove" : "row.negate")}
            </Menu.Item>
            {among && <Menu.Item onClick={duplicate}>{t("row.duplicate")}</Menu.Item>}
            {among && <Menu.Item onClick={wrap}>{t("row.wrap")}</Menu.Item>}
            {among && at > 0 && (
              <Menu.Item onClick={() => set(trees.move(tree, part.id, among.id, at - 1))}>
                {t("row.up")}
              </Menu.Item>
            )}
            {among && at < among.parts.length - 1 && (
              <Menu.Item onClick={() => set(trees.move(tree, part.id, among.id, at + 2))}>
                {t("row.down")}
              </Menu.Item>
            )}
          </Menu.Dropdown>
        </Menu>
        <Tooltip label={t("row.remove")}>
          <ActionIcon
            variant="subtle"
            color="gray"
            size="sm"
            aria-label={`${t("row.remove")}: ${label}`}
            onClick={() => {
              setOpen(null);
              set(trees.replace(tree, part.id, null));
            }}
          >
            <Icon name="close" size={15} />
          </ActionIcon>
        </Tooltip>
      </span>
    </div>
  );
}

/** How many are left after a row, and how many it finds alone. */
function Kept({ part }: { part: Part }) {
  const { t, n } = useTexts();
  const { steps, whole, counted } = useEditor();
  const step = steps.get(part.id);
  if (part.muted) return <span className="kept kept-none">{t("row.muted")}</span>;
  if (!step || !whole) return <span className="kept kept-none" />;
  const all = Math.max(1, whole[counted]);
  const title = t("row.kept", {
    kept: n(step.kept[counted]),
    alone: n(step.alone[counted]),
    what: t(`level.${counted}`),
  });
  return (
    <span className="kept" title={title} aria-label={title} role="img">
      <b>{n(step.kept[counted])}</b>
      <span className="kept-track">
        <span className="kept-alone" style={{ width: `${(step.alone[counted] / all) * 100}%` }} />
        <span className="kept-bar" style={{ width: `${(step.kept[counted] / all) * 100}%` }} />
      </span>
    </span>
  );
}

const carries = (event: DragEvent) =>
  event.dataTransfer.types.includes(DRAGGED_TERM) || event.dataTransfer.types.includes(DRAGGED_PART);

function dropped(
  event: DragEvent,
  { tree, set, setOpen }: Editor,
  into: string,
  at: number,
): void {
  const id = event.dataTransfer.getData(DRAGGED_PART);
  if (id) return set(trees.move(tree, id, into, at));
  const said = event.dataTransfer.getData(DRAGGED_TERM);
  if (!said) return;
  const term = JSON.parse(said) as TermOut;
  const made = trees.test(firstLeaf(term));
  set(trees.insert(tree, into, made, at));
  setOpen(made.id);
}

/** Buttons that add what is no attribute. */
export function AddGroups({ editor }: { editor: Editor }) {
  const { t } = useTexts();
  const { tree, set, target, setTarget } = editor;
  const into = trees.find(tree, target)?.kind === "group" ? target : tree.id;
  const add = (part: Part, aim: string) => {
    set(trees.insert(tree, into, part));
    setTarget(aim);
  };
  return (
    <>
      <Button
        variant="subtle"
        size="compact-xs"
        leftSection={<Icon name="group" size={14} />}
        onClick={() => {
          const made = trees.group([], "or");
          add(made, made.id);
        }}
      >
        {t("add.group")}
      </Button>
      <Button
        variant="subtle"
        size="compact-xs"
        leftSection={<Icon name="time" size={14} />}
        onClick={() => {
          const made = trees.related(trees.group(), trees.group());
          add(made, made.parts[0].id);
        }}
      >
        {t("add.related")}
      </Button>
    </>
  );
}
