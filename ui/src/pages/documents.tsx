/** Texts of reports: search what they affirm, and read one with what it denies struck out. */

import { Button, Checkbox, Select, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import "../activity.css";
import { useAnswer } from "../api/client.ts";
import type { FoundDocument, Snippet } from "../api/schema.ts";
import { Loading, Message, Trouble } from "../parts/states.tsx";
import { go, Link, useAddress } from "../route.tsx";
import { type Key, useTexts } from "../texts.tsx";

type DocumentHead = Omit<FoundDocument, "snippets">;

const PAGE = 25;
const LANGUAGES = ["de", "en", "fr", "es"];

export default function DocumentsPage({ rest }: { rest: string[] }) {
  return rest[0] ? <OneDocument id={rest[0]} /> : <Search />;
}

function Search() {
  const { t, n } = useTexts();
  const { query } = useAddress();
  const words = query.get("words") ?? "";
  const offset = Number(query.get("offset") ?? 0) || 0;
  const asked = { words, language: query.get("language") ?? "", negated: query.get("negated") === "true", limit: PAGE, offset };
  const found = useAnswer("GET /api/documents", { query: asked }, { keep: true, enabled: words !== "" });
  const told = words ? found.data : undefined;
  return (
    <div className="page page-wide">
      <div className="page-head">
        <h1>{t("nav.documents")}</h1>
      </div>
      <Ask words={words} language={asked.language} negated={asked.negated} />
      <p className="hint">{t("documents.hint")}</p>
      {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
      {words && !told && !found.error && <Loading />}
      {told && (
        <p role="status" className="hint">
          {t("documents.found", { n: n(told.total) })}
        </p>
      )}
      {told?.total === 0 && <Message title={t("documents.none")} text={t("documents.none.do")} />}
      {told && (
        <ol className="documents-found">
          {told.documents.map((one) => (
            <li key={one.document_key}>
              <Found one={one} />
            </li>
          ))}
        </ol>
      )}
      {told && told.total > PAGE && (
        <div className="lane-ways">
          <Button size="compact-sm" variant="default" disabled={offset === 0} onClick={() => ask({ ...asked, offset: Math.max(0, offset - PAGE) })}>
            {t("documents.newer")}
          </Button>
          <Button size="compact-sm" variant="default" disabled={offset + PAGE >= told.total} onClick={() => ask({ ...asked, offset: offset + PAGE })}>
            {t("documents.older")}
          </Button>
        </div>
      )}
    </div>
  );
}

/** Go to what is asked: the address holds it. */
function ask(asked: { words: string; language: string; negated: boolean; offset?: number }): void {
  const query = new URLSearchParams();
  if (asked.words) query.set("words", asked.words);
  if (asked.language) query.set("language", asked.language);
  if (asked.negated) query.set("negated", "true");
  if (asked.offset) query.set("offset", String(asked.offset));
  const text = query.toString();
  go(text ? `/documents?${text}` : "/documents");
}

function Ask({ words, language, negated }: { words: string; language: string; negated: boolean }) {
  const { t } = useTexts();
  const called = useLanguageNames();
  const [text, setText] = useState(words);
  const send = (event: FormEvent) => {
    event.preventDefault();
    ask({ words: text.trim(), language, negated });
  };
  return (
    <form className="documents-ask" onSubmit={send} role="search">
      <TextInput className="documents-words" size="sm" type="search" label={t("documents.words")} value={text}
        onChange={(event) => setText(event.currentTarget.value)} />
      <Select size="sm" label={t("documents.language")} allowDeselect={false} value={language}
        data={[{ value: "", label: t("documents.any") }, ...LANGUAGES.map((value) => ({ value, label: called(value) }))]}
        onChange={(value) => ask({ words: text.trim(), language: value ?? "", negated })} />
      <Checkbox label={t("documents.negated")} checked={negated}
        onChange={(event) => ask({ words: text.trim(), language, negated: event.currentTarget.checked })} />
      <Button type="submit" size="sm">{t("documents.search")}</Button>
    </form>
  );
}

/** What languages are called in that of the person. */
function useLanguageNames(): (code: string) => string {
  const { language } = useTexts();
  const names = new Intl.DisplayNames([language], { type: "language" });
  return (code) => names.of(code) ?? code;
}

function Found({ one }: { one: FoundDocument }) {
  const { t } = useTexts();
  return (
    <article className="card">
      <h2>
        <Link href={`/documents/${one.document_key}`}>{one.title || one.type_meaning || t("documents.untitled")}</Link>
      </h2>
      <About one={one} />
      {one.snippets.map((snippet, at) => (
        <Said key={at} snippet={snippet} />
      ))}
    </article>
  );
}

function About({ one }: { one: DocumentHead }) {
  const { t, when } = useTexts();
  const called = useLanguageNames();
  return (
    <p className="hint">
      {[one.written && when(one.written), one.language && called(one.language), one.source].filter(Boolean).join(" · ")}{" "}
      {one.StudyInstanceUID && <Link href={`/studies/${one.StudyInstanceUID}`}>{t("documents.study")}</Link>}{" "}
      {one.patient_key && <Link href={`/patients/${one.patient_key}`}>{t("documents.patient")}</Link>}
    </p>
  );
}

const WORD: Record<string, Key> = { affirmed: "documents.affirmed", negated: "documents.negated.mark", uncertain: "documents.uncertain" };

function Said({ snippet }: { snippet: Snippet }) {
  const { t } = useTexts();
  const word = WORD[snippet.state];
  return (
    <p className="snippet">
      {word && <span className="state-word">{t(word)}</span>}
      <span className={snippet.state ? `state-${snippet.state}` : undefined}>
        {snippet.pieces.map((piece, at) => (piece.hit ? <mark key={at}>{piece.text}</mark> : <span key={at}>{piece.text}</span>))}
      </span>
    </p>
  );
}

function OneDocument({ id }: { id: string }) {
  const { t } = useTexts();
  const found = useAnswer("GET /api/documents/{document_key}", { params: { document_key: id } });
  if (found.error)
    return (
      <div className="page">
        <Trouble error={found.error} again={() => void found.refetch()} />
      </div>
    );
  if (!found.data) return <Loading />;
  const one = found.data;
  return (
    <div className="page page-wide">
      <div className="page-head">
        <h1>{one.title || one.type_meaning || t("documents.untitled")}</h1>
      </div>
      <About one={one} />
      <p className="hint">
        <span className="state-word">{t("documents.affirmed")}</span> <span className="state-word state-negated">{t("documents.negated.mark")}</span>{" "}
        <span className="state-word state-uncertain">{t("documents.uncertain")}</span>
      </p>
      <div className="card report-text" lang={one.language ?? undefined}>
        {one.parts.map((part, at) => (
          <Sentence key={at} text={part.text} state={part.state} />
        ))}
      </div>
    </div>
  );
}

/** A sentence; what is denied is struck out, and said to be so to those who do not see it. */
function Sentence({ text, state }: { text: string; state: string }) {
  const { t } = useTexts();
  const word = WORD[state];
  if (state === "" || state === "affirmed" || !word) return <span>{text}</span>;
  return (
    <span className={`state-${state}`} title={t(word)}>
      <span className="visually-hidden">[{t(word)}] </span>
      {text}
    </span>
  );
}
