// Every word the customer reads that no company wrote. English is complete; a
// further language is one more object here.

const english = {
  chat: "Chat",
  greeting: "Hi there! How can we help?",
  start: "Write to us and we will answer here.",
  suggested: "Suggested questions",
  conversation: "Conversation",
  message: "Message",
  placeholder: "Write a message…",
  send: "Send",
  attach: "Attach a file",
  drop: "Drop files to attach them",
  close: "Close chat",
  you: "You",
  assistant: "Assistant",
  team: "Team",
  typing: (name: string) => (name ? `${name} is typing` : "Typing"),
  sending: "Sending",
  waiting: "Waiting for a connection",
  sent: "Sent",
  seen: "Seen",
  failed: "Not sent",
  refused: "This chat cannot take messages at the moment. What you write is kept.",
  retry: "Try again",
  discard: "Delete",
  edited: "edited",
  deleted: "Message deleted",
  unsupported: "This message cannot be shown here.",
  offline: "You are offline. What you write is kept and goes out when you are back.",
  connecting: "Connecting…",
  reconnecting: "Connecting… What you write is kept.",
  online: "Connected",
  resolved: "This conversation was marked as done. Write any time to continue it.",
  newMessages: (n: number) => (n === 1 ? "1 new message" : `${n} new messages`),
  latest: "Go to the newest message",
  earlier: "Show earlier messages",
  remove: (name: string) => `Remove ${name}`,
  uploading: (percent: number) => `Uploading, ${percent} %`,
  uploadFailed: "Upload failed",
  tooLarge: (size: string) => `Files may be up to ${size}.`,
  emptyFile: "This file is empty.",
  tooMany: (n: number) => `At most ${n} files fit in one message.`,
  tooLong: "This message is too long. Please send it in parts.",
  download: (name: string) => `Download ${name}`,
  open: (name: string) => `Open ${name}`,
  play: (name: string) => `Play ${name}`,
  image: "Image",
  audio: "Audio",
  voice: "Voice message",
  video: "Video",
  file: "File",
  location: "Location",
  unavailable: "Not available at the moment",
  before: "Before we start",
  beforeText: "So that we can get back to you.",
  name: "Name",
  email: "E-mail",
  begin: "Start chat",
  needName: "Please tell us your name.",
  needEmail: "Please enter an e-mail address like name@example.com.",
  hint: "Enter sends, Shift + Enter starts a new line",
};

export type Words = typeof english;

const catalogues: Record<string, Words> = { en: english };

/** The words for a language: exact, else its main language, else English. */
export function wordsFor(language: string): Words {
  const tag = language.toLowerCase();
  return catalogues[tag] ?? catalogues[tag.split("-")[0] ?? ""] ?? english;
}
