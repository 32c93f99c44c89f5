/** Who opens what, how often and how soon: the audit log beside the examinations. */

import { useAnswer } from "../api/client.ts";
import { type Asked, Rows, useMeaning, weekdays } from "../pages/activity.tsx";
import type { Linked } from "../query/linked.ts";
import { type Key, useTexts } from "../texts.tsx";
import { Card, type Sheet } from "./card.tsx";
import { Bars, Heat } from "./plots.tsx";
import { Trouble } from "./states.tsx";

export function AccessPart({ asked, linked }: { asked: Asked; linked: Linked }) {
  const { t, when, language } = useTexts();
  const found = useAnswer("GET /api/activity/access", { query: asked }, { keep: true, enabled: !linked.reading });
  const meaning = useMeaning("GET /api/activity/access", asked, linked, found.data?.version);
  if (found.error?.status === 403) return null; // a part of the lake has no openings of its own
  const told = found.data;
  const days = weekdays(language);
  const named = (role: string) => t(`role.${role}` as Key);
  const did = [t("activity.openings"), t("activity.studies"), t("activity.questions"), t("activity.exports"), t("activity.lastly")];
  const roles: Sheet = {
    head: [t("activity.role"), ...did],
    rows: (told?.roles ?? []).map((row) => [named(row.role), row.openings, row.studies, row.questions, row.exports, when(row.last)]),
  };
  const users: Sheet = {
    head: [t("activity.user"), ...did],
    rows: (told?.users ?? []).map((row) => [row.name, row.openings, row.studies, row.questions, row.exports, when(row.last)]),
  };
  const soon: Sheet = {
    head: [t("activity.soon.name"), t("activity.studies"), t("activity.opened"), t("activity.never"), t("activity.before"),
      t("activity.low"), t("activity.median"), t("activity.high")],
    rows: (told?.soon ?? []).filter((row) => row.by !== "all" && row.name !== null)
      .map((row) => [row.name, row.studies, row.opened, row.never, row.before_end, row.low_h, row.median_h, row.high_h]),
  };
  const hours = (told?.hours ?? []).filter((row) => row.openings > 0);
  const busiest: Sheet = {
    head: [t("activity.weekday"), t("activity.hour"), t("activity.openings")],
    rows: hours.map((row) => [days[row.weekday - 1] ?? "", row.hour, row.openings]),
  };
  const exported: Sheet = {
    head: [t("activity.lastly"), t("activity.role"), t("activity.what"), t("activity.rows")],
    rows: (told?.exports ?? []).map((row) => [when(row.moment), named(row.role), row.what, row.rows]),
  };
  const bars = roles.rows.map((row, at) => ({ key: String(at), label: String(row[0]), value: Number(row[1]) }));
  return (
    <section className="activity-access" aria-label={t("activity.access")}>
      <h2>{t("activity.access")}</h2>
      {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
      {told && <p className="hint">{told.since ? t("activity.access.since", { when: when(told.since) }) : t("activity.access.none")}</p>}
      {told?.since && (
        <div className="charts">
          <Card title={t("activity.roles")} found={found} sheet={roles} meaning={meaning}>
            <Bars rows={bars} label={t("activity.roles")} unit={t("activity.openings")} />
          </Card>
          {told.users && (
            <Card title={t("activity.users")} found={found} sheet={users} meaning={meaning}>
              <Rows sheet={users} label={t("activity.users")} />
            </Card>
          )}
          <Card title={t("activity.soon")} hint={t("activity.soon.hint")} found={found} sheet={soon} meaning={meaning} wide>
            <Rows sheet={soon} label={t("activity.soon")} />
          </Card>
          <Card title={t("activity.busiest")} hint={t("activity.busiest.hint")} found={found} sheet={busiest} meaning={meaning} wide>
            <Heat cells={hours.map((row) => ({ row: row.weekday - 1, column: row.hour, value: row.openings }))} rows={days}
              label={t("activity.busiest")} unit={t("activity.openings")} on={null} />
          </Card>
          {exported.rows.length > 0 && (
            <Card title={t("activity.exported")} found={found} sheet={exported} meaning={meaning} wide>
              <Rows sheet={exported} label={t("activity.exported")} />
            </Card>
          )}
        </div>
      )}
    </section>
  );
}
