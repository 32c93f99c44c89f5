/** Explore and ask: the vocabulary, the conditions, and what they find. */

import { ActionIcon, Button, CopyButton, Menu, Modal, Switch, Tabs, TextInput, Tooltip } from "@mantine/core";
import { useDebouncedValue, useHotkeys } from "@mantine/hooks";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { call, Refused, useAnswer } from "../api/client.ts";
import type { StepOut, TermOut, Totals } from "../api/schema.ts";
import { useMay } from "../parts/access.tsx";
import { AddGroups, Conditions, type Editor } from "../parts/conditions.tsx";
import { Written } from "../parts/forms.tsx";
import { Icon } from "../parts/icon.tsx";
import { ColumnChoice, Export, Results, ViewChoice, VIEWS } from "../parts/results.tsx";
import { Trouble } from "../parts/states.tsx";
import { firstLeaf } from "../parts/terms.ts";
import { Vocabulary } from "../parts/vocabulary.tsx";
import { type Condition, type Level, LEVELS, pathOf, type Query } from "../query/condition.ts";
import { fromText, type Question, questionOf, useQuestion } from "../query/question.ts";
import * as trees from "../query/tree.ts";
import { go, Link } from "../route.tsx";
import { type Key, useTexts } from "../texts.tsx";

const PLURAL: Record<Level, keyof Totals> = {
  patient: "patients",
  study: "studies",
  series: "series",
  instance: "instances",
};

const EXAMPLES: [Key, string, Level][] = [
  [
    "example.white",
    "Modality = 'MR' and MagneticFieldStrength >= 3 and PatientSex = 'F' and PatientAge > 60Y and *.[DCM:121071 |Finding|] within DCM:110702 |White Matter T2 Hyperintensity|",
    "study",
  ],
  ["example.mr", "Modality = 'MR' and MagneticFieldStrength >= 3", "study"],
  ["example.time", "related(Modality = 'CT', Modality = 'MR', before 365 days)", "patient"],
  [
    "example.history",
    "related(same(series, Modality = 'MR' and MagneticFieldStrength >= 2.5 and anatomy within SCT:12921003 |Pelvis|), same(fact, fact.code within SCT:90470006 |Prostatectomy| and fact.started between 2014 and 2019), before 365 days)",
    "patient",
  ],
  [
    "example.liver",
    "same(item, *.[SCT:363698007 |Finding site|] within SCT:10200004 and *.[SCT:103339001 |Long axis|] > 3 cm)",
    "patient",
  ],
  [
    "example.part",
    "BodyPartExamined missing and Modality in ('CT', 'MR') and StudyDescription contains 'liver'",
    "series",
  ],
];

export function AskPage() {
  const { t } = useTexts();
  const work = useQuestion();
  const { question, where, change, unread } = work;
  const { tree, level } = question;
  const [open, setOpen] = useState<string | null>(null);
  const [aim, setAim] = useState("");
  const [form, setForm] = useState<string | null>("visual");
  const [said] = useDebouncedValue(JSON.stringify(where), 300);
  const asked = useMemo(() => JSON.parse(said) as Condition | null, [said]);
  // at first nothing is asked before the question has been read, rather than everything
  const may = useMay();
  const begun = useRef(false);
  const silent =
    work.reading || unread !== null || (!begun.current && said !== JSON.stringify(where));
  useEffect(() => {
    if (!silent) begun.current = true;
  }, [silent]);
  const target = trees.find(tree, aim)?.kind === "group" ? aim : tree.id;

  const set = (next: trees.Group) => change((now) => ({ ...now, tree: next }));
  const add = (term: Pick<TermOut, "path" | "kind">) => {
    const made = trees.test(firstLeaf(term));
    change((now) => ({ ...now, tree: trees.insert(now.tree, target, made) }));
    setOpen(made.id);
    setForm("visual");
  };
  const take = (query: Query) =>
    change((now) => ({
      ...questionOf(query, now.level),
      level: query.level ?? now.level,
      show: query.show?.length ? query.show : now.show,
      order: query.order?.length ? query.order : now.order,
      view: now.view,
    }));

  useEffect(() => {
    if (unread !== null) setForm("text");
  }, [unread]);

  useHotkeys([
    ["mod+Z", () => work.undo?.()],
    ["mod+shift+Z", () => work.redo?.()],
    ["mod+Y", () => work.redo?.()],
    ...LEVELS.map((one, at): [string, () => void] => [
      String(at + 1),
      () => change((now) => (now.level === one ? now : { ...now, level: one, order: [], show: [] })),
    ]),
    ["v", () => change((now) => ({ ...now, view: VIEWS[(VIEWS.indexOf(now.view) + 1) % VIEWS.length]! }))],
  ]);

  const body = { where: asked, level };
  const counts = useAnswer("POST /api/query/count", { body }, { keep: true, enabled: !silent });
  const found = useAnswer(
    "POST /api/query/steps",
    { body },
    { keep: true, enabled: asked !== null && !silent },
  );
  const steps = useMemo(() => {
    const byPart = new Map<string, StepOut>();
    if (!found.data || found.isPlaceholderData || JSON.stringify(where) !== said) return byPart;
    const byPlace = new Map(found.data.steps.map((step) => [step.place, step]));
    for (const [id, place] of trees.placesOf(tree)) {
      const step = byPlace.get(place);
      if (step) byPart.set(id, step);
    }
    return byPart;
  }, [found.data, found.isPlaceholderData, tree, where, said]);

  const editor: Editor = {
    tree,
    set,
    open,
    setOpen,
    target,
    setTarget: setAim,
    steps,
    whole: found.data?.whole,
    level,
    counted: PLURAL[level],
  };
  const paths = [...trees.walk(tree)].flatMap((part) => (part.kind === "test" ? [pathOf(part.leaf)] : []));
  const empty = trees.isEmpty(tree);
  // the first condition after which nothing is left
  const culprit = [...trees.walk(tree)].find(
    (part): part is trees.Test => part.kind === "test" && steps.get(part.id)?.kept[PLURAL[level]] === 0,
  );

  return (
    <div className="ask">
      <Vocabulary onAdd={add} />
      <div className="ask-work">
        <section className="question" aria-label={t("question")}>
          <div className="question-head">
            <Tabs value={form} onChange={setForm} variant="none" classNames={{ tab: "form-tab", list: "form-tabs" }}>
              <Tabs.List aria-label={t("forms")}>
                <Tabs.Tab value="visual">{t("form.visual")}</Tabs.Tab>
                <Tabs.Tab value="text">{t("form.text")}</Tabs.Tab>
                <Tabs.Tab value="json">JSON</Tabs.Tab>
              </Tabs.List>
            </Tabs>
            <div className="question-ways">
              <Way icon="undo" label={t("undo")} act={work.undo} />
              <Way icon="redo" label={t("redo")} act={work.redo} />
              <CopyLink />
              <Keep question={question} where={where} take={take} />
              <Button
                variant="subtle"
                color="gray"
                size="compact-sm"
                disabled={empty}
                onClick={() => {
                  setOpen(null);
                  set(trees.group());
                }}
              >
                {t("question.new")}
              </Button>
            </div>
          </div>
          {work.problem && <Trouble error={work.problem} />}
          {form === "visual" && (
            <div className="question-tree">
              <Conditions editor={editor} />
              {empty && !silent && <Start take={take} />}
              {!empty && (
                <div className="question-add">
                  <span className="hint">{t("question.add")}</span>
                  <AddGroups editor={editor} />
                </div>
              )}
            </div>
          )}
          {form === "text" && <Written form="text" now={unread ?? work.text ?? ""} onChange={take} />}
          {form === "json" && (
            <Written form="json" now={where ? JSON.stringify(where, null, 2) : ""} onChange={take} />
          )}
          {!empty && work.sentence && <p className="sentence">{work.sentence}</p>}
        </section>
        <div className="answer-head">
          <div className="totals" aria-live="polite" data-busy={counts.isFetching || said !== JSON.stringify(where)}>
            {LEVELS.map((one) => (
              <Total
                key={one}
                what={one}
                totals={counts.data?.totals}
                on={one === level}
                pick={() => change((now) => ({ ...now, level: one, order: [], show: [] }))}
              />
            ))}
          </div>
          <div className="answer-ways">
            {may("curate") && <Freeze where={where} level={level} />}
            <Link className="to-charts" href={`/charts?q=${encodeURIComponent(work.text ?? "")}&level=${level}&count=${PLURAL[level]}`}>
              {t("nav.charts")}
            </Link>
            {where && work.text && may("operate") && (
              <Link className="to-charts" href={`/enrichers?q=${encodeURIComponent(work.text ?? "")}`}>
                {t("ask.enrich")}
              </Link>
            )}
            <ViewChoice view={question.view} setView={(view) => change((now) => ({ ...now, view }))} />
            <ColumnChoice
              level={level}
              show={question.show}
              asked={paths}
              setShow={(show) => change((now) => ({ ...now, show }))}
            />
            <Export where={where} level={level} show={question.show} order={question.order} />
          </div>
        </div>
        {counts.error && <Trouble error={counts.error} again={() => void counts.refetch()} />}
        {!silent && !counts.error && (
          <Results
            where={asked}
            level={level}
            show={question.show}
            order={question.order}
            view={question.view}
            nothing={
              culprit && (
                <Culprit
                  step={steps.get(culprit.id)!}
                  counted={PLURAL[level]}
                  mute={() => set(trees.replace(tree, culprit.id, { ...culprit, muted: true }))}
                />
              )
            }
            asked={paths}
            setShow={(show) => change((now) => ({ ...now, show }))}
            setOrder={(order) => change((now) => ({ ...now, order }))}
          />
        )}
      </div>
    </div>
  );
}

/** Keep the answer as it is now, under a name. */
function Freeze({ where, level }: { where: Condition | null; level: Level }) {
  const { t } = useTexts();
  const [open, setOpen] = useState(false);
  const [busy, setBusy] = useState(false);
  const [name, setName] = useState("");
  const [comment, setComment] = useState("");
  const [problem, setProblem] = useState<Refused | null>(null);
  const freeze = async () => {
    setBusy(true);
    try {
      const body = { name: name.trim(), where, level: level === "instance" ? "series" : level, comment };
      const made = await call("POST /api/cohorts", { body });
      go(`/cohorts/${made.name}`);
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
    setBusy(false);
  };
  return (
    <>
      <button type="button" className="to-charts link-like" onClick={() => setOpen(true)}>
        {t("cohorts.freeze")}
      </button>
      <Modal opened={open} onClose={() => setOpen(false)} title={t("cohorts.freeze")} centered>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void freeze();
          }}
        >
          <TextInput
            label={t("cohorts.freeze.name")}
            description={t("cohorts.freeze.about")}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            data-autofocus
          />
          <TextInput
            mt="sm"
            label={t("saved.comment")}
            value={comment}
            onChange={(event) => setComment(event.currentTarget.value)}
          />
          {level === "instance" && <p className="note">{t("cohorts.freeze.instances")}</p>}
          {problem && <Trouble error={problem} />}
          <Button type="submit" mt="md" loading={busy} disabled={!name.trim()}>
            {t("cohorts.freeze")}
          </Button>
        </form>
      </Modal>
    </>
  );
}

/** Which condition leaves nothing, and a way out. */
function Culprit({ step, counted, mute }: { step: StepOut; counted: keyof Totals; mute: () => void }) {
  const { t, n } = useTexts();
  return (
    <div className="culprit">
      <p>
        <code>{step.text}</code>{" "}
        {step.alone[counted] === 0
          ? t("results.culprit.alone")
          : t("results.culprit", { n: n(step.alone[counted]), what: t(`level.${counted}`) })}
      </p>
      <Button variant="light" onClick={mute} leftSection={<Icon name="mute" size={14} />}>
        {t("row.mute")}
      </Button>
    </div>
  );
}

function Total({ what, totals, on, pick }: { what: Level; totals: Totals | undefined; on: boolean; pick: () => void }) {
  const { t, n } = useTexts();
  const plural = PLURAL[what];
  return (
    <button type="button" className="total" aria-pressed={on} onClick={pick} title={t("totals.level")} data-level={what}>
      <b>{totals ? n(totals[plural]) : "·"}</b>
      <span>{t(`level.${plural}`)}</span>
    </button>
  );
}

function Way({ icon, label, act }: { icon: "undo" | "redo"; label: string; act: (() => void) | undefined }) {
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" color="gray" disabled={!act} aria-label={label} onClick={() => act?.()}>
        <Icon name={icon} />
      </ActionIcon>
    </Tooltip>
  );
}

function CopyLink() {
  const { t } = useTexts();
  return (
    <CopyButton value={location.href}>
      {({ copied, copy }) => (
        <Tooltip label={t(copied ? "link.copied" : "link.copy")}>
          <ActionIcon variant="subtle" color="gray" aria-label={t("link.copy")} onClick={copy}>
            <Icon name={copied ? "check" : "link"} />
          </ActionIcon>
        </Tooltip>
      )}
    </CopyButton>
  );
}

function Start({ take }: { take: (query: Query) => void }) {
  const { t } = useTexts();
  const [problem, setProblem] = useState<Refused | null>(null);
  const start = async (text: string, level: Level) => {
    try {
      take({ ...(await fromText(text)), level });
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
  };
  return (
    <div className="start">
      <h1>{t("start.title")}</h1>
      <p>{t("start.text")}</p>
      <ul>
        {EXAMPLES.map(([key, text, level]) => (
          <li key={key}>
            <button type="button" onClick={() => void start(text, level)}>
              {t(key)}
            </button>
          </li>
        ))}
      </ul>
      {problem && <Trouble error={problem} />}
    </div>
  );
}

/** Questions under names: save this one, open another. */
function Keep({ question, where, take }: { question: Question; where: Condition | null; take: (query: Query) => void }) {
  const { t, when } = useTexts();
  const client = useQueryClient();
  const [saving, setSaving] = useState(false);
  const [opening, setOpening] = useState(false);
  const [name, setName] = useState("");
  const [shared, setShared] = useState(true);
  const [problem, setProblem] = useState<Refused | null>(null);
  const saved = useAnswer("GET /api/queries", {}, { enabled: opening });
  const save = async () => {
    try {
      const { level, show, order } = question;
      await call("POST /api/queries", { body: { name, shared, query: { where, level, show, order } } });
      await client.invalidateQueries({ queryKey: ["GET /api/queries"] });
      setSaving(false);
      setName("");
      setProblem(null);
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
  };
  const openSaved = async (query: { where?: unknown; level: Level; show: string[]; order: string[] }) => {
    const said = query.where;
    const found = typeof said === "string" ? await fromText(said) : { where: (said ?? null) as Condition | null };
    take({ ...found, level: query.level, show: query.show, order: query.order });
    setOpening(false);
  };
  return (
    <>
      <Menu position="bottom-end">
        <Menu.Target>
          <ActionIcon variant="subtle" color="gray" aria-label={t("saved")}>
            <Icon name="save" />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<Icon name="save" />} onClick={() => setSaving(true)} disabled={!where}>
            {t("saved.save")}
          </Menu.Item>
          <Menu.Item leftSection={<Icon name="folder" />} onClick={() => setOpening(true)}>
            {t("saved.open")}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <Modal opened={saving} onClose={() => setSaving(false)} title={t("saved.save")} centered>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void save();
          }}
        >
          <TextInput
            size="sm"
            label={t("saved.name")}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            data-autofocus
          />
          <Switch
            mt="sm"
            label={t("saved.shared")}
            checked={shared}
            onChange={(event) => setShared(event.currentTarget.checked)}
          />
          {problem && <Trouble error={problem} />}
          <Button type="submit" mt="md" size="sm" disabled={!name.trim()}>
            {t("saved.save.do")}
          </Button>
        </form>
      </Modal>
      <Modal opened={opening} onClose={() => setOpening(false)} title={t("saved.open")} centered size="lg">
        {saved.error && <Trouble error={saved.error} />}
        {saved.data?.length === 0 && <p className="hint">{t("saved.none")}</p>}
        <ul className="saved">
          {saved.data?.map((one) => (
            <li key={one.id}>
              <button type="button" onClick={() => void openSaved(one.query)}>
                <b>{one.name}</b>
                <span>{one.sentence}</span>
                <small>{when(one.saved)}</small>
              </button>
            </li>
          ))}
        </ul>
      </Modal>
    </>
  );
}
