import type { AppState, ConversationView, Counts, Events, ListPage, Opening, OutboxEntry, Storage, ThreadPage, UnsentEntry } from '../domain/types';
import type { Backend } from './backend';

/** A way to call the program's methods by name and to hear its events. */
export interface Transport {
  /** What came with the page itself, if it did. */
  opening?(): Opening | null;
  call(method: string, args: unknown[]): Promise<unknown>;
  on(name: keyof Events, callback: (payload: never) => void): () => void;
  fileUrl(sha256: string, name: string): string;
}

/**
 * Backend over any transport: the names and the order of arguments are written
 * here once, for the native window and for the browser alike.
 */
export function backendOver(transport: Transport): Backend {
  const call = <T>(method: string, ...args: unknown[]): Promise<T> => transport.call(method, args) as Promise<T>;
  return {
    opening: async (rows) => transport.opening?.() ?? (await call<Opening>('Opening', rows)),
    shown: () => call<void>('Shown'),
    themed: (dark) => call<void>('Themed', dark),
    state: () => call<AppState>('State'),
    counts: (brand) => call<Counts>('Counts', brand),
    list: (query) => call<ListPage>('List', query),
    conversation: (id) => call<ConversationView>('Conversation', id),
    thread: (id, query) => call<ThreadPage>('Thread', id, query),
    send: (id, message) => call<OutboxEntry>('Send', id, message),
    comment: (id, comment) => call<OutboxEntry>('Comment', id, comment),
    resend: (entry, options) => call<OutboxEntry>('Resend', entry, options),
    drop: (entry) => call<{ text: string }>('Drop', entry),
    unsent: () => call<UnsentEntry[]>('Unsent'),
    markRead: (id, upto) => call<void>('MarkRead', id, upto),
    markUnread: (id) => call<void>('MarkUnread', id),
    resolve: (id) => call<void>('Resolve', id),
    reopen: (id) => call<void>('Reopen', id),
    assign: (id, member) => call<void>('Assign', id, member),
    accept: (id) => call<void>('Accept', id),
    release: (id) => call<void>('Release', id),
    updateContact: (contact, fields) => call<void>('UpdateContact', contact, fields),
    saveDraft: (id, draft) => call<void>('SaveDraft', id, draft),
    typing: (id) => call<void>('Typing', id),
    viewing: (id) => call<void>('Viewing', id),
    signIn: (account) => call<void>('SignIn', account),
    signOut: () => call<void>('SignOut'),
    switchAccount: (id) => call<void>('SwitchAccount', id),
    startEmbedded: () => call<void>('StartEmbedded'),
    retry: () => call<void>('Retry'),
    setAside: () => call<void>('SetAside'),
    dismissWarning: (code) => call<void>('DismissWarning', code),
    putMe: (settings) => call<void>('PutMe', settings),
    getSetting: async (key) => (await call<unknown>('GetSetting', key)) ?? undefined,
    putSetting: (key, value) => call<void>('PutSetting', key, value),
    storage: () => call<Storage>('Storage'),
    setStorageLimits: (limits) => call<void>('SetStorageLimits', limits),
    openLink: (url) => call<void>('OpenLink', url),
    copy: (text) => call<void>('Copy', text),
    saveFile: (sha256, name) => call<void>('SaveFile', sha256, name),
    fileUrl: (sha256, name) => transport.fileUrl(sha256, name),
    on: (name, callback) => transport.on(name, callback),
  };
}
