/** Questions that are kept: open, rename, share, delete, and what they were before. */

import { ActionIcon, Button, CopyButton, Modal, Switch, Textarea, TextInput, Tooltip } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call, Refused, useAnswer } from "../api/client.ts";
import type { SavedOut } from "../api/schema.ts";
import { Icon } from "../parts/icon.tsx";
import { Loading, Message, Trouble } from "../parts/states.tsx";
import { go, Link } from "../route.tsx";
import { useTexts } from "../texts.tsx";

export default function SavedPage() {
  const { t, when } = useTexts();
  const client = useQueryClient();
  const found = useAnswer("GET /api/queries");
  const [changing, setChanging] = useState<SavedOut | null>(null);
  const [history, setHistory] = useState<string | null>(null);
  const [gone, setGone] = useState<SavedOut | null>(null);
  const [problem, setProblem] = useState<Refused | null>(null);
  const acted = async (act: () => Promise<unknown>) => {
    try {
      await act();
      setProblem(null);
      await client.invalidateQueries({ queryKey: ["GET /api/queries"] });
      await client.invalidateQueries({ queryKey: ["GET /api/queries/{id}"] });
    } catch (error) {
      if (error instanceof Refused) setProblem(error);
    }
  };
  const open = (one: SavedOut) => void acted(async () => go(await addressOf(one)));
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("nav.saved")}</h1>
      </div>
      {problem && <Trouble error={problem} />}
      {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
      {!found.data && !found.error && <Loading />}
      {found.data?.length === 0 && <Message title={t("saved.nothing")} text={t("saved.none")} />}
      {found.data && found.data.length > 0 && (
        <table className="facts saved-table">
          <thead>
            <tr>
              <th>{t("saved.name")}</th>
              <th>{t("saved.asks")}</th>
              <th>{t("saved.when")}</th>
              <th>{t("saved.version")}</th>
              <th>
                <span className="visually-hidden">{t("row.more")}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {found.data.map((one) => (
              <tr key={one.id}>
                <td>
                  <button type="button" className="link-like strong" onClick={() => open(one)}>
                    {one.name}
                  </button>
                  {one.tags.map((tag) => (
                    <span className="creator" key={tag}>
                      {tag}
                    </span>
                  ))}
                  {one.comment && <p className="hint">{one.comment}</p>}
                </td>
                <td>{one.sentence}</td>
                <td>
                  {when(one.saved)}
                  <small> {t(one.shared ? "saved.all" : "saved.mine")}</small>
                </td>
                <td className="right">
                  <button type="button" className="link-like" onClick={() => setHistory(one.id)}>
                    {one.version}
                  </button>
                </td>
                <td className="row-ways">
                  <Share one={one} />
                  <Way icon="edit" label={t("saved.change", { name: one.name })} act={() => setChanging(one)} />
                  <Way icon="close" label={t("saved.delete", { name: one.name })} act={() => setGone(one)} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <p className="hint">
        <Link href="/cohorts">{t("cohorts.saved")}</Link>
      </p>
      {changing && (
        <Change
          one={changing}
          close={() => setChanging(null)}
          save={(body) =>
            void acted(() => call("PUT /api/queries/{id}", { params: { id: changing.id }, body })).then(() => setChanging(null))
          }
        />
      )}
      {history && <Versions id={history} close={() => setHistory(null)} open={open} />}
      <Modal opened={gone !== null} onClose={() => setGone(null)} title={t("saved.delete.sure")} centered>
        <p>{t("saved.delete.about", { name: gone?.name ?? "" })}</p>
        <Button
          mt="md"
          color="red"
          onClick={() =>
            void acted(() => call("DELETE /api/queries/{id}", { params: { id: gone!.id } })).then(() => setGone(null))
          }
        >
          {t("saved.delete.do")}
        </Button>
      </Modal>
    </div>
  );
}

/** The address that shows the question. */
async function addressOf(one: SavedOut): Promise<string> {
  const { where, level, show, order } = one.query;
  const made = await call("POST /api/permalink", { body: { where, level, show, order } });
  const search = new URLSearchParams({ link: made.id, level });
  if (show.length) search.set("show", JSON.stringify(show));
  if (order.length) search.set("order", JSON.stringify(order));
  return `/ask?${search}`;
}

function Way({ icon, label, act }: { icon: "edit" | "close"; label: string; act: () => void }) {
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" color="gray" size="sm" aria-label={label} onClick={act}>
        <Icon name={icon} size={15} />
      </ActionIcon>
    </Tooltip>
  );
}

function Share({ one }: { one: SavedOut }) {
  const { t } = useTexts();
  const [address, setAddress] = useState("");
  return (
    <CopyButton value={address}>
      {({ copied, copy }) => (
        <Tooltip label={t(copied ? "link.copied" : "saved.share")}>
          <ActionIcon
            variant="subtle"
            color="gray"
            size="sm"
            aria-label={`${t("saved.share")}: ${one.name}`}
            onFocus={() => void addressOf(one).then((to) => setAddress(location.origin + to), () => undefined)}
            onPointerEnter={() => void addressOf(one).then((to) => setAddress(location.origin + to), () => undefined)}
            onClick={copy}
          >
            <Icon name={copied ? "check" : "link"} size={15} />
          </ActionIcon>
        </Tooltip>
      )}
    </CopyButton>
  );
}

type Body = Pick<SavedOut, "name" | "comment" | "tags" | "shared" | "query">;

function Change({ one, close, save }: { one: SavedOut; close: () => void; save: (body: Body) => void }) {
  const { t } = useTexts();
  const [name, setName] = useState(one.name);
  const [comment, setComment] = useState(one.comment);
  const [shared, setShared] = useState(one.shared);
  return (
    <Modal opened onClose={close} title={t("saved.change.title")} centered>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save({ name, comment, shared, tags: one.tags, query: one.query });
        }}
      >
        <TextInput
          size="sm"
          label={t("saved.name")}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          data-autofocus
        />
        <Textarea
          mt="sm"
          label={t("saved.comment")}
          value={comment}
          autosize
          minRows={2}
          onChange={(event) => setComment(event.currentTarget.value)}
        />
        <Switch
          mt="sm"
          label={t("saved.shared")}
          checked={shared}
          onChange={(event) => setShared(event.currentTarget.checked)}
        />
        <Button type="submit" mt="md" size="sm" disabled={!name.trim()}>
          {t("saved.save.do")}
        </Button>
      </form>
    </Modal>
  );
}

function Versions({ id, close, open }: { id: string; close: () => void; open: (one: SavedOut) => void }) {
  const { t, when } = useTexts();
  const found = useAnswer("GET /api/queries/{id}", { params: { id } });
  return (
    <Modal opened onClose={close} title={t("saved.versions")} centered size="lg">
      {found.error && <Trouble error={found.error} />}
      <ul className="saved">
        {found.data?.history.map((one) => (
          <li key={one.version}>
            <button type="button" onClick={() => open(one)}>
              <b>
                {one.version}. {one.name}
              </b>
              <span>{one.sentence}</span>
              <small>{when(one.saved)}</small>
            </button>
          </li>
        ))}
      </ul>
    </Modal>
  );
}
