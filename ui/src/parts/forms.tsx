/** The question as text and as JSON: the same question, to be written by hand. */

import { Button, Textarea } from "@mantine/core";
import { useEffect, useState } from "react";
import { call, Refused } from "../api/client.ts";
import type { Query } from "../query/condition.ts";
import { useTexts } from "../texts.tsx";
import { Trouble } from "./states.tsx";

export function Written({
  form,
  now,
  onChange,
}: {
  form: "text" | "json";
  now: string;
  onChange: (query: Query) => void;
}) {
  const { t } = useTexts();
  const [typed, setTyped] = useState(now);
  const [problem, setProblem] = useState<Refused | null>(null);
  useEffect(() => {
    setTyped(now);
    setProblem(null);
  }, [now]);
  const take = async () => {
    try {
      const json: unknown = form === "json" ? (typed.trim() ? JSON.parse(typed) : { where: null }) : null;
      const parsed = await call("POST /api/query/parse", {
        body: form === "json" ? { json } : { text: typed },
      });
      setProblem(null);
      const found = parsed.json as unknown as Query;
      const leveled =
        form === "json" ? json !== null && typeof json === "object" && "level" in json : /\blevel\s/i.test(typed);
      if (!leveled) delete found.level; // the one that is shown stays
      onChange(found);
    } catch (error) {
      setProblem(error instanceof Refused ? error : new Refused(422, String(error)));
    }
  };
  return (
    <div className="written">
      <Textarea
        aria-label={t(form === "text" ? "form.text" : "form.json")}
        description={t(form === "text" ? "form.text.about" : "form.json.about")}
        inputWrapperOrder={["input", "description", "error"]}
        autosize
        minRows={4}
        maxRows={16}
        spellCheck={false}
        classNames={{ input: "code" }}
        value={typed}
        onChange={(event) => setTyped(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void take();
        }}
      />
      {problem && <Trouble error={problem} />}
      <Button disabled={typed === now} onClick={() => void take()}>
        {t("form.take")}
      </Button>
    </div>
  );
}
