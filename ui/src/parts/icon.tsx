/** Small drawings, one stroke width, in the colour of the text around them. */

const PATHS = {
  lake: "M2 7c2.5-2.200 5-2.200 7.5 0s5 2.200 7.5 0 M2 11.5c2.5-2.200 5-2.200 7.5 0s5 2.200 7.5 0 M2 16c2.5-2.200 5-2.200 7.5 0s5 2.200 7.5 0",
  sun: "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7z M10 2v1.5 M10 16.5V18 M2 10h1.5 M16.5 10H18 M4.300 4.300l1.100 1.100 M14.600 14.600l1.100 1.100 M4.300 15.7l1.100-1.100 M14.600 5.400l1.100-1.100",
  moon: "M16.5 11.5A7 7 0 0 1 8.5 3.5a7 7 0 1 0 8 8z",
  screen: "M3 4h14v9H3z M7.5 16.5h5 M10 13v3.5",
  search: "M9 3.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11z M13 13l4 4",
  plus: "M10 4v12 M4 10h12",
  close: "M5 5l10 10 M15 5L5 15",
  right: "M8 5l5 5-5 5",
  down: "M5 8l5 5 5-5",
  up: "M5 12l5-5 5 5",
  star: "M10 3l2.200 4.5 4.900.7-3.600 3.5.9 4.900L10 14.200l-4.400 2.400.9-4.900L2.900 8.200l4.900-.7z",
  eye: "M2 10s3-5.5 8-5.5S18 10 18 10s-3 5.5-8 5.5S2 10 2 10z M10 8a2 2 0 1 0 0 4 2 2 0 0 0 0-4z",
  mute: "M2 10s3-5.5 8-5.5S18 10 18 10s-3 5.5-8 5.5S2 10 2 10z M4 16L16 4",
  more: "M5 10h.01 M10 10h.01 M15 10h.01",
  grip: "M8 5h.01 M12 5h.01 M8 10h.01 M12 10h.01 M8 15h.01 M12 15h.01",
  undo: "M7 5L3.5 8.5 7 12 M4 8.5h7.5a4 4 0 0 1 0 8H9",
  redo: "M13 5l3.5 3.5L13 12 M16 8.5H8.5a4 4 0 0 0 0 8H11",
  link: "M8.5 11.5a3 3 0 0 0 4.300 0l2.7-2.7a3 3 0 0 0-4.300-4.300l-1 1 M11.5 8.5a3 3 0 0 0-4.300 0L4.5 11.200a3 3 0 0 0 4.300 4.300l1-1",
  save: "M4 4h9.5L16 6.5V16H4z M7 4v4h5V4 M7 16v-4h6v4",
  folder: "M3 5h5l1.5 2H17v9H3z",
  file: "M5 3h6.5L15 6.5V17H5z M11 3v4h4",
  down_to: "M10 3v9 M6 8.5l4 4 4-4 M4 16h12",
  up_to: "M10 12V3 M6 6.5l4-4 4 4 M4 16h12",
  columns: "M4 4h12v12H4z M8 4v12 M12 4v12",
  pause: "M7 5v10 M13 5v10",
  play: "M6 4l10 6-10 6z",
  check: "M4 10.5l4 4 8-9",
  warn: "M10 3.5l7.5 13h-15z M10 8.5v4 M10 14.5h.01",
  again: "M16 10a6 6 0 1 1-2-4.5 M16 3v3.5h-3.5",
  group: "M7 4H4v12h3 M13 4h3v12h-3",
  time: "M10 3.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z M10 6.5V10l2.5 2",
  window: "M10 3.5a6.5 6.5 0 1 0 0 13z M10 3.5a6.5 6.5 0 1 1 0 13 M10 6.5h4.500 M10 10h6.200 M10 13.5h4.500",
  hand: "M6.5 10V5.200a1.200 1.200 0 0 1 2.400 0V9 M8.900 9V4a1.200 1.200 0 0 1 2.400 0v5 M11.300 9V4.900a1.200 1.200 0 0 1 2.400 0V10 M13.700 8.200a1.200 1.200 0 0 1 2.300.2V12c0 3-1.800 5-4.800 5-2.600 0-3.800-1.200-5.200-3.600L4.200 10.600c-.6-1.200.9-2 1.700-1l.6.8",
  stack: "M4 6.5h9.5V16H4z M6.5 6.500V4H16v9.5h-2.500",
  ruler: "M3 13.5L13.5 3 17 6.5 6.5 17z M6 10.5l1.500 1.500 M8.500 8l1.500 1.500 M11 5.5L12.500 7",
  rectangle: "M3.5 5.5h13v9h-13z",
  ellipse: "M10 5c4 0 7 2.200 7 5s-3 5-7 5-7-2.200-7-5 3-5 7-5z",
  invert: "M4 4h12v12H4z M4 16L16 4 M6.5 7.5h3 M11.5 13h3 M13 11.500v3",
  turn: "M5 8.5a5.500 5.500 0 1 1-.5 4.500 M4.500 4v4.500H9",
  flip: "M10 3v14 M8 6L3.5 14H8z M12 6l4.500 8H12z",
  fit: "M3.5 7V3.5H7 M13 3.5h3.500V7 M16.500 13v3.500H13 M7 16.500H3.500V13",
  person: "M10 3.5a3 3 0 1 0 0 6 3 3 0 0 0 0-6z M4 16.5c.4-3.400 2.800-5 6-5s5.600 1.600 6 5",
  text: "M4 5h12 M4 9h8 M4 13h10 M4 17h5",
  layers: "M10 3.5l7 3.500-7 3.500-7-3.500z M3 10.500l7 3.500 7-3.500",
  help: "M10 3.5a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13z M8 8a2 2 0 1 1 2.900 1.800c-.6.3-.9.8-.9 1.400 M10 13.700h.01",
  one: "M5 7l2-1.500V14.500 M13.500 7l2-1.500V14.500 M11 8.500h.01 M11 12.500h.01",
  reset: "M4 10a6 6 0 1 0 2-4.500 M4 3v3.500h3.500",
  bin: "M4 6h12 M8 6V4h4v2 M5.500 6l.7 10.500h7.600L14.500 6",
  open: "M9 4H4v12h12v-5 M12 4h4v4 M16 4l-7 7",
  list: "M7 5.5h10 M7 10h10 M7 14.5h10 M3.5 5.5h.01 M3.5 10h.01 M3.5 14.5h.01",
  grid: "M4 4h5v5H4z M11 4h5v5h-5z M4 11h5v5H4z M11 11h5v5h-5z",
  timeline: "M3 6h14 M3 14h14 M6 4.5v3 M13 4.5v3 M9 12.5v3 M15 12.5v3",
  edit: "M4 16l.8-3.500L13 4.300l2.700 2.700-8.200 8.200z M11 6.300l2.700 2.700",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16, filled }: { name: IconName; size?: number; filled?: boolean }) {
  return (
    <svg
      viewBox="0 0 20 20"
      width={size}
      height={size}
      fill={filled ? "currentColor" : "none"}
      stroke="currentColor"
      strokeWidth={name === "grip" || name === "more" ? 2.2 : 1.5}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
