import { failureOf } from '../backend/backend';
import { isBlank, mentionsIn, restAfterSend, roomFor } from '../domain/composer';
import { t } from '../domain/messages';
import type { Failure, Member, Message, OutboxEntry } from '../domain/types';
import type { App } from './app.svelte';
import type { Thread } from './thread.svelte';

/** How soon a draft that could not be saved is tried again. */
const saveAgainMs = 3000;

/** Colleagues and customers hear of typing at most this often. */
const typingEveryMs = 3000;

/**
 * Draft is what stands in the composer of one conversation. It belongs to that
 * conversation for ever: nothing typed in one can appear in another.
 */
export class Draft {
  text = $state('');
  comment = $state(false);
  replyTo = $state.raw<Message | null>(null);
  sending = $state(false);
  /** Why the last attempt to send went wrong; the text is still here. */
  failure = $state.raw<Failure | null>(null);
  /** Why the text is not on disk yet; saving goes on until it is. */
  notSaved = $state.raw<Failure | null>(null);
  /** Holds a change the program has not confirmed: what it says about the draft is older. */
  touched = false;
  /** When the last change was confirmed: what was read before says nothing about it. */
  savedAt = 0;
  /** Where the caret stood, restored when the agent comes back. */
  caret = 0;

  constructor(readonly conversation: string) {}
}

/** Whether what stands there was written for colleagues: only the agent turns that into a reply. */
function keepsInside(draft: Draft): boolean {
  return draft.comment && !isBlank(draft.text);
}

/** Where the composer wants the focus; n changes with every wish. */
export interface FocusWish {
  what: 'reply' | 'comment' | 'mention' | 'stay';
  n: number;
}

/** ComposerStore keeps the drafts of one account, saves each keystroke and sends. */
export class ComposerStore {
  /** Bumped when a key or a button wants the composer focused. */
  wish = $state.raw<FocusWish>({ what: 'stay', n: 0 });
  /** The conversation this member is typing in right now. */
  typingIn = $state('');
  private readonly drafts = new Map<string, Draft>();
  private readonly saves = new Map<string, Promise<void>>();
  private readonly changed = new Set<string>();
  private readonly again = new Map<string, ReturnType<typeof setTimeout>>();
  private typingSentAt = 0;
  private typingStop: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly app: App,
    /** Everything written here is written in this account. */
    readonly account: string,
  ) {}

  /** The account goes: nothing is typed any more; what is not saved yet still gets saved. */
  leave(): void {
    clearTimeout(this.typingStop);
    this.typingIn = '';
  }

  /** The draft of a conversation. */
  draft(thread: Thread): Draft {
    return this.draftOf(thread.id);
  }

  private draftOf(conversation: string): Draft {
    let draft = this.drafts.get(conversation);
    if (!draft) {
      draft = new Draft(conversation);
      this.drafts.set(conversation, draft);
    }
    return draft;
  }

  /**
   * Takes over what the program says of a draft, also that there is none: it
   * may have been changed or sent on another device. Never over a change that
   * is not saved yet, nor from an answer that is older than the last change.
   */
  adopt(thread: Thread): void {
    const draft = this.draft(thread);
    if (!thread.view || draft.touched || draft.sending || thread.viewAt <= draft.savedAt) return;
    const kept = thread.view.draft;
    if (!kept) {
      // An empty line being started is nothing the program keeps.
      if (isBlank(draft.text)) return;
      draft.text = '';
      draft.replyTo = null;
      draft.caret = 0;
      return;
    }
    if (draft.text !== kept.text) {
      draft.text = kept.text;
      draft.caret = kept.text.length;
    }
    draft.comment = kept.comment;
  }

  /** A keystroke. */
  edit(draft: Draft, text: string): void {
    if (draft.text === text) return;
    draft.text = text;
    draft.failure = null;
    this.save(draft);
    if (!draft.comment && !isBlank(text)) this.signalTyping(draft.conversation);
  }

  /** Reply or comment: the text stays, what happens to it changes. */
  turn(draft: Draft, comment: boolean): void {
    if (draft.comment === comment) return;
    draft.comment = comment;
    draft.failure = null;
    this.save(draft);
  }

  /** Writes the draft through; saves of one conversation never overtake each other. */
  private save(draft: Draft): void {
    const id = draft.conversation;
    draft.touched = true;
    this.changed.add(id);
    clearTimeout(this.again.get(id));
    this.again.delete(id);
    if (this.saves.has(id)) return;
    this.saves.set(id, this.write(draft));
  }

  private async write(draft: Draft): Promise<void> {
    const id = draft.conversation;
    while (this.changed.delete(id)) {
      try {
        await this.app.backend.saveDraft(id, { text: draft.text, comment: draft.comment, account: this.account });
        draft.notSaved = null;
        draft.savedAt = this.app.moment();
      } catch (cause) {
        const failure = failureOf(cause);
        draft.notSaved = { ...failure, message: t('composer.not_saved', { problem: failure.message }) };
      }
    }
    this.saves.delete(id);
    if (!draft.notSaved) draft.touched = false;
    else this.again.set(id, setTimeout(() => this.save(draft), saveAgainMs));
  }

  /** Resolves when every keystroke so far is on disk, or could not be put there for now. */
  async settled(): Promise<void> {
    await Promise.all(this.saves.values());
  }

  /** Something typed here is not on disk. */
  get unsaved(): boolean {
    return this.saves.size > 0 || this.again.size > 0;
  }

  private signalTyping(conversation: string): void {
    this.typingIn = conversation;
    clearTimeout(this.typingStop);
    this.typingStop = setTimeout(() => {
      this.typingIn = '';
    }, 4000);
    const now = Date.now();
    if (now - this.typingSentAt < typingEveryMs) return;
    this.typingSentAt = now;
    this.app.backend.typing(conversation).catch(() => undefined); // a hint; nothing depends on it
  }

  /** Whether the draft may be sent as it is. */
  canSend(draft: Draft, max: number): boolean {
    return !draft.sending && !isBlank(draft.text) && (draft.comment || !roomFor(draft.text, max).over);
  }

  /**
   * Sends what stands in the composer. It is emptied only after the program
   * has the message on disk; on any error the text stays. With a moment to
   * come, the server keeps the message until then.
   */
  async send(thread: Thread, sendAt?: number): Promise<boolean> {
    const draft = this.draft(thread);
    const max = thread.view?.abilities.max_text ?? 0;
    if (!this.canSend(draft, max)) return false;
    const { text, comment } = draft;
    draft.sending = true;
    draft.failure = null;
    try {
      if (comment) {
        await this.app.backend.comment(thread.id, { text, mentions: mentionsIn(text, this.members(thread)), account: this.account });
      } else {
        const replyTo = draft.replyTo?.id;
        const later = sendAt ? { send_at: new Date(sendAt).toISOString() } : {};
        const message = { text, seen: thread.seen, ...(replyTo ? { reply_to: replyTo } : {}), ...later, account: this.account };
        await this.app.backend.send(thread.id, message);
      }
    } catch (cause) {
      draft.failure = failureOf(cause);
      return false;
    } finally {
      draft.sending = false;
    }
    draft.text = restAfterSend(draft.text, text);
    if (!comment) draft.replyTo = null;
    draft.caret = draft.text.length;
    this.typingIn = '';
    this.save(draft);
    void thread.follow();
    return true;
  }

  /** Colleagues who may see the conversation: they can be mentioned. */
  members(thread: Thread): Member[] {
    const brand = thread.view?.conversation.brand ?? '';
    return (this.app.state?.members ?? []).filter(
      (m) => !m.disabled && (!m.brands || m.brands.length === 0 || m.brands.includes(brand)),
    );
  }

  /**
   * Puts an entry's text back into its composer. The text is saved as the draft
   * before the entry goes, so that a crash in between keeps it. Where the entry
   * does not go, the text leaves the composer again: sent from there as well,
   * the customer would get it twice.
   */
  async takeBack(entry: OutboxEntry, quoted?: Message): Promise<void> {
    const { text, comment, replyTo } = this.draftOf(entry.conversation);
    const draft = this.putBack(entry, quoted);
    const put = draft.text;
    await this.saves.get(entry.conversation);
    // Not on disk as a draft: the entry is what keeps the text.
    if (draft.notSaved) return;
    try {
      await this.app.backend.drop(entry.id);
    } catch (cause) {
      const failure = failureOf(cause);
      // Nobody knows whether it went: then the text must not be lost.
      if (failure.code !== 'uncertain' && draft.text === put) {
        Object.assign(draft, { text, comment, replyTo, caret: text.length });
        this.save(draft);
      }
      draft.failure = failure;
    }
  }

  /** Takes the message back that was sent last, while that is possible; reports whether there was one. */
  async undo(thread: Thread): Promise<boolean> {
    const last = thread.pending.findLast((entry) => entry.state === 'held');
    if (last) await this.takeBack(last, thread.find(last.reply_to));
    return last !== undefined;
  }

  /** Puts an entry's text in front of whatever stands in its composer, with what it quoted. */
  putBack(entry: OutboxEntry, quoted?: Message): Draft {
    const draft = this.draftOf(entry.conversation);
    // What was written for colleagues never becomes a part of what the customer gets.
    draft.comment = entry.comment || keepsInside(draft);
    draft.text = isBlank(draft.text) ? entry.text : `${entry.text}\n\n${draft.text}`;
    draft.caret = entry.text.length;
    if (quoted && !draft.comment) draft.replyTo = quoted;
    this.save(draft);
    this.focus('stay');
    return draft;
  }

  /** Quotes a message in the next reply; a comment that is being written stays one. */
  quote(thread: Thread, message: Message): void {
    const draft = this.draft(thread);
    draft.replyTo = message;
    if (keepsInside(draft)) return this.focus('stay');
    this.turn(draft, false);
    this.focus('reply');
  }

  focus(what: FocusWish['what']): void {
    this.wish = { what, n: this.wish.n + 1 };
  }
}
