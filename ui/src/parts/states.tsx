/** What stands where data would be: it comes, there is none, or something is wrong. */

import { Button, Loader } from "@mantine/core";
import type { ReactNode } from "react";
import type { Refused } from "../api/client.ts";
import { useTexts } from "../texts.tsx";
import { Icon } from "./icon.tsx";

export function Loading() {
  const { t } = useTexts();
  return (
    <div className="state" role="status">
      <Loader size="sm" type="dots" />
      <span className="visually-hidden">{t("state.loading")}</span>
    </div>
  );
}

export function Message({ title, text, children }: { title: string; text?: string; children?: ReactNode }) {
  return (
    <div className="state">
      <h2>{title}</h2>
      {text && <p>{text}</p>}
      {children}
    </div>
  );
}

/** A refusal in the words of the service. */
export function Trouble({ error, again }: { error: Refused; again?: () => void }) {
  const { t } = useTexts();
  return (
    <div className="trouble" role="alert">
      <Icon name="warn" />
      <p>{error.status === 0 ? t("state.unreachable") : error.detail}</p>
      {again && (
        <Button variant="subtle" size="compact-xs" onClick={again}>
          {t("state.again")}
        </Button>
      )}
    </div>
  );
}
