import type { Arrival, Profile } from "../core/protocol";

// What the script on the company's page and the chat in the frame tell each
// other. Both check where a message comes from before they read it.

export type ToFrame =
  | { parley: "init"; arrival: Arrival; profile: Profile; language?: string | undefined; theme?: string | undefined; open: boolean }
  | { parley: "show"; arrival: Arrival; open: boolean };

export type FromFrame = { parley: "ready" } | { parley: "close" } | { parley: "unread"; unread: number; known: boolean };
