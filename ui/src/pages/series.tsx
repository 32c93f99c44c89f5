/** The images of one series on a page of their own, and the ways from a study to viewers. */

import { ActionIcon, Button, Tooltip } from "@mantine/core";
import { useAnswer } from "../api/client.ts";
import { Icon } from "../parts/icon.tsx";
import { Viewer } from "../parts/viewer.tsx";
import { go, Link, useAddress } from "../route.tsx";
import { useTexts } from "../texts.tsx";

export function SeriesPage({ study, series }: { study: string; series: string }) {
  const { t } = useTexts();
  const { query } = useAddress();
  const address = `/studies/${study}/series/${series}`;
  return (
    <div className="series-page">
      <h1 className="visually-hidden">{t("viewer.image")}</h1>
      <Viewer
        series={series}
        first={Number(query.get("image")) || 1}
        onImage={(number, _, leaving) => !leaving && go(`${address}?image=${number}`, { replace: true })}
        focus
      >
        <OhifWay study={study} />
        <Button
          component={Link}
          href={`/studies/${study}?series=${series}`}
          variant="subtle"
          color="gray"
          size="compact-sm"
          leftSection={<Icon name="undo" />}
        >
          {t("viewer.back")}
        </Button>
      </Viewer>
    </div>
  );
}

/** From a study to the page of a series, and to OHIF. */
export function ViewerWays({ study, series }: { study: string; series: string }) {
  const { t } = useTexts();
  return (
    <>
      <OhifWay study={study} />
      <Tooltip label={t("viewer.open")}>
        <ActionIcon
          component={Link}
          href={`/studies/${study}/series/${series}`}
          variant="subtle"
          color="gray"
          aria-label={t("viewer.open")}
        >
          <Icon name="open" />
        </ActionIcon>
      </Tooltip>
    </>
  );
}

/** A way to OHIF, where it is installed; else a word how it comes here. */
function OhifWay({ study }: { study: string }) {
  const { t } = useTexts();
  const found = useAnswer("GET /api/viewer");
  if (!found.data) return null;
  if (!found.data.installed)
    return (
      <Tooltip label={t("viewer.ohif.none")} multiline w={260}>
        <Button variant="subtle" color="gray" size="compact-sm" aria-disabled data-disabled>
          OHIF
        </Button>
      </Tooltip>
    );
  return (
    <Button
      component="a"
      href={`${found.data.path}/viewer?StudyInstanceUIDs=${study}`}
      target="_blank"
      rel="noopener"
      variant="subtle"
      color="gray"
      size="compact-sm"
      rightSection={<Icon name="open" size={13} />}
    >
      {t("viewer.ohif")}
    </Button>
  );
}
