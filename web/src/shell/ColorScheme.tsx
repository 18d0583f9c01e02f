import { ActionIcon, useMantineColorScheme } from "@mantine/core";
import type { MantineColorScheme } from "@mantine/core";
import { Icon } from "./icons";
import type { IconName } from "./icons";

/** The storage key; `public/assets/color-scheme.js` reads it before the first paint. */
export const COLOR_SCHEME_KEY = "manicule.color-scheme";

const NEXT: Record<MantineColorScheme, MantineColorScheme> = {
  auto: "light",
  light: "dark",
  dark: "auto",
};
const LOOK: Record<MantineColorScheme, { icon: IconName; words: string }> = {
  auto: { icon: "auto", words: "as the system" },
  light: { icon: "sun", words: "light" },
  dark: { icon: "moon", words: "dark" },
};

/** One button that goes through system, light and dark. */
export function ColorScheme() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const next = NEXT[colorScheme];
  const label = `Colours: ${LOOK[colorScheme].words}. Change to ${LOOK[next].words}`;
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      size="lg"
      aria-label={label}
      title={label}
      data-scheme={colorScheme}
      onClick={() => setColorScheme(next)}
    >
      <Icon name={LOOK[colorScheme].icon} />
    </ActionIcon>
  );
}
