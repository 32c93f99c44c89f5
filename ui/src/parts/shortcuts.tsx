/** What keys do, and a list of them on "?". */

import { Modal } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { useState } from "react";
import { go } from "../route.tsx";
import { type Key, useTexts } from "../texts.tsx";

const LISTED: [string[], Key][] = [
  [["?"], "keys.help"],
  [["/"], "keys.search"],
  [["g", "a"], "nav.ask"],
  [["g", "c"], "nav.charts"],
  [["g", "s"], "nav.saved"],
  [["g", "k"], "cohorts"],
  [["g", "d"], "nav.dose"],
  [["g", "b"], "nav.bring"],
  [["g", "j"], "nav.jobs"],
  [["g", "w"], "nav.status"],
  [["Ctrl", "Z"], "undo"],
  [["Ctrl", "Shift", "Z"], "redo"],
  [["1"], "level.patients"],
  [["2"], "level.studies"],
  [["3"], "level.series"],
  [["4"], "level.instances"],
  [["v"], "results.view"],
  [["↑", "↓", "Enter"], "keys.rows"],
  [["Ctrl", "Enter"], "form.take"],
];
const PLACES: Record<string, string> = { a: "/", c: "/charts", s: "/saved", k: "/cohorts", d: "/dose", b: "/bring", j: "/jobs", w: "/status" };

let begun = 0;

export function Shortcuts() {
  const { t } = useTexts();
  const [open, setOpen] = useState(false);
  useHotkeys([
    ["shift+?", () => setOpen(true)],
    ["?", () => setOpen(true)],
    ["/", () => document.querySelector<HTMLInputElement>("main input[type=search]")?.focus()],
    ["g", () => (begun = Date.now())],
    ...Object.entries(PLACES).map(([key, place]): [string, () => void] => [
      key,
      () => Date.now() - begun < 1500 && go(place),
    ]),
  ]);
  return (
    <Modal opened={open} onClose={() => setOpen(false)} title={t("keys")} centered>
      <table className="facts keys">
        <tbody>
          {LISTED.map(([keys, what]) => (
            <tr key={what}>
              <td>
                {keys.map((key) => (
                  <kbd key={key}>{key}</kbd>
                ))}
              </td>
              <td>{t(what)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Modal>
  );
}
