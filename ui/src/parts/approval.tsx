/** Requests to use a version of a cohort, and what stewards decide about them. */

import { Button, Textarea, TextInput } from "@mantine/core";
import { useState } from "react";
import { call, Refused } from "../api/client.ts";
import type { CohortDetails, RequestOut } from "../api/schema.ts";
import { useAsked } from "../pages/cohorts.tsx";
import { useTexts } from "../texts.tsx";
import { useMay } from "./access.tsx";
import { Trouble } from "./states.tsx";

export function Approval({ one }: { one: CohortDetails }) {
  const { t } = useTexts();
  const may = useMay();
  return (
    <>
      {one.requests.length === 0 && <p className="hint">{t("approval.none")}</p>}
      {one.requests.map((asked) => (
        <Asked key={asked.n} name={one.name} asked={asked} judge={may("release")} />
      ))}
      {may("curate") && <NewRequest one={one} />}
    </>
  );
}

function Asked({ name, asked, judge }: { name: string; asked: RequestOut; judge: boolean }) {
  const { t, when } = useTexts();
  const again = useAsked();
  const [comment, setComment] = useState("");
  const [problem, setProblem] = useState<Refused | null>(null);
  const decide = async (what: "approve" | "refuse") => {
    try {
      await call("PUT /api/cohorts/{name}/requests", { params: { name }, body: { n: asked.n, what, comment } });
      setProblem(null);
      setComment("");
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
    await again();
  };
  const facts = [
    t("cohorts.version", { n: asked.version }),
    asked.ethics && t("approval.ethics.is", { n: asked.ethics }),
    asked.profile && t("approval.profile.is", { name: asked.profile }),
    asked.valid_until && t("approval.until.is", { day: asked.valid_until }),
  ];
  return (
    <article className="card cohort-request" aria-label={asked.purpose}>
      <header>
        <h3>{asked.purpose}</h3>
        <span className={`state-badge ${asked.state === "approved" && !asked.over ? "is-good" : ""}`}>
          {t(asked.over ? "approval.over" : `approval.${asked.state}`)}
        </span>
      </header>
      <p>{facts.filter(Boolean).join(" · ")}</p>
      <p className="hint">{t("cohorts.by", { by: asked.by, when: when(asked.at) })}</p>
      {asked.decided_by && (
        <p className="hint">
          {t("approval.decided", { by: asked.decided_by, when: when(asked.decided_at) })} {asked.comment}
        </p>
      )}
      {judge && asked.state !== "refused" && (
        <div className="cohort-form">
          <TextInput
            label={t("saved.comment")}
            value={comment}
            onChange={(event) => setComment(event.currentTarget.value)}
          />
          {asked.state === "open" && <Button onClick={() => void decide("approve")}>{t("approval.approve")}</Button>}
          <Button variant="default" disabled={!comment.trim()} onClick={() => void decide("refuse")}>
            {t(asked.state === "open" ? "approval.refuse" : "approval.end")}
          </Button>
        </div>
      )}
      {problem && <Trouble error={problem} />}
    </article>
  );
}

function NewRequest({ one }: { one: CohortDetails }) {
  const { t } = useTexts();
  const again = useAsked();
  const [purpose, setPurpose] = useState("");
  const [ethics, setEthics] = useState("");
  const [profile, setProfile] = useState("");
  const [until, setUntil] = useState("");
  const [problem, setProblem] = useState<Refused | null>(null);
  const send = async () => {
    try {
      const body = { purpose, ethics, profile, valid_until: until, version: one.version };
      await call("POST /api/cohorts/{name}/requests", { params: { name: one.name }, body });
      setProblem(null);
      setPurpose("");
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
    await again();
  };
  return (
    <form
      className="cohort-form"
      aria-label={t("approval.ask")}
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <Textarea
        label={t("approval.purpose")}
        value={purpose}
        autosize
        minRows={1}
        onChange={(event) => setPurpose(event.currentTarget.value)}
      />
      <TextInput label={t("approval.ethics")} value={ethics} onChange={(event) => setEthics(event.currentTarget.value)} />
      <TextInput label={t("approval.profile")} value={profile} onChange={(event) => setProfile(event.currentTarget.value)} />
      <TextInput
        label={t("approval.until")}
        type="date"
        value={until}
        onChange={(event) => setUntil(event.currentTarget.value)}
      />
      <Button type="submit" disabled={!purpose.trim()}>
        {t("approval.ask")}
      </Button>
      {problem && <Trouble error={problem} />}
    </form>
  );
}
