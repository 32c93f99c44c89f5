/** The frame around all pages: where to go, in which language, light or dark. */

import {
  ActionIcon,
  Button,
  Menu,
  useMantineColorScheme,
} from "@mantine/core";
import { Component, type ComponentType, lazy, type ReactNode, Suspense, useEffect } from "react";
import { SignIn, UserMenu, useMay, useSignedIn } from "./parts/access.tsx";
import { Icon } from "./parts/icon.tsx";
import { calledOf, Places } from "./parts/places.tsx";
import { Shortcuts } from "./parts/shortcuts.tsx";
import { Loading, Message } from "./parts/states.tsx";
import { AskPage } from "./pages/ask.tsx";
import { Link, useAddress } from "./route.tsx";
import { useTexts } from "./texts.tsx";

const PAGES: Record<string, ComponentType<{ rest: string[] }>> = {
  ask: AskPage,
  studies: lazy(() => import("./pages/study.tsx")),
  saved: lazy(() => import("./pages/saved.tsx")),
  cohorts: lazy(() => import("./pages/cohorts.tsx")),
  bring: lazy(() => import("./pages/bring.tsx")),
  jobs: lazy(() => import("./pages/jobs.tsx")),
  datasets: lazy(() => import("./pages/datasets.tsx")),
  enrichers: lazy(() => import("./pages/enrichers.tsx")),
  sources: lazy(() => import("./pages/sources.tsx")),
  status: lazy(() => import("./pages/status.tsx")),
  charts: lazy(() => import("./pages/charts.tsx")),
  dose: lazy(() => import("./pages/dose.tsx")),
  audit: lazy(() => import("./pages/audit.tsx")),
  activity: lazy(() => import("./pages/activity.tsx")),
  documents: lazy(() => import("./pages/documents.tsx")),
  patients: lazy(() => import("./pages/patient.tsx")),
  federation: lazy(() => import("./pages/federation.tsx")),
};

export function App() {
  const { parts } = useAddress();
  const [first = "ask", ...rest] = parts;
  const Page = PAGES[first];
  const { t } = useTexts();
  const { me, asking } = useSignedIn();
  const may = useMay();
  const out = me !== undefined && !me.signed_in;
  const called = calledOf(first);
  useEffect(() => {
    document.title = called ? `${t(called)} · dicomlake` : "dicomlake";
  }, [called, t]);
  return (
    <div className="app">
      <a className="skip" href="#content">
        {t("nav.skip")}
      </a>
      <header className="top">
        <Link href="/" className="brand" aria-label={t("nav.home")}>
          <Icon name="lake" size={26} />
          <span>
            dicom<b>lake</b>
          </span>
        </Link>
        <Places here={first} may={(needed) => !out && may(needed)} />
        <div className="top-end">
          {me?.signed_in && <UserMenu me={me} />}
          <LanguageChoice />
          <SchemeChoice />
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        <Failing key={first}>
          <Suspense fallback={<Loading />}>
            {asking ? (
              <Loading />
            ) : out ? (
              <SignIn me={me} />
            ) : Page ? (
              <Page rest={rest} />
            ) : (
              <Message title={t("page.none")} text={t("page.none.do")} />
            )}
          </Suspense>
        </Failing>
      </main>
      <Shortcuts />
    </div>
  );
}

function LanguageChoice() {
  const { language, setLanguage, t } = useTexts();
  return (
    <Menu position="bottom-end" width={150}>
      <Menu.Target>
        <Button variant="subtle" color="gray" size="compact-sm" aria-label={`${t("nav.language")}: ${language.toUpperCase()}`}>
          {language.toUpperCase()}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item onClick={() => setLanguage("en")} lang="en">
          English
        </Menu.Item>
        <Menu.Item onClick={() => setLanguage("de")} lang="de">
          Deutsch
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

function SchemeChoice() {
  const { setColorScheme, colorScheme } = useMantineColorScheme();
  const { t } = useTexts();
  const schemes = [
    ["light", "sun", "theme.light"],
    ["dark", "moon", "theme.dark"],
    ["auto", "screen", "theme.auto"],
  ] as const;
  const icon = schemes.find(([name]) => name === colorScheme)?.[1] ?? "screen";
  return (
    <Menu position="bottom-end" width={170}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={t("theme")}>
          <Icon name={icon} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {schemes.map(([name, sign, key]) => (
          <Menu.Item
            key={name}
            leftSection={<Icon name={sign} />}
            onClick={() => setColorScheme(name)}
          >
            {t(key)}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

/** Shows a word instead of an empty page when a page cannot be drawn. */
class Failing extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };
  static getDerivedStateFromError() {
    return { failed: true };
  }
  override render() {
    return this.state.failed ? <Broken /> : this.props.children;
  }
}

function Broken() {
  const { t } = useTexts();
  return <Message title={t("page.broken")} text={t("page.broken.do")} />;
}
