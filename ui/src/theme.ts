import { createTheme, type MantineColorsTuple } from "@mantine/core";

const lake: MantineColorsTuple = [
  "#e8f5f5", "#d3e8e9", "#a6d1d3", "#75b8bc", "#4fa3a9", "#36969d", "#268f97", "#127781",
  "#0e5c66", "#08474f",
];
const dark: MantineColorsTuple = [
  "#d7dee0", "#b3bec2", "#8f9ca1", "#6a787e", "#3c4a50", "#2b373d", "#212c31", "#192226",
  "#12191c", "#0c1113",
];

export const theme = createTheme({
  colors: { lake, dark },
  primaryColor: "lake",
  primaryShade: { light: 8, dark: 4 },
  fontFamily: '"IBM Plex Sans", system-ui, sans-serif',
  fontFamilyMonospace: '"IBM Plex Mono", ui-monospace, monospace',
  headings: { fontFamily: '"IBM Plex Sans", system-ui, sans-serif', fontWeight: "600" },
  fontSizes: { xs: "12px", sm: "13px", md: "14px", lg: "16px", xl: "20px" },
  defaultRadius: "sm",
  cursorType: "pointer",
  respectReducedMotion: true,
  autoContrast: true,
  components: {
    Button: { defaultProps: { size: "xs" } },
    TextInput: { defaultProps: { size: "xs" } },
    NumberInput: { defaultProps: { size: "xs" } },
    Select: { defaultProps: { size: "xs" } },
    Textarea: { defaultProps: { size: "xs" } },
    Tooltip: { defaultProps: { openDelay: 500, withArrow: true } },
  },
});
