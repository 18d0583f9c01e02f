import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The address of a running server, for `npm run dev` only.
const server = process.env.DEV_SERVER ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../server/web",
    emptyOutDir: true,
    // The page may load nothing from elsewhere and nothing inline, so nothing is inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    target: "es2022",
    chunkSizeWarningLimit: 900,
  },
  server: { proxy: { "/ws": { target: server, ws: true } } },
});
