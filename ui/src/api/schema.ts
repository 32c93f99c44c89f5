// Made from the OpenAPI document of the service: python ui/openapi.py

export type AccessOut = {
  version: number;
  seconds: number;
  untidy: Untidy[];
  /** The first line of the audit log */
  since: string | null;
  /** Openings of what is not in the lake any more */
  unknown: number;
  roles: RoleRow[];
  users: UserRow[] | null;
  hours: OpenedHour[];
  soon: SoonRow[];
  exports: ExportRow[];
};

export type AlarmSaid = {
  state: "open" | "seen" | "closed";
  /** Why; an alarm is not closed without */
  reason: string;
};

export type Anatomy = {
  places: string[];
  rows: Pair[];
  compared: number;
  agreeing: number;
};

export type AnswerOut = {
  version: number;
  level: "patient" | "study" | "series" | "instance";
  totals: Totals;
  /** How many of the level were found, whatever the limit */
  total: number;
  offset: number;
  columns: Column[];
  rows: unknown[][];
  /** What the answer cannot know */
  notes: string[];
  seconds: number;
};

export type Asked = {
  /** The condition: a JSON tree, or text; everything when left out */
  where?: Record<string, unknown> | string | null;
  level: "patient" | "study" | "series" | "instance";
  /** Of the lake */
  version?: number | null;
};

export type AskedPage = {
  /** The condition: a JSON tree, or text; everything when left out */
  where?: Record<string, unknown> | string | null;
  level: "patient" | "study" | "series" | "instance";
  /** Of the lake */
  version?: number | null;
  /** Attribute paths of the columns */
  show: string[];
  /** Attribute paths to sort by; a leading minus: downwards */
  order: string[];
  limit: number;
  /** Rows to leave out at the beginning */
  offset: number;
};

export type AskedRows = {
  /** The condition: a JSON tree, or text; everything when left out */
  where?: Record<string, unknown> | string | null;
  level: "patient" | "study" | "series" | "instance";
  /** Of the lake */
  version?: number | null;
  /** Attribute paths of the columns */
  show: string[];
  /** Attribute paths to sort by; a leading minus: downwards */
  order: string[];
};

export type AskedStudy = {
  /** name, purpose, level, sections, by, export */
  study: Record<string, unknown>;
};

export type AttributeShare = {
  of: number;
  filled: number;
  path: string;
  /** Those that it is counted of; empty: all */
  modalities: string[];
  groups: Shares[];
  /** Finds those that lack it */
  question: string;
};

export type AuditLine = {
  n: number;
  /** Seconds since 1970 */
  time: number;
  name: string;
  role: string;
  project: string;
  address: string;
  what: string;
  status: number | null;
  more: Record<string, unknown>;
};

export type AuditPage = {
  /** Lines that fit */
  total: number;
  /** Whether the whole chain fits; null when not checked */
  good: boolean | null;
  /** Why it does not */
  why: string;
  /** Hash of the newest line; note it elsewhere */
  head: string;
  lines: AuditLine[];
};

export type BinOut = {
  low: number;
  high: number;
  label: string;
  series: number;
};

export type BoxOut = {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
  why: string;
};

export type ByIn = {
  path: string;
  /** auto: a day to a year, so that there are some dozens; weekday: 1 is Monday; width: numbers in steps of `width`; steps: from one of `steps` to below the next */
  bin?: "auto" | "year" | "quarter" | "month" | "week" | "day" | "weekday" | "hour" | "width" | "steps" | null;
  width?: number | null;
  /** Rising; lower bounds */
  steps: number[];
};

export type Changed = {
  tasks: number;
};

export type ChartDetails = {
  name: string;
  comment: string;
  /** Whether everybody sees it */
  shared: boolean;
  /** Vega-Lite, whose data are groups: docs/dashboards.md */
  spec: Record<string, unknown>;
  id: string;
  /** Of the chart; every change makes a new one */
  version: number;
  owner: string;
  saved: string;
  /** All versions, newest first */
  history: ChartOut[];
};

export type ChartOut = {
  name: string;
  comment: string;
  /** Whether everybody sees it */
  shared: boolean;
  /** Vega-Lite, whose data are groups: docs/dashboards.md */
  spec: Record<string, unknown>;
  id: string;
  /** Of the chart; every change makes a new one */
  version: number;
  owner: string;
  saved: string;
};

export type CheckOut = {
  what: string;
  works: boolean;
  seconds: number;
  says: string;
};

export type Checked = {
  enricher: string;
  series: number;
};

export type Checkup = {
  seconds: number;
  findings: FindingOut[];
};

export type ChosenProject = {
  project: string;
};

export type Clock = {
  device: string;
  /** What tells it from others */
  attributes: Record<string, string>;
  modality: string | null;
  against: "study" | "schedule" | "devices";
  samples: number;
  offset_s: number;
  spread_s: number;
  months: Month[];
};

export type CohortCounts = {
  patients: number;
  studies: number;
  series: number;
  instances: number;
  bytes: number;
};

export type CohortDetails = {
  name: string;
  version: number;
  kind: "frozen" | "saved" | "split";
  project: string;
  level: "patient" | "study" | "series" | "instance";
  where: Record<string, unknown> | null;
  /** The question; empty: everything, or not for this role */
  text: string;
  sentence: string;
  lake_version: number;
  made: string;
  by: string;
  comment: string;
  counts: CohortCounts;
  /** Series that somebody left out */
  excluded: number;
  /** Series of patients who had withdrawn by then */
  withdrawn: number;
  /** Patients who were erased since */
  erased: number;
  digest: string;
  approved: boolean;
  /** How it was split, if it was */
  split: Record<string, unknown> | null;
  whole: Totals;
  attrition: CohortStep[];
  withdrawn_since: number;
  /** Series that are not in the lake any more */
  missing: number;
  /** Series that have another number of instances now */
  changed: number;
  shares: SplitShare[];
  /** All versions, newest first */
  history: CohortOut[];
  /** Newest first */
  log: Decision[];
  /** Newest first */
  requests: RequestOut[];
};

export type CohortOut = {
  name: string;
  version: number;
  kind: "frozen" | "saved" | "split";
  project: string;
  level: "patient" | "study" | "series" | "instance";
  where: Record<string, unknown> | null;
  /** The question; empty: everything, or not for this role */
  text: string;
  sentence: string;
  lake_version: number;
  made: string;
  by: string;
  comment: string;
  counts: CohortCounts;
  /** Series that somebody left out */
  excluded: number;
  /** Series of patients who had withdrawn by then */
  withdrawn: number;
  /** Patients who were erased since */
  erased: number;
  digest: string;
  approved: boolean;
  /** How it was split, if it was */
  split: Record<string, unknown> | null;
};

export type CohortSides = {
  only_a: number;
  both: number;
  only_b: number;
};

export type CohortStep = {
  depth: number;
  text: string;
  sentence: string;
  kept: Totals;
};

export type CohortsCompared = {
  a: CohortOut;
  b: CohortOut;
  counts: Record<string, CohortSides>;
  why: Record<string, Record<string, number>>;
  /** The first of them */
  rows: SeriesDifference[];
};

export type Column = {
  /** What people call it */
  name: string;
  /** Attribute path */
  path: string;
  type: "text" | "integer" | "number" | "date" | "datetime" | "boolean" | "list" | "object";
  unit: string;
};

export type Common = {
  version: number;
  path: string;
  value: string;
  found: Totals;
  /** With any value at the path */
  has: Totals;
  /** Of the lake */
  whole: Totals;
  /** Series with the value, as a share of those with any */
  share: number;
  /** The condition on the value, as text */
  question: string;
};

export type Compared = {
  version: number;
  a: string;
  b: string;
  /** Elements at the top that are equal */
  same: number;
  differences: Difference[];
};

export type ConformanceOut = {
  version: number;
  checked: Totals;
  problems: ProblemOut[];
  values: Unlisted[];
  seconds: number;
};

export type ContourOut = {
  segment: number | null;
  closed: boolean;
  /** x, y, z in mm, one point after another */
  points: number[];
  on: DrawnOn[];
};

export type Converted = {
  /** Files */
  converted: number;
  /** Files that were converted before in the same way */
  there: number;
  /** Files that are DICOM already: store them by STOW-RS */
  dicom: number;
  /** Rows or parts of converted files that were refused */
  parts: number;
  objects: number;
  facts: number;
  documents: number;
  formats: Record<string, number>;
  /** Of the objects: StudyInstanceUID; 200 at most */
  studies: string[];
  /** Whom they tell of: patient_key; 200 at most */
  patients: string[];
  /** 200 at most */
  refused: Refusal[];
  notes: string[];
  /** Somebody is writing; it comes into the lake after that */
  waits: boolean;
  seconds: number;
};

export type Converting = {
  formats: FormatOut[];
  folders: FolderOut[];
};

export type Counts = {
  version: number;
  level: "patient" | "study" | "series" | "instance";
  totals: Totals;
  total: number;
  seconds: number;
};

export type Crumb = {
  path: string;
  label: string;
};

export type DatasetAgain = {
  /** Leave out what could not be read */
  without: boolean;
  /** Try again what is in quarantine */
  again: boolean;
};

export type DatasetChoices = {
  profiles: string[];
  pseudonyms: string[];
  formats: string[];
  layouts: string[];
  /** Sources of the settings that take datasets */
  targets: string[];
  /** Where datasets are written that go nowhere else */
  folder: string;
  /** The caller may have identified data */
  identified: boolean;
  needs_approval: boolean;
};

export type DatasetDetails = {
  name: string;
  made: string;
  cohort: string;
  version: number | null;
  profile: string;
  formats: string[];
  layout: string;
  out: string;
  state: string;
  why: string;
  written: number;
  waiting: number;
  failed: number;
  quarantined: number;
  files: number;
  bytes: number;
  /** Instances of patients who were erased since */
  forgotten: number;
  quarantine: DatasetReason[];
  unread: DatasetReason[];
  notes: DatasetReason[];
  about: Record<string, unknown>;
};

export type DatasetEstimate = {
  patients: number;
  studies: number;
  series: number;
  objects: number;
  source_bytes: number;
  bytes: number;
  seconds: number;
  measured: boolean;
  /** The cohort is approved */
  approved: boolean;
  /** It has to be, before a dataset is made of it */
  needs_approval: boolean;
};

export type DatasetOut = {
  name: string;
  made: string;
  cohort: string;
  version: number | null;
  profile: string;
  formats: string[];
  layout: string;
  out: string;
  state: string;
  why: string;
  written: number;
  waiting: number;
  failed: number;
  quarantined: number;
  files: number;
  bytes: number;
  /** Instances of patients who were erased since */
  forgotten: number;
};

export type DatasetReason = {
  what: string;
  why: string;
  count: number;
};

export type Dates = {
  /** First StudyDate */
  from: string | null;
  /** Last StudyDate */
  to: string | null;
};

export type DayRow = {
  device: string;
  day: string;
  opens: number | null;
  closes: number | null;
  first: string;
  last: string;
  examinations: number;
  studies: number;
  busy_min: number;
  busy_in_hours_min: number | null;
  idle_min: number | null;
  over_min: number | null;
  overlapping: number;
};

export type Decision = {
  n: number;
  what: string;
  by: string;
  at: string;
  /** How many series it is about */
  series: number;
  reason: string;
  flag: string;
  /** Whether the newest version does not have it yet */
  pending: boolean;
};

export type DeviceRow = {
  InstitutionName: string | null;
  InstitutionalDepartmentName: string | null;
  StationName: string | null;
  device: string;
  Manufacturer: string | null;
  ManufacturerModelName: string | null;
  DeviceSerialNumber: string | null;
  SoftwareVersions: string[] | null;
  modalities: string[] | null;
  first_seen: string | null;
  last_seen: string | null;
  studies: number;
  series: number;
  examinations: number | null;
  days_used: number | null;
  studies_per_week: number;
  /** Of all studies */
  share: number | null;
  busy_h: number | null;
  /** Within its working hours */
  idle_h: number | null;
  /** Busy of its working hours, on days of use */
  utilisation: number | null;
  /** Minutes since midnight, from Monday to Friday */
  opens: number | null;
  closes: number | null;
  /** Median */
  examination_min: number | null;
  /** Examinations of which only one moment is known */
  moments: number | null;
  /** Median between two patients */
  turnover_min: number | null;
  days_over: number | null;
  /** Median of days on which it worked longer */
  over_min: number | null;
  /** Examinations that began before the last ended */
  overlapping: number | null;
};

export type DevicesOut = {
  version: number;
  seconds: number;
  untidy: Untidy[];
  devices: DeviceRow[];
};

export type Difference = {
  place: string;
  path: string;
  name: string;
  tag: string;
  creator: string;
  vr: string;
  change: "added" | "removed" | "changed";
  a: unknown[] | null;
  b: unknown[] | null;
};

export type DocumentOut = {
  document_key: string;
  patient_key: string | null;
  StudyInstanceUID: string | null;
  AccessionNumber: string | null;
  title: string | null;
  type: string | null;
  type_meaning: string | null;
  language: string | null;
  written: string | null;
  source: string | null;
  status: string | null;
  version: number;
  sections: Section[];
  parts: DocumentPart[];
};

export type DocumentPart = {
  text: string;
  state: string;
};

export type DocumentsOut = {
  version: number;
  seconds: number;
  total: number;
  documents: FoundDocument[];
};

export type DoseColumn = {
  name: string;
  type: "text" | "integer" | "number" | "date" | "datetime" | "boolean" | "list" | "object";
  /** UCUM; empty where it has none */
  unit: string;
  /** What it holds */
  text: string;
};

export type DoseKind = {
  kind: string;
  studies: number;
};

export type DoseOverview = {
  version: number;
  counts: Totals;
  kinds: DoseKind[];
  years: DoseYear[];
  /** Of the effective dose, as the settings say */
  factor_set: string;
  seconds: number;
};

export type DosePage = {
  /** The condition: a JSON tree, or text; everything when left out */
  where?: Record<string, unknown> | string | null;
  /** All dose of the studies that have what it finds */
  level: "patient" | "study" | "series" | "instance";
  /** Of the lake */
  version?: number | null;
  /** Of the effective dose */
  factor_set?: string | null;
  /** Also events of phantoms and tests */
  phantoms: boolean;
  /** Of reference levels */
  country?: string | null;
  /** Length of the rolling window */
  days: number;
  /** A column; a leading minus: downwards */
  order: string;
  limit: number;
  offset: number;
};

export type DoseRows = {
  version: number;
  name: string;
  factor_set: string;
  columns: DoseColumn[];
  rows: unknown[][];
  /** Rows that there are, whatever the limit */
  total: number;
  seconds: number;
};

export type DoseYear = {
  kind: string;
  studies: number;
  year: number | null;
};

export type Drawing = {
  /** The condition: a JSON tree, or text; everything when left out */
  where?: Record<string, unknown> | string | null;
  level: "patient" | "study" | "series" | "instance";
  /** Of the lake */
  version?: number | null;
  /** Vega-Lite, whose data are groups: docs/dashboards.md */
  spec: Record<string, unknown>;
};

export type Drawn = {
  /** Of the lake */
  version: number;
  fields: string[];
  rows: unknown[][];
  /** Vega-Lite whose data are called rows */
  spec: Record<string, unknown>;
  seconds: number;
};

export type DrawnOn = {
  SOPInstanceUID: string;
  /** Empty: all */
  frames: number[];
};

export type DrawnOut = {
  number: number | null;
  label: string;
  color: string | null;
  /** mL */
  volume: number | null;
};

export type ElementOut = {
  path: string;
  name: string;
  tag: string;
  vr: string | null;
  values: unknown[];
  /** Values that are not shown */
  more: number;
  low: number | null;
  high: number | null;
  /** There are too many values; low and high are their range */
  folded: boolean;
  instances: number | null;
};

export type EnricherOut = {
  name: string;
  about: string;
  version: string;
  /** What it decides by; another one is a new version */
  model: string;
  hardware: string;
  /** Series that it has looked at */
  done: number;
  skipped: number;
  failed: number;
  /** Series that it has not looked at, failed ones included; none where it cannot work */
  waiting: number | null;
  statements: number;
  findings: number;
  /** Why it cannot work here, and what to do */
  problem: string;
  /** Workers look at new series by themselves */
  automatic: boolean;
  /** Of skipped and failed series, the most frequent */
  reasons: dicomlake__web__enriching__Reason[];
  work: WorkOut;
};

export type Enrichment = {
  enrichment_id: number;
  enricher: string;
  version: string;
  model: string;
  options: string | null;
  state: string;
  reason: string | null;
  annotations: number;
  findings: number;
  /** Where masks and the like lie */
  kept: string[] | null;
  worker: string | null;
  made: string;
  seconds: number | null;
  run_id: string;
  /** No later one supersedes what it states */
  counts: boolean;
};

export type Erase = {
  PatientID: string;
  /** Issuer of the PatientID */
  issuer?: string | null;
  /** StudyInstanceUID; all when absent */
  study?: string | null;
  /** The PatientID once more, as typed by hand */
  confirm: string;
  questions: string;
  /** Indexing may bring the patient back */
  allow_again: boolean;
};

export type ErasurePreview = {
  kind: string;
  studies: number;
  series: number;
  instances: number;
  rows: Record<string, number>;
  /** Series by the source that would bring them back */
  sources: Record<string, number>;
  /** Files of sources that are still there */
  files: number;
  /** Saved questions and charts that name the patient */
  questions: string[];
  /** Exports that held the patient */
  exports: Record<string, string>[];
  /** When the patient was erased before; empty: never */
  erased: string;
};

export type ErasureProof = {
  id: string;
  kind: string;
  /** Nothing was found, and every FHIR server was told */
  whole: boolean;
  /** Keyed digests of whom it was about */
  digests: string[];
  began: string;
  ended: string;
  lake_version: number;
  dicomlake: string;
  series: number;
  instances: number;
  removed: Record<string, number>;
  /** Files, bytes and values of the last look */
  swept: Record<string, number>;
  /** Where something was found all the same */
  left: Record<string, unknown>[];
  questions: string[];
  published: Record<string, string>;
  sources: Record<string, number>;
  source_files: number;
  exports: Record<string, string>[];
  outside: string[];
};

export type Event = {
  /** study, dose, condition, procedure, observation, medication, encounter, patient or document */
  lane: string;
  /** StudyInstanceUID, or the key of the fact or document */
  key: string;
  began: string | null;
  ended: string | null;
  /** How exactly the time is known */
  precision: string | null;
  title: string;
  text: string | null;
  code: string | null;
  number: number | null;
  unit: string | null;
  /** The study that it belongs to */
  StudyInstanceUID: string | null;
  source: string | null;
};

export type EvidenceOut = {
  /** Attribute path */
  path: string | null;
  /** The words as sent */
  text: string | null;
  /** SCHEME:VALUE that they mean */
  code: string | null;
  confidence: number | null;
  /** The row of a table or the rule that says so */
  rule: string | null;
};

export type Examined = {
  /** The condition: a JSON tree, or text; everything when left out */
  where?: Record<string, unknown> | string | null;
  level: "patient" | "study" | "series" | "instance";
  /** Of the lake */
  version?: number | null;
  /** Rows of each kind */
  limit: number;
};

export type ExportRow = {
  moment: string;
  role: string;
  what: string;
  rows: number | null;
};

export type FactsFolderOut = {
  name: string;
  /** What the lake calls where its files come from */
  source: string;
  done: "move" | "keep";
};

export type FactsJob = {
  /** GET, DELETE /api/jobs/{id}; nothing where nothing is new */
  job: string;
};

export type FactsOf = {
  source: string;
  kind: string;
  rows: number;
  patients: number;
  /** Of patients or orders with images */
  linked: number;
  first: string | null;
  last: string | null;
  imported: string | null;
};

export type FactsProgress = {
  stage: string;
  done: number;
  /** -1: not known */
  total: number;
  unit: string;
};

export type FactsTaken = {
  run_id: string;
  source: string;
  /** By kind */
  facts: Record<string, number>;
  documents: number;
  added: number;
  replaced: number;
  removed: number;
  unchanged: number;
  /** Of patients who were erased */
  left_out: number;
  /** Older than what removed them */
  outdated: number;
  /** To images, by patient, accession or study */
  linked: Record<string, number>;
  /** nobody and dangling: nobody is named; stranger and order: no images yet */
  unlinked: Record<string, number>;
  /** Lines that could not be read: GET /api/failures */
  failures: number;
  notes: string[];
  seconds: number;
};

export type FactsTask = {
  id: string;
  job: string;
  /** The watched folder; nothing for files that were sent */
  folder: string;
  source: string;
  state: "waiting" | "running" | "written" | "done" | "dead" | "cancelled";
  attempts: number;
  error: string;
  progress: FactsProgress | null;
  /** Counts, once it is done: facts, added, ... */
  result: Record<string, number | string>;
  created: string | null;
  ended: string | null;
};

export type FactsWork = {
  folders: FactsFolderOut[];
  tasks: FactsTask[];
};

export type FailedFrom = {
  stage: string | null;
  reason: string | null;
  objects: number;
  source: string;
};

export type Failure = {
  run_id: string | null;
  uri: string | null;
  size: number | null;
  stage: string | null;
  reason: string | null;
  met: string | null;
};

export type Failures = {
  version: number;
  total: number;
  reasons: dicomlake__web__explore__charts__Reason[];
  /** The same reasons, by where objects came from */
  sources: FailedFrom[];
  page: Failure[];
};

export type FaultOut = {
  enricher: string;
  version: string | null;
  model: string | null;
  run_id: string | null;
  made: string | null;
  rule: string | null;
  severity: string | null;
  path: string | null;
  text: string | null;
  value: string | null;
  expected: string | null;
  instances: number | null;
};

export type FederationOut = {
  site: string;
  least: number;
  sites: string[];
};

export type FillRate = {
  version: number;
  by: string;
  paths: string[];
  rows: FillRow[];
  /** All series that were found, also those in no group */
  whole: FillRow;
  seconds: number;
};

export type FillRow = {
  key: unknown;
  series: number;
  filled: number[];
};

export type Filling = {
  /** The condition: a JSON tree, or text; everything when left out */
  where?: Record<string, unknown> | string | null;
  level: "patient" | "study" | "series" | "instance";
  /** Of the lake */
  version?: number | null;
  by: string;
  /** The most frequent when left out */
  path: string[];
  /** The largest groups */
  limit: number;
};

export type FindingOut = {
  level: "ok" | "notice" | "error";
  what: string;
  /** What to do; nothing where nothing is to be done */
  advice: string;
};

export type FindingsOut = {
  version: number;
  measurements: Measurement[];
  segments: SegmentOut[];
};

export type FolderOut = {
  name: string;
  /** What the lake calls where its files come from */
  source: string;
  done: "move" | "keep";
  waiting: number;
  running: number;
  converted: number;
  /** Files that were refused, or failed for good */
  failed: number;
  /** The newest of its jobs; empty when there is none */
  job: string;
  /** When the newest job began */
  came: string | null;
};

export type Form = {
  text: string;
  series: number;
};

export type FormatOut = {
  name: string;
  about: string;
  converter: string;
};

export type FoundDocument = {
  document_key: string;
  patient_key: string | null;
  StudyInstanceUID: string | null;
  AccessionNumber: string | null;
  title: string | null;
  type: string | null;
  type_meaning: string | null;
  language: string | null;
  written: string | null;
  source: string | null;
  status: string | null;
  snippets: Snippet[];
};

export type GapRow = {
  device: string;
  day: string;
  began: string;
  ended: string;
  idle_min: number;
};

export type GapsOut = {
  version: number;
  seconds: number;
  untidy: Untidy[];
  gaps: GapRow[];
  pauses: PauseRow[];
  days: DayRow[];
};

export type Given = {
  pseudonyms: string[];
  /** Of [pseudonyms.NAME], if there are more */
  name: string;
};

export type GroupColumn = {
  path: string;
  /** Of auto the one that was chosen */
  bin: string | null;
  type: string;
};

export type Grouping = {
  keys: unknown[];
  value: number | null;
  /** Whether it stands for the groups beyond the limit */
  others: boolean;
};

export type Groups = {
  version: number;
  by: GroupColumn[];
  rows: Grouping[];
  seconds: number;
};

export type HeaderNode = {
  tag: string;
  path: string;
  keyword: string;
  name: string;
  vr: string;
  creator: string;
  private: boolean;
  depth: number;
  values: unknown[];
  /** Where bulk data are that were left out */
  bulk: string;
  bytes: number | null;
  items: HeaderNode[][];
};

export type HeaderOut = {
  version: number;
  SOPInstanceUID: string;
  /** DICOM JSON (PS3.18 Annex F) */
  json: Record<string, unknown>;
  tree: HeaderNode[];
};

export type Health = {
  status: "ok";
  version: string;
};

export type Histogram = {
  version: number;
  path: string;
  unit: string;
  bins: BinOut[];
};

export type HourRow = {
  /** 1: Monday */
  weekday: number;
  hour: number;
  busy_min: number;
  /** Begun in this hour */
  examinations: number;
  /** Such days between first and last, of all devices */
  days: number;
  share: number;
};

export type ImageOut = {
  SOPInstanceUID: string;
  frame: number;
  InstanceNumber: number | null;
  Rows: number;
  Columns: number;
  PhotometricInterpretation: string;
  color: boolean;
  BitsAllocated: number;
  BitsStored: number;
  HighBit: number;
  signed: boolean;
  floats: boolean;
  lossy: boolean;
  inverse: boolean;
  /** Lowest and highest value where there is no picture */
  padding: number[] | null;
  /** ms from one frame to the next */
  frame_time: number | null;
  laterality: string | null;
  view: string | null;
  /** mm between rows, and between columns */
  spacing: number[] | null;
  spacing_at: "patient" | "detector" | null;
  /** Image Position (Patient) */
  position: number[] | null;
  /** Image Orientation (Patient) */
  orientation: number[] | null;
  /** Patient Orientation */
  sides: string[];
  location: number | null;
  thickness: number | null;
  slope: number;
  intercept: number;
  unit: string;
  tables: dicomlake__web__explore__images__TableOut[];
  windows: WindowOut[];
  /** Dimension Index Values */
  place: number[];
};

export type ImagesOut = {
  version: number;
  StudyInstanceUID: string | null;
  SeriesInstanceUID: string | null;
  Modality: string | null;
  SeriesNumber: number | null;
  SeriesDescription: string | null;
  images: ImageOut[];
  /** There are more images than are listed */
  more: boolean;
  overlays: OverlayHead[];
};

export type InsideOut = {
  version: number;
  series_id: number;
  patient_key: string;
  StudyInstanceUID: string | null;
  SeriesInstanceUID: string | null;
  Modality: string | null;
  SOPClassUID: string | null;
  uri: string | null;
  /** Content items, nested by `children` */
  items: Record<string, unknown>[];
  segments: Record<string, unknown>[];
  channels: Record<string, unknown>[];
  dose_events: Record<string, unknown>[];
  dose_totals: Record<string, unknown>[];
};

export type InstanceHead = {
  SOPInstanceUID: string | null;
  SOPClassUID: string | null;
  InstanceNumber: number | null;
  TransferSyntaxUID: string | null;
  Rows: number | null;
  Columns: number | null;
  NumberOfFrames: number | null;
  size: number | null;
  problems: number | null;
};

export type JobDetails = {
  id: string;
  /** finished: over; failed: over, but some tasks failed for good */
  state: "waiting" | "running" | "finished" | "failed" | "cancelled";
  source: string;
  /** How many values of which attribute were asked for */
  asked: Record<string, number>;
  dates?: Dates | null;
  depth: "headers" | "complete" | "catalogue";
  priority: "now" | "today" | "later";
  keep: boolean;
  again: boolean;
  features: string[];
  label: string;
  created?: string | null;
  ended?: string | null;
  /** Tasks by state */
  tasks: Record<string, number>;
  progress: Progress;
  missing: MissingSummary;
};

export type JobOut = {
  id: string;
  /** finished: over; failed: over, but some tasks failed for good */
  state: "waiting" | "running" | "finished" | "failed" | "cancelled";
  source: string;
  /** How many values of which attribute were asked for */
  asked: Record<string, number>;
  dates?: Dates | null;
  depth: "headers" | "complete" | "catalogue";
  priority: "now" | "today" | "later";
  keep: boolean;
  again: boolean;
  features: string[];
  label: string;
  created?: string | null;
  ended?: string | null;
  /** Tasks by state */
  tasks: Record<string, number>;
  progress: Progress;
};

export type Judgement = {
  /** Of the request */
  n: number;
  what: "approve" | "refuse";
  comment: string;
};

export type LakeOut = {
  /** Name of its folder */
  name: string;
  /** Empty for those who see a part of it */
  path: string;
  version: number;
  totals: LakeTotals;
  /** When the newest series came */
  indexed: string | null;
  /** Of the tables */
  layout: number;
  /** What answers questions */
  engine: string;
  /** What could */
  engines: string[];
  /** The newest 100, newest first */
  versions: LakeVersion[];
  /** Whether somebody writes now */
  writing: boolean;
  /** Sources in the settings */
  sources: number;
};

export type LakeTotals = {
  patients: number;
  studies: number;
  series: number;
  instances: number;
  /** Objects that could not be read */
  failures: number;
};

export type LakeVersion = {
  version: number;
  when: string | null;
  what: string;
};

export type LeakOut = {
  kind: string;
  level: "error" | "warning" | "note";
  of: string;
  count: number;
  message: string;
  series: string[];
};

export type Link = {
  /** Short name, kept by this service; the same question has the same */
  id: string;
  /** Text that holds all of the question, for any service */
  packed: string;
};

export type Linked = {
  query: AskedRows;
  sentence: string;
};

export type LookOut = {
  /** Of the day; nothing where no file is new */
  job: string;
  /** How many of its files wait */
  tasks: number;
};

export type MappingFile = {
  name: string;
  /** It lies in the lake; else a watched folder names it */
  ours: boolean;
  /** YAML: docs/convert.md */
  text: string;
};

export type MappingOut = {
  name: string;
  /** It lies in the lake; else a watched folder names it */
  ours: boolean;
  /** YAML: docs/clinical.md */
  text: string;
};

export type MaskOut = {
  frame: number;
  segment: number | null;
  position: number[] | null;
  orientation: number[] | null;
  spacing: number[] | null;
  on: DrawnOn[];
};

export type Me = {
  signed_in: boolean;
  name: string;
  role: Role | null;
  /** The project whose series are seen; empty: the whole lake */
  project: string;
  /** What people call the project */
  title: string;
  /** Projects that can be chosen */
  projects: string[];
  /** Whether the lake is seen de-identified */
  deidentified: boolean;
  /** What the role allows here */
  may: string[];
  /** Counts of fewer patients are shown as 0; 0: exact counts */
  mask_below: number;
  /** Whether one can sign out */
  session: boolean;
  ways: Ways;
};

export type Measure = {
  what: "patients" | "studies" | "series" | "instances" | "min" | "max" | "mean" | "median" | "sum";
  /** Path of the number; lag too */
  of: string;
};

export type Measurement = {
  SOPInstanceUID: string;
  SeriesInstanceUID: string | null;
  Modality: string | null;
  path: string;
  /** SCHEME:VALUE of what was measured */
  code: string;
  concept: string;
  number: number;
  /** UCUM; nothing for numbers without one */
  unit: string;
  tracking: string;
  site: string;
  /** It is a measurement of an electrocardiogram */
  ecg: boolean;
};

export type MissingOut = {
  /** Keyword of the attribute */
  what: string;
  value: string;
  why: string;
  /** State of its task */
  state: string;
  attempts: number;
  /** Id of its task */
  id: string;
};

export type MissingSummary = {
  total: number;
  reasons: Record<string, number>;
};

export type Month = {
  month: string;
  samples: number;
  offset_s: number;
};

export type NewChart = {
  name: string;
  comment: string;
  /** Whether everybody sees it */
  shared: boolean;
  /** Vega-Lite, whose data are groups: docs/dashboards.md */
  spec: Record<string, unknown>;
};

export type NewCohort = {
  /** The condition: a JSON tree, or text; everything when left out */
  where?: Record<string, unknown> | string | null;
  level: "patient" | "study" | "series" | "instance";
  /** Of the lake */
  version?: number | null;
  /** Of the cohort */
  name: string;
  comment: string;
};

export type NewComment = {
  comment: string;
};

export type NewDataset = {
  /** NAME or NAME@VERSION */
  cohort: string;
  formats: ("dicom" | "nifti" | "png" | "waveforms" | "tables")[];
  /** Else that of the cohort */
  name: string;
  /** Of de-identification; identified: as it is */
  profile: string;
  /** Of [pseudonyms.NAME] */
  pseudonyms: string;
  layout: "plain" | "bids" | "monai" | "nnunet" | "federated";
  tables: "parquet" | "csv";
  waves: "parquet" | "npz";
  depth: 8 | 16;
  /** YAML: which structure is which label */
  labels: string;
  title: string;
  licence: string;
  site: string;
  /** A source of the settings, objects:NAME/PREFIX or dicom:NAME; else a folder of the service */
  target: string;
};

export type NewDecision = {
  what: "include" | "exclude" | "flag" | "comment";
  level: "series" | "study" | "patient";
  /** UIDs or PatientIDs */
  of: string[];
  reason: string;
  flag: string;
};

export type NewEstimate = {
  /** NAME or NAME@VERSION */
  cohort: string;
  formats: ("dicom" | "nifti" | "png" | "waveforms" | "tables")[];
};

export type NewFactsLook = {
  /** Its name in the settings: [facts.NAME] */
  folder: string;
};

export type NewJob = {
  /** Name of the source */
  source: string;
  /** Any number of values; repeated ones count once */
  accession_numbers: string[];
  /** Any number of values; repeated ones count once */
  patient_ids: string[];
  /** Any number of values; repeated ones count once */
  study_uids: string[];
  /** Any number of values; repeated ones count once */
  series_uids: string[];
  dates: Dates | null;
  /** catalogue: only list what there is; headers: the cheapest way to the headers of every series; complete: all objects; that of the source when left out */
  depth: "headers" | "complete" | "catalogue" | null;
  /** Parts of the documents; all when there are none */
  features: string[];
  /** now: before anything else; later: after it */
  priority: "now" | "today" | "later";
  /** Keep the objects, too; as the source says when left out */
  keep: boolean | null;
  /** Also what the lake holds already */
  again: boolean;
  /** A name for people; no patient data */
  label: string;
};

export type NewLook = {
  /** Its name in the settings: [convert.NAME] */
  folder: string;
};

export type NewMapping = {
  /** YAML: docs/clinical.md */
  text: string;
};

export type NewMappingFile = {
  /** YAML: docs/convert.md */
  text: string;
};

export type NewQuery = {
  name: string;
  comment: string;
  tags: string[];
  /** Whether everybody sees it */
  shared: boolean;
  query: AskedRows;
};

export type NewRequest = {
  purpose: string;
  /** Number of the vote */
  ethics: string;
  /** Of de-identification */
  profile: string;
  /** Last day */
  valid_until: string;
  version?: number | null;
};

export type NewRun = {
  /** Only series that meet this question */
  where?: Record<string, unknown> | string | null;
  /** Also what it has looked at */
  again: boolean;
  /** New studies come before the others where nothing is said */
  priority?: "now" | "today" | "later" | null;
};

export type NewSession = {
  token: string;
};

export type NewSplit = {
  by: "patient" | "site" | "device" | "model" | "source" | "date";
  fractions: Record<string, number>;
  values: Record<string, string>;
  dates: Record<string, string>;
  stratify: string[];
  seed: number;
  folds: number;
  comment: string;
};

export type NewWithdrawal = {
  PatientID: string[];
  /** Any when left out */
  issuer?: string | null;
  reason: string;
  undo: boolean;
};

export type NewsOut = {
  any: boolean;
  counts: CohortCounts;
  /** Series that were read again since */
  changed: number;
  /** Series that the question does not find any more */
  lost: number;
  /** Series that are not in the lake any more */
  missing: number;
  lake_version: number;
  /** Some of what is new */
  series: string[];
};

export type OpenedHour = {
  weekday: number;
  hour: number;
  openings: number;
};

export type OtherStudy = {
  patient_key: string;
  StudyInstanceUID: string | null;
  StudyDate: string | null;
  StudyTime: string | null;
  StudyDescription: string | null;
  AccessionNumber: string | null;
  PatientAge: string | null;
  ReferringPhysicianName: string | null;
  InstitutionName: string | null;
  modalities: string[] | null;
  body_parts: string[] | null;
  series: number;
  instances: number;
  /** Days after this study; negative: before it */
  days: number | null;
};

export type OverlayHead = {
  SOPInstanceUID: string;
  StudyInstanceUID: string | null;
  SeriesInstanceUID: string | null;
  Modality: string | null;
  label: string;
  segments: DrawnOut[];
};

export type OverlayOut = {
  version: number;
  SOPInstanceUID: string;
  masks: MaskOut[];
  contours: ContourOut[];
  shapes: ShapeOut[];
  Rows: number | null;
  Columns: number | null;
  bits: number | null;
  /** Value of a pixel that is wholly inside */
  most: number | null;
  /** Values of pixels are numbers of segments */
  labels: boolean;
};

export type Pair = {
  header: string | null;
  seen: string;
  series: number;
};

export type Parsed = {
  text: string;
  /** With where, level, show, order, limit */
  json: Record<string, unknown>;
  /** In plain words */
  sentence: string;
  /** Attribute paths that it asks */
  paths: string[];
};

export type Part = Record<string, unknown>;

export type PastExport = {
  name: string;
  /** Empty: of a question */
  cohort: string;
  version: number | null;
  made: string;
  where: string;
  series: number;
};

export type PatientHead = {
  patient_key: string;
  PatientID: string | null;
  IssuerOfPatientID: string | null;
  PatientName: string | null;
  PatientBirthDate: string | null;
  PatientSex: string | null;
  studies: number;
  series: number;
  instances: number;
};

export type PatientOut = {
  patient_key: string;
  PatientID: string | null;
  IssuerOfPatientID: string | null;
  PatientName: string | null;
  PatientBirthDate: string | null;
  PatientSex: string | null;
  studies: number;
  series: number;
  instances: number;
  version: number;
  /** Studies, newest first */
  all_studies: StudyHead[];
};

export type PauseRow = {
  low: number;
  high: number | null;
  pauses: number;
  /** Up to an hour, between two patients */
  turnovers: number;
};

export type People = {
  people: PersonIn[];
  /** Of [pseudonyms.NAME], if there are more */
  name: string;
};

export type PersonIn = {
  PatientID: string;
  IssuerOfPatientID: string;
};

export type PersonOut = {
  pseudonym: string;
  PatientID: string | null;
  IssuerOfPatientID: string | null;
};

export type Piece = {
  text: string;
  hit: boolean;
};

export type PlanIn = {
  profile: string;
  /** Only series that match */
  where?: Record<string, unknown> | string | null;
  /** With a value before and after */
  examples: boolean;
};

export type PlanOut = {
  profile: ProfileOut;
  /** Attributes by what happens to them */
  totals: Record<string, number>;
  attributes: PlannedOut[];
};

export type PlannedOut = {
  path: string;
  name: string;
  vr: string;
  objects: number;
  /** Letter of PS3.15 Table E.1-1, empty outside of it */
  action: string;
  what: string;
  why: string;
  before: string;
  after: string;
};

export type PreviewOut = {
  SOPInstanceUID: string;
  /** Why it is searched for text; nothing when it is not */
  why: string;
  /** Why it would go into quarantine; nothing when it would not */
  problem: string;
  /** Frames that were searched; boxes are for all frames */
  frames: number[];
  boxes: BoxOut[];
  notes: string[];
  /** The frame that is shown */
  frame: number | null;
  /** The frame with lines around boxes: PNG, Base64 */
  before: string | null;
  /** The frame as it would be: PNG, Base64 */
  after: string | null;
};

export type Problem = {
  type: string;
  title: string;
  status: number;
  detail: string;
  /** Of a question: the character, from 0 */
  position: number | null;
  /** Of a question: the condition in the JSON tree */
  place: string | null;
  /** Names that may be meant */
  near: string[] | null;
};

export type ProblemOut = {
  patients: number;
  studies: number;
  series: number;
  instances: number;
  /** Attribute path; empty: the object as a whole */
  path: string;
  vr: string;
  problem: string;
};

export type ProfileDetails = {
  name: string;
  title: string;
  options: string[];
  codes: string[];
  /** removed, modified or kept */
  dates: string;
  /** Markdown */
  statement: string;
};

export type ProfileOut = {
  name: string;
  title: string;
  options: string[];
  codes: string[];
  /** removed, modified or kept */
  dates: string;
};

export type Progress = {
  /** Tasks that are over */
  done: number;
  /** Tasks so far */
  total: number;
  /** done of total, from 0 to 1 */
  fraction: number;
};

export type ProvenanceOut = {
  version: number;
  /** The newest first */
  enrichments: Enrichment[];
};

export type QualityGroup = {
  key: string | null;
  studies: number;
  series: number;
};

export type QualityOut = {
  layout: number;
  product: string;
  made: string;
  version: number;
  where: string;
  level: string;
  by: string;
  counts: Totals;
  groups: QualityGroup[];
  attributes: AttributeShare[];
  modality: Part;
  body_region: Region;
  laterality: Sides;
  sizes: Part;
  declared: Part;
  checked: Checked[];
  findings: RuleBroken[];
  findings_by: RuleByGroup[];
  anatomy: Anatomy;
  clocks: Clock[];
  trend: Part[];
  seconds: number;
};

export type Refusal = {
  file: string;
  why: string;
};

export type Region = {
  images: number;
  missing: number;
  standard: number;
  mapped: number;
  unknown: number;
};

export type Report = {
  SOPInstanceUID: string;
  SeriesInstanceUID: string | null;
  title: string;
  CompletionFlag: string | null;
  VerificationFlag: string | null;
  lines: ReportLine[];
};

export type ReportLine = {
  depth: number;
  type: string | null;
  concept: string;
  value: string;
};

export type RequestOut = {
  n: number;
  version: number;
  by: string;
  at: string;
  purpose: string;
  ethics: string;
  profile: string;
  valid_until: string;
  state: "open" | "approved" | "refused";
  /** Whether its last day has gone by */
  over: boolean;
  decided_by: string;
  decided_at: string | null;
  comment: string;
};

export type Retried = {
  /** Their ids; when left out, all that fit the rest */
  ids: string[];
  source: string;
  kind: string;
};

export type Role = "partner" | "viewer" | "researcher" | "steward" | "admin";

export type RoleRow = {
  role: string;
  openings: number;
  studies: number;
  questions: number;
  exports: number;
  last: string | null;
};

export type RuleBroken = {
  rule: string;
  severity: "error" | "warning" | "note";
  text: string;
  enricher: string;
  series: number;
  studies: number;
  rows: number;
  paths: string[];
  /** Finds these series */
  question: string;
};

export type RuleByGroup = {
  group: number;
  rule: string;
  severity: string;
  series: number;
};

export type RunOut = {
  /** Nothing where no task is new */
  job: string;
  /** How many tasks are new */
  tasks: number;
  advice: string;
};

export type SavedDetails = {
  id: string;
  /** Of the question; every change makes a new one */
  version: number;
  name: string;
  comment: string;
  tags: string[];
  shared: boolean;
  owner: string;
  query: AskedRows;
  sentence: string;
  saved: string;
  /** All versions, newest first */
  history: SavedOut[];
};

export type SavedOut = {
  id: string;
  /** Of the question; every change makes a new one */
  version: number;
  name: string;
  comment: string;
  tags: string[];
  shared: boolean;
  owner: string;
  query: AskedRows;
  sentence: string;
  saved: string;
};

export type Section = {
  title: string | null;
  code: string | null;
  text: string | null;
};

export type SectionOut = {
  name: string;
  /** Why there is no answer; empty: there is one */
  refused: string;
  counts: Record<string, [number, number | null]>;
  by: Record<string, ([string, [number, number | null]])[]>;
};

export type SegmentOut = {
  SOPInstanceUID: string;
  SeriesInstanceUID: string | null;
  Modality: string | null;
  number: number | null;
  label: string;
  type: string;
  laterality: string;
  algorithm_type: string;
  algorithm_name: string;
  frames: number | null;
  contours: number | null;
  /** mL */
  volume: number | null;
  volume_problem: string;
};

export type SeriesDifference = {
  SeriesInstanceUID: string;
  StudyInstanceUID: string;
  PatientID: string;
  Modality: string;
  side: "only_a" | "only_b";
  why: string;
  reason: string;
};

export type SeriesHead = {
  SeriesInstanceUID: string | null;
  SeriesNumber: number | null;
  Modality: string | null;
  SeriesDate: string | null;
  SeriesTime: string | null;
  SeriesDescription: string | null;
  ProtocolName: string | null;
  BodyPartExamined: string | null;
  Laterality: string | null;
  Manufacturer: string | null;
  ManufacturerModelName: string | null;
  StationName: string | null;
  SOPClassUID: string | null;
  SliceThickness: number | null;
  Rows: number | null;
  Columns: number | null;
  instances: number;
  complete: string | null;
  source: string | null;
  indexed: string | null;
};

export type SeriesOut = {
  version: number;
  /** The row of the table series, without nulls */
  row: Record<string, unknown>;
  elements: ElementOut[];
  /** Instances, by number */
  page: InstanceHead[];
};

export type SeriesPage = {
  total: number;
  offset: number;
  /** Series by state */
  states: Record<string, number>;
  /** Series by flag */
  flags: Record<string, number>;
  splits: Record<string, number>;
  rows: SeriesRow[];
};

export type SeriesRow = {
  SeriesInstanceUID: string;
  StudyInstanceUID: string;
  PatientID: string;
  patient_key: string;
  Modality: string;
  SeriesDescription: string;
  StudyDescription: string;
  StudyDate: string;
  instances: number;
  state: "included" | "excluded" | "withdrawn";
  reason: string;
  flag: string;
  split: string | null;
  fold: number | null;
  /** Whether the lake has it still */
  here: boolean;
  /** Whether it has images */
  pictured: boolean;
};

export type ShapeOut = {
  type: string;
  /** Column, row, from 1; or parts of the view */
  points: number[];
  /** Points are parts of the view */
  relative: boolean;
  filled: boolean;
  text: string;
  on: DrawnOn[];
};

export type Shares = {
  of: number;
  filled: number;
};

export type Sides = {
  paired: number;
  given: number;
  contradicting: number;
  missing: number;
};

export type Snippet = {
  /** affirmed, negated or uncertain */
  state: string;
  pieces: Piece[];
};

export type SoonRow = {
  by: "all" | "modality" | "device";
  name: string | null;
  /** Made since the log began */
  studies: number;
  opened: number;
  never: number;
  /** Opened before the last picture */
  before_end: number;
  /** Lower quartile of hours until the first opening */
  low_h: number | null;
  median_h: number | null;
  high_h: number | null;
};

export type SourceOut = {
  name: string;
  kind: string;
  paused: boolean;
  /** Why it is paused */
  why: string;
  /** Not asked before */
  until?: string | null;
  /** Associations or connections that it may have */
  allowed: number;
  in_use: number;
};

export type SourceTask = {
  id: string;
  kind: string;
  /** Keyword of the attribute that it is about */
  what: string;
  value: string;
  state: string;
  priority: number;
  attempts: number;
  error: string;
  created?: string | null;
  started?: string | null;
  ended?: string | null;
  source: string;
};

export type SplitShare = {
  split: string | null;
  fold: number | null;
  patients: number;
  studies: number;
  series: number;
};

export type SqlOut = {
  version: number;
  columns: Column[];
  rows: unknown[][];
  /** Whether there are more rows than the limit */
  more: boolean;
  seconds: number;
};

export type Statement = {
  sql: string;
  limit: number;
  timeout_s: number;
  version?: number | null;
};

export type StatementOut = {
  enricher: string;
  version: string | null;
  model: string | null;
  run_id: string | null;
  made: string | null;
  kind: string | null;
  label: string | null;
  /** SCHEME:VALUE */
  structure: string | null;
  structure_meaning: string | null;
  /** SCHEME:VALUE */
  laterality: string | null;
  /** SCHEME:VALUE, of equal codes always the same one */
  code: string | null;
  /** As sent */
  code_value: string | null;
  /** As sent */
  code_scheme: string | null;
  /** As sent */
  code_meaning: string | null;
  name: string | null;
  /** The same in other codes */
  also: string[] | null;
  confidence: number | null;
  /** How well the code fits (ISO/TR 12300) */
  equivalence: string | null;
  evidence: EvidenceOut[] | null;
  /** mL */
  volume: number | null;
  intensity: number | null;
  /** false: cut off by the field of view */
  complete: boolean | null;
};

export type StatementsOut = {
  version: number;
  /** Surest first, by kind */
  annotations: StatementOut[];
  /** Worst first */
  findings: FaultOut[];
};

export type StepOut = {
  /** In the tree: "" is all of it, "and[0]" its first part */
  place: string;
  depth: number;
  kind: string;
  text: string;
  sentence: string;
  /** What it finds by itself */
  alone: Totals;
  /** What is left after it and what stands before it in its group */
  kept: Totals;
};

export type Steps = {
  version: number;
  level: "patient" | "study" | "series" | "instance";
  /** Of the lake */
  whole: Totals;
  steps: StepOut[];
  seconds: number;
};

export type Stopped = {
  stopped: number;
};

export type StudyAnswer = {
  /** Digest of the question */
  study: string;
  name: string;
  lake_version: number;
  /** Numbers of fewer patients are not told */
  least: number;
  sections: SectionOut[];
};

export type StudyExport = {
  study: string;
  /** waiting, refused, making, stopped or finished */
  state: string;
  cohort: string;
  schema: Record<string, unknown> | null;
};

export type StudyHead = {
  patient_key: string;
  StudyInstanceUID: string | null;
  StudyDate: string | null;
  StudyTime: string | null;
  StudyDescription: string | null;
  AccessionNumber: string | null;
  PatientAge: string | null;
  ReferringPhysicianName: string | null;
  InstitutionName: string | null;
  modalities: string[] | null;
  body_parts: string[] | null;
  series: number;
  instances: number;
};

export type StudyOut = {
  patient_key: string;
  StudyInstanceUID: string | null;
  StudyDate: string | null;
  StudyTime: string | null;
  StudyDescription: string | null;
  AccessionNumber: string | null;
  PatientAge: string | null;
  ReferringPhysicianName: string | null;
  InstitutionName: string | null;
  modalities: string[] | null;
  body_parts: string[] | null;
  series: number;
  instances: number;
  version: number;
  patient: PatientHead;
  /** Series, by number */
  all_series: SeriesHead[];
  reports: Report[];
  /** Other studies of the patient, newest first */
  others: OtherStudy[];
};

export type StudyRow = {
  section: string;
  by: string;
  group: string;
  cells: string[];
  total: string;
};

export type StudyTable = {
  study: string;
  digest: string;
  sites: string[];
  rows: StudyRow[];
  /** Sites without an answer, and why */
  away: Record<string, string>;
};

export type StudyText = {
  /** TOML, YAML or JSON */
  text: string;
};

export type TaskOut = {
  id: string;
  kind: string;
  /** Keyword of the attribute that it is about */
  what: string;
  value: string;
  state: string;
  priority: number;
  attempts: number;
  error: string;
  created?: string | null;
  started?: string | null;
  ended?: string | null;
};

export type TermDetails = {
  /** As questions write it; groups begin with @ and are not asked */
  path: string;
  /** What people call it */
  label: string;
  /** Last part of the path */
  keyword: string;
  tag: string;
  vr: string;
  kind: "group" | "text" | "number" | "date" | "time" | "datetime" | "age" | "code" | "sequence" | "binary" | "unknown";
  unit: string;
  /** Private creator, or empty */
  creator: string;
  /** That have it with a value; of groups, those of its largest */
  patients: number;
  studies: number;
  series: number;
  /** That have it inside; null for attributes of headers */
  objects: number | null;
  has_children: boolean;
  /** Series with a value as a share of all series, from 0 to 1 */
  fill: number;
  /** Its most frequent values, or its range */
  summary: string;
  /** Nodes around it, from the top */
  breadcrumb: Crumb[];
  definition: string;
  /** Series that have it without a value only */
  empty: number;
  /** Different values, where they are counted */
  distinct: number | null;
  /** Lower end of the range, as people read it */
  lowest: string;
  highest: string;
  /** The most frequent ones */
  values: ValueOut[];
  histogram: BinOut[];
  /** Value representations it was sent with */
  vrs: Form[];
  units: Form[];
  /** What reports call it */
  names: Form[];
  /** What conditions may ask of it */
  operators: string[];
};

export type TermOut = {
  /** As questions write it; groups begin with @ and are not asked */
  path: string;
  /** What people call it */
  label: string;
  /** Last part of the path */
  keyword: string;
  tag: string;
  vr: string;
  kind: "group" | "text" | "number" | "date" | "time" | "datetime" | "age" | "code" | "sequence" | "binary" | "unknown";
  unit: string;
  /** Private creator, or empty */
  creator: string;
  /** That have it with a value; of groups, those of its largest */
  patients: number;
  studies: number;
  series: number;
  /** That have it inside; null for attributes of headers */
  objects: number | null;
  has_children: boolean;
  /** Series with a value as a share of all series, from 0 to 1 */
  fill: number;
  /** Its most frequent values, or its range */
  summary: string;
  /** Nodes around it, from the top */
  breadcrumb: Crumb[];
};

export type Terms = {
  version: number;
  total: number;
  terms: TermOut[];
};

export type TimelineOut = {
  version: number;
  patient: PatientHead;
  events: Event[];
  /** Events that are not shown */
  more: number;
};

export type Totals = {
  patients: number;
  studies: number;
  series: number;
  instances: number;
};

export type Unlisted = {
  patients: number;
  studies: number;
  series: number;
  instances: number;
  path: string;
  value: string;
  /** Nothing else than what is listed is allowed */
  enumerated: boolean;
  /** Where the Standard lists the values */
  place: string;
};

export type Untidy = {
  reason: string;
  series: number;
  /** Whether they are counted nevertheless */
  kept: boolean;
};

export type UserRow = {
  name: string;
  openings: number;
  studies: number;
  questions: number;
  exports: number;
  last: string | null;
};

export type UtilisationOut = {
  version: number;
  seconds: number;
  untidy: Untidy[];
  hours: HourRow[];
};

export type ValueOut = {
  /** As questions write it; of codes SCHEME:VALUE */
  value: unknown;
  /** As people read it */
  label: string;
  patients: number;
  series: number;
};

export type Values = {
  version: number;
  path: string;
  values: ValueOut[];
  /** Whether there are more than these */
  more: boolean;
};

export type ViewerOut = {
  installed: boolean;
  /** Empty when it is not installed */
  version: string;
  /** Where it is served */
  path: string;
};

export type Wanted = {
  /** The condition: a JSON tree, or text; everything when left out */
  where?: Record<string, unknown> | string | null;
  level: "patient" | "study" | "series" | "instance";
  /** Of the lake */
  version?: number | null;
  by: (string | ByIn)[];
  measure: Measure;
  /** The largest groups */
  limit: number;
  /** And the rest of them as one more */
  others: boolean;
};

export type WantedPreview = {
  SOPInstanceUID: string;
  /** all: whatever it is */
  look: "suspected" | "all";
  policy: "blank_all_text" | "blank_identifying_text";
};

export type WaveformOut = {
  group: number;
  label: string;
  leads: string[];
  units: string[];
  /** Hz */
  SamplingFrequency: number;
  /** ms from the acquisition time */
  offset: number;
  /** Per channel, as recorded */
  samples: number;
  /** Per channel, as given */
  points: number;
  samples_per_point: number;
  notes: string[];
  /** null where nothing was measured */
  channels: ((number | null)[])[];
};

export type Ways = {
  /** With an API token */
  token: boolean;
  /** With an account: what to call it; empty where there is none */
  oidc: string;
};

export type Whom = {
  PatientID: string;
  /** Issuer of the PatientID */
  issuer?: string | null;
  /** StudyInstanceUID; all when absent */
  study?: string | null;
};

export type WindowOut = {
  center: number;
  width: number;
  function: string;
  /** Its explanation */
  name: string;
};

export type WithdrawalOut = {
  patients: number;
  /** Patients whom the lake does not have */
  unknown: number;
  /** Series that each cohort loses */
  cohorts: Record<string, number>;
  exports: PastExport[];
};

export type Withdrawn = {
  PatientID: string;
  issuer: string | null;
  by: string;
  at: string;
  reason: string;
};

export type WorkOut = {
  /** Of its tasks, for GET /api/tasks and POST /api/tasks/retry */
  kind: string;
  waiting: number;
  running: number;
  /** Tasks that failed for good */
  failed: number;
  /** Over the last quarter of an hour */
  series_per_minute: number | null;
  /** For what is queued, at the pace of lately */
  seconds_left: number | null;
  /** What to do when nobody works; nothing where nothing is */
  advice: string;
};

export type Written = {
  text?: string | null;
  json?: Record<string, unknown> | null;
  /** Of the sentence */
  language: "en" | "de";
};

export type dicomlake__web__enriching__Reason = {
  state: "done" | "skipped" | "failed";
  reason: string;
  series: number;
};

export type dicomlake__web__explore__charts__Reason = {
  stage: string | null;
  reason: string | null;
  objects: number;
};

export type dicomlake__web__explore__images__TableOut = {
  kind: "modality" | "voi";
  /** Value that the first entry is for */
  first: number;
  entries: number[] | null;
  /** Where entries are below the instance, if not here */
  bulk: string | null;
  bits: number;
  explanation: string;
  type: string;
};

export type dicomlake__web__explore__lakes__TableOut = {
  name: string;
  files: number;
  rows: number;
  bytes: number;
  version: number;
};

/** What comes back, by method and path. */
export type Answers = {
  "GET /api/activity/access": AccessOut;
  "GET /api/activity/devices": DevicesOut;
  "GET /api/activity/gaps": GapsOut;
  "GET /api/activity/utilisation": UtilisationOut;
  "POST /api/aggregate": Groups;
  "GET /api/audit": AuditPage;
  "GET /api/charts": ChartOut[];
  "POST /api/charts": ChartOut;
  "POST /api/charts/data": Drawn;
  "DELETE /api/charts/{id}": Changed;
  "GET /api/charts/{id}": ChartDetails;
  "PUT /api/charts/{id}": ChartOut;
  "GET /api/cohorts": CohortOut[];
  "POST /api/cohorts": CohortOut;
  "GET /api/cohorts/{name}": CohortDetails;
  "GET /api/cohorts/{name}/check": LeakOut[];
  "GET /api/cohorts/{name}/compare": CohortsCompared;
  "POST /api/cohorts/{name}/decisions": Decision;
  "GET /api/cohorts/{name}/news": NewsOut;
  "POST /api/cohorts/{name}/requests": RequestOut;
  "PUT /api/cohorts/{name}/requests": RequestOut;
  "GET /api/cohorts/{name}/series": SeriesPage;
  "POST /api/cohorts/{name}/split": CohortOut;
  "POST /api/cohorts/{name}/versions": CohortOut;
  "GET /api/common": Common;
  "GET /api/compare": Compared;
  "POST /api/conformance": ConformanceOut;
  "GET /api/convert": Converting;
  "POST /api/convert": LookOut;
  "POST /api/convert/files": Converted;
  "GET /api/convert/mappings": MappingFile[];
  "DELETE /api/convert/mappings/{name}": MappingFile;
  "PUT /api/convert/mappings/{name}": MappingFile;
  "GET /api/datasets": DatasetOut[];
  "POST /api/datasets": DatasetOut;
  "GET /api/datasets/choices": DatasetChoices;
  "POST /api/datasets/estimate": DatasetEstimate;
  "DELETE /api/datasets/{name}": DatasetOut;
  "GET /api/datasets/{name}": DatasetDetails;
  "GET /api/datasets/{name}/card": unknown;
  "POST /api/datasets/{name}/resume": DatasetOut;
  "POST /api/deid/plan": PlanOut;
  "POST /api/deid/preview": PreviewOut;
  "GET /api/deid/profiles": ProfileOut[];
  "GET /api/deid/profiles/{name}": ProfileDetails;
  "GET /api/documents": DocumentsOut;
  "GET /api/documents/{document_key}": DocumentOut;
  "POST /api/dose/alarms/{id}": DoseRows;
  "GET /api/dose/overview": DoseOverview;
  "POST /api/dose/overview": DoseOverview;
  "GET /api/dose/patients/{patient_key}": DoseRows;
  "GET /api/dose/report": unknown;
  "GET /api/dose/{name}": DoseRows;
  "POST /api/dose/{name}": DoseRows;
  "GET /api/enrichers": EnricherOut[];
  "DELETE /api/enrichers/{name}/runs": Changed;
  "POST /api/enrichers/{name}/runs": RunOut;
  "GET /api/erasures": ErasureProof[];
  "POST /api/erasures": ErasureProof;
  "POST /api/erasures/preview": ErasurePreview;
  "GET /api/facts": FactsOf[];
  "POST /api/facts": FactsTaken;
  "POST /api/facts/look": FactsJob;
  "GET /api/facts/mappings": MappingOut[];
  "DELETE /api/facts/mappings/{name}": unknown;
  "PUT /api/facts/mappings/{name}": MappingOut;
  "GET /api/facts/tasks": FactsWork;
  "POST /api/facts/tasks": FactsJob;
  "GET /api/failures": Failures;
  "GET /api/federation": FederationOut;
  "POST /api/federation/answer": StudyAnswer;
  "POST /api/federation/ask": StudyTable;
  "POST /api/federation/export": StudyExport;
  "GET /api/fill-rate": FillRate;
  "POST /api/fill-rate": FillRate;
  "GET /api/health": Health;
  "GET /api/instances/{SOPInstanceUID}/header": HeaderOut;
  "GET /api/instances/{SOPInstanceUID}/inside": InsideOut;
  "GET /api/instances/{SOPInstanceUID}/overlay": OverlayOut;
  "GET /api/instances/{SOPInstanceUID}/waveform": WaveformOut;
  "GET /api/jobs": JobOut[];
  "POST /api/jobs": JobOut;
  "DELETE /api/jobs/{id}": Changed;
  "GET /api/jobs/{id}": JobDetails;
  "GET /api/jobs/{id}/documents": Record<string, unknown>[];
  "GET /api/jobs/{id}/events": unknown;
  "GET /api/jobs/{id}/missing": MissingOut[];
  "POST /api/jobs/{id}/retry": Changed;
  "GET /api/jobs/{id}/tasks": TaskOut[];
  "GET /api/lake": LakeOut;
  "GET /api/lake/checkup": Checkup;
  "GET /api/lake/tables": dicomlake__web__explore__lakes__TableOut[];
  "POST /api/login": Me;
  "GET /api/login/done": unknown;
  "GET /api/login/start": unknown;
  "POST /api/logout": Me;
  "GET /api/me": Me;
  "POST /api/me/project": Me;
  "GET /api/patients/{patient_key}": PatientOut;
  "GET /api/patients/{patient_key}/timeline": TimelineOut;
  "POST /api/pause": SourceOut[];
  "GET /api/permalink": Linked;
  "POST /api/permalink": Link;
  "POST /api/pseudonyms": PersonOut[];
  "POST /api/pseudonyms/back": PersonOut[];
  "GET /api/quality": QualityOut;
  "GET /api/quality/report": unknown;
  "GET /api/queries": SavedOut[];
  "POST /api/queries": SavedOut;
  "DELETE /api/queries/{id}": Changed;
  "GET /api/queries/{id}": SavedDetails;
  "PUT /api/queries/{id}": SavedOut;
  "POST /api/query": AnswerOut;
  "POST /api/query/count": Counts;
  "POST /api/query/export": unknown;
  "POST /api/query/parse": Parsed;
  "POST /api/query/steps": Steps;
  "DELETE /api/query/{id}": Stopped;
  "GET /api/query/{id}/events": unknown;
  "POST /api/resume": SourceOut[];
  "GET /api/schemas/document.json": unknown;
  "GET /api/schemas/document.xsd": unknown;
  "GET /api/series/{SeriesInstanceUID}": SeriesOut;
  "GET /api/series/{SeriesInstanceUID}/images": ImagesOut;
  "GET /api/series/{SeriesInstanceUID}/provenance": ProvenanceOut;
  "GET /api/series/{SeriesInstanceUID}/statements": StatementsOut;
  "GET /api/sources": SourceOut[];
  "GET /api/sources/{name}/check": CheckOut[];
  "POST /api/sources/{name}/pause": SourceOut;
  "POST /api/sources/{name}/resume": SourceOut;
  "POST /api/sql": SqlOut;
  "GET /api/status": Record<string, unknown>;
  "GET /api/studies/{StudyInstanceUID}": StudyOut;
  "GET /api/studies/{StudyInstanceUID}/findings": FindingsOut;
  "GET /api/tasks": SourceTask[];
  "POST /api/tasks/retry": Changed;
  "GET /api/viewer": ViewerOut;
  "GET /api/vocabulary": Terms;
  "GET /api/vocabulary/histogram": Histogram;
  "GET /api/vocabulary/node": TermDetails;
  "GET /api/vocabulary/values": Values;
  "GET /api/withdrawals": Withdrawn[];
  "POST /api/withdrawals": WithdrawalOut;
  "GET /metrics": unknown;
};
