/** Who one is for the service: signing in, the menu of the person, what is allowed. */

import { Button, Menu, PasswordInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { call, Refused, useAnswer, whenUnknown } from "../api/client.ts";
import type { Me } from "../api/schema.ts";
import { type Key, useTexts } from "../texts.tsx";
import { Icon } from "./icon.tsx";
import { Pseudonyms } from "./pseudonyms.tsx";
import { Trouble } from "./states.tsx";

/** Who one is; nothing yet while that is asked. */
export function useMe(): Me | undefined {
  return useAnswer("GET /api/me", {}, { keep: true }).data;
}

/** Whether the role allows something; everything is, until that is known. */
export function useMay(): (what: string) => boolean {
  const me = useMe();
  return (what) => !me?.signed_in || me.may.includes(what);
}

/** Who one is, asked again when the service does not know any more; `asking`: not known yet. */
export function useSignedIn(): { me: Me | undefined; asking: boolean } {
  const client = useQueryClient();
  useEffect(() => whenUnknown(() => void client.invalidateQueries({ queryKey: ["GET /api/me"] })), [client]);
  const found = useAnswer("GET /api/me", {}, { keep: true });
  return { me: found.data, asking: found.isPending };
}

export function SignIn({ me }: { me: Me }) {
  const { t } = useTexts();
  const client = useQueryClient();
  const [token, setToken] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Refused | null>(null);
  const enter = async () => {
    setBusy(true);
    try {
      await call("POST /api/login", { body: { token: token.trim() } });
      setProblem(null);
      await client.resetQueries();
    } catch (error) {
      setProblem(error instanceof Refused ? error : new Refused(0, ""));
    } finally {
      setBusy(false);
    }
  };
  const after = encodeURIComponent(location.pathname + location.search);
  return (
    <div className="sign-in">
      <form
        className="card"
        aria-labelledby="sign-in"
        onSubmit={(event) => {
          event.preventDefault();
          void enter();
        }}
      >
        <Icon name="lake" size={34} />
        <h1 id="sign-in">{t("access.title")}</h1>
        {me.ways.oidc && (
          <>
            <Button component="a" href={`/api/login/start?after=${after}`} fullWidth>
              {t("access.with", { name: me.ways.oidc })}
            </Button>
            <p className="sign-in-or">{t("access.or")}</p>
          </>
        )}
        <PasswordInput
          label={t("token.label")}
          description={t("token.text")}
          value={token}
          autoComplete="current-password"
          onChange={(event) => setToken(event.currentTarget.value)}
          data-autofocus
        />
        {problem && <Trouble error={problem} />}
        <Button
          type="submit"
          fullWidth
          loading={busy}
          variant={me.ways.oidc ? "default" : "filled"}
          disabled={!token.trim()}
        >
          {t("token.go")}
        </Button>
      </form>
    </div>
  );
}

export function UserMenu({ me }: { me: Me }) {
  const { t } = useTexts();
  const client = useQueryClient();
  const [asking, setAsking] = useState(false);
  const open = !me.ways.token && !me.ways.oidc;
  const leave = async () => {
    await call("POST /api/logout");
    await client.resetQueries();
  };
  const choose = async (project: string) => {
    await call("POST /api/me/project", { body: { project } });
    await client.resetQueries();
  };
  return (
    <>
    <Pseudonyms opened={asking} onClose={() => setAsking(false)} />
    <Menu position="bottom-end" width={270}>
      <Menu.Target>
        <Button
          variant="subtle"
          color="gray"
          size="compact-sm"
          leftSection={<Icon name="person" />}
          aria-label={t("access.menu", { name: me.name })}
        >
          {me.name}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <div className="who">
          <b>{open ? t("access.local.title") : me.name}</b>
          {open ? <p>{t("access.local.text")}</p> : <p>{t(`role.${me.role}` as Key)}</p>}
          {!open && <p>{me.project ? t("access.project", { name: me.title }) : t("access.whole")}</p>}
          {me.deidentified && <p>{t("access.deidentified")}</p>}
          {me.mask_below > 0 && <p>{t("access.masked", { n: me.mask_below })}</p>}
        </div>
        {me.projects.length > 1 && (
          <>
            <Menu.Divider />
            <Menu.Label>{t("access.projects")}</Menu.Label>
            {me.projects.map((name) => (
              <Menu.Item
                key={name}
                onClick={() => void choose(name)}
                rightSection={name === me.project ? <Icon name="check" /> : null}
              >
                {name}
              </Menu.Item>
            ))}
          </>
        )}
        {me.may.includes("reidentify") && (
          <>
            <Menu.Divider />
            <Menu.Item onClick={() => setAsking(true)}>{t("pseudonyms.title")}</Menu.Item>
          </>
        )}
        {me.session && (
          <>
            <Menu.Divider />
            <Menu.Item onClick={() => void leave()}>{t("access.leave")}</Menu.Item>
          </>
        )}
      </Menu.Dropdown>
    </Menu>
    </>
  );
}
