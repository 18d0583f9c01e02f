import { createTheme } from "@mantine/core";
import type { CSSVariablesResolver, MantineColorsTuple } from "@mantine/core";

/** The red of rubrics in old books: headings and marginal hands were written in it. */
const rubric: MantineColorsTuple = [
  "#fbeee9",
  "#f3dad2",
  "#e9b6a7",
  "#e08f79",
  "#d87258",
  "#c9573c",
  "#b5442b",
  "#9c2f1f",
  "#86271a",
  "#6c1e14",
];
const gray: MantineColorsTuple = [
  "#faf8f4",
  "#f3f0e9",
  "#e7e2d8",
  "#d8d2c6",
  "#bfb8aa",
  "#9c9588",
  "#757065",
  "#57534a",
  "#3b3832",
  "#26241f",
];
const dark: MantineColorsTuple = [
  "#e9e4da",
  "#cbc5b9",
  "#aaa498",
  "#8a857a",
  "#56524a",
  "#45423b",
  "#34312c",
  "#26241f",
  "#1b1a17",
  "#131210",
];

const SANS =
  'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif';
const SERIF =
  '"Iowan Old Style", "Palatino Linotype", Palatino, "URW Palladio L", P052, "Book Antiqua", Georgia, "Liberation Serif", serif';

export const theme = createTheme({
  colors: { rubric, gray, dark },
  primaryColor: "rubric",
  primaryShade: { light: 7, dark: 3 },
  autoContrast: true,
  white: "#fffefb",
  black: "#211f1b",
  fontFamily: SANS,
  headings: { fontFamily: SERIF, fontWeight: "600" },
  defaultRadius: "sm",
  cursorType: "pointer",
  focusRing: "auto",
  respectReducedMotion: true,
  other: { serif: SERIF },
});

export const variables: CSSVariablesResolver = () => ({
  variables: { "--serif": SERIF },
  light: {
    "--mantine-color-body": "#faf8f3",
    "--mantine-color-error": "#9c2f1f",
    "--mantine-color-dimmed": "#655f54",
    "--mantine-color-placeholder": "#716b60",
    "--raised": "#fffefb",
    "--rule": "#e2dccf",
    "--ink": "#211f1b",
    "--accent": "#9c2f1f",
    "--accent-wash": "#f8ebe5",
    "--warning": "#8a4b00",
    "--warning-wash": "#fdf1dc",
    "--good": "#2d6a3e",
    "--note-wash": "#f3efe6",
  },
  dark: {
    "--mantine-color-body": "#181714",
    "--mantine-color-error": "#f0a08c",
    "--mantine-color-dimmed": "#aaa498",
    "--mantine-color-placeholder": "#aba597",
    "--raised": "#211f1b",
    "--rule": "#3a3731",
    "--ink": "#ebe6dc",
    "--accent": "#f0a08c",
    "--accent-wash": "#3a2620",
    "--warning": "#f2c069",
    "--warning-wash": "#352a17",
    "--good": "#8fce9f",
    "--note-wash": "#242220",
  },
});
