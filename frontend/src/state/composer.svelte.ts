import { failureOf } from '../backend/backend';
import { isBlank, mentionsIn, restAfterSend, roomFor } from '../domain/composer';
import { t } from '../domain/messages';
import type { Failure, Member, Message, OutboxEntry } from '../domain/types';
import type { App } from './app.svelte';
import type { Thread, ThreadStore } from './thread.svelte';

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
  /** Why the last attempt to send or save went wrong; the text is still here. */
  failure = $state.raw<Failure | null>(null);
  /** Typed in during this run: what the cache says about it is older. */
  touched = false;
  /** Where the caret stood, restored when the agent comes back. */
  caret = 0;

  constructor(readonly conversation: string) {}
}

/** Where the composer wants the focus; n changes with every wish. */
export interface FocusWish {
  what: 'reply' | 'comment' | 'mention' | 'stay';
  n: number;
}

/** ComposerStore keeps every conversation's draft, saves each keystroke and sends. */
export class ComposerStore {
  /** Bumped when a key or a button wants the composer focused. */
  wish = $state.raw<FocusWish>({ what: 'stay', n: 0 });
  /** The conversation this member is typing in right now. */
  typingIn = $state('');
  private readonly drafts = new Map<string, Draft>();
  private readonly saves = new Map<string, Promise<void>>();
  private readonly unsaved = new Set<string>();
  private typingSentAt = 0;
  private typingStop: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly app: App,
    private readonly threads: ThreadStore,
  ) {}

  /** The draft of a conversation; what the cache kept is taken over once. */
  draft(thread: Thread): Draft {
    let draft = this.drafts.get(thread.id);
    if (!draft) {
      draft = new Draft(thread.id);
      this.drafts.set(thread.id, draft);
    }
    return draft;
  }

  /**
   * Takes over what the cache has kept of a draft, unless it was typed in
   * since: a cached answer may be older than the last key.
   */
  adopt(thread: Thread): void {
    const draft = this.draft(thread);
    const kept = thread.view?.draft;
    if (draft.touched || !kept) return;
    draft.text = kept.text;
    draft.comment = kept.comment;
    draft.caret = kept.text.length;
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
    draft.touched = true;
    this.unsaved.add(draft.conversation);
    if (this.saves.has(draft.conversation)) return;
    const run = async (): Promise<void> => {
      while (this.unsaved.delete(draft.conversation)) {
        try {
          await this.app.backend.saveDraft(draft.conversation, { text: draft.text, comment: draft.comment });
        } catch (cause) {
          draft.failure = {
            ...failureOf(cause),
            message: t('composer.not_saved', { problem: failureOf(cause).message }),
          };
        }
      }
    };
    this.saves.set(
      draft.conversation,
      run().finally(() => this.saves.delete(draft.conversation)),
    );
  }

  /** Resolves when every keystroke so far is on disk. */
  async settled(): Promise<void> {
    await Promise.all(this.saves.values());
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
   * has the message on disk; on any error the text stays.
   */
  async send(thread: Thread): Promise<boolean> {
    const draft = this.draft(thread);
    const max = thread.view?.abilities.max_text ?? 0;
    if (!this.canSend(draft, max)) return false;
    const { text, comment } = draft;
    draft.sending = true;
    draft.failure = null;
    try {
      if (comment) {
        await this.app.backend.comment(thread.id, { text, mentions: mentionsIn(text, this.members(thread)) });
      } else {
        const replyTo = draft.replyTo?.id;
        await this.app.backend.send(thread.id, { text, seen: thread.seen, ...(replyTo ? { reply_to: replyTo } : {}) });
      }
    } catch (cause) {
      draft.failure = failureOf(cause);
      return false;
    } finally {
      draft.sending = false;
    }
    draft.text = restAfterSend(draft.text, text);
    draft.replyTo = null;
    draft.caret = draft.text.length;
    this.typingIn = '';
    this.save(draft);
    thread.place = null;
    if (!comment) this.threads.answered(thread);
    void thread.refresh();
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
   * Puts a refused entry's text back into its composer. The text is saved as
   * the draft before the entry goes, so that a crash in between keeps it.
   */
  async takeBack(entry: OutboxEntry): Promise<void> {
    const draft = this.putBack(entry);
    await this.saves.get(entry.conversation);
    try {
      await this.app.backend.drop(entry.id);
    } catch (cause) {
      draft.failure = failureOf(cause);
    }
  }

  /** Puts an entry's text in front of whatever stands in its composer. */
  putBack(entry: OutboxEntry): Draft {
    let draft = this.drafts.get(entry.conversation);
    if (!draft) {
      draft = new Draft(entry.conversation);
      this.drafts.set(entry.conversation, draft);
    }
    draft.comment = entry.comment;
    draft.text = isBlank(draft.text) ? entry.text : `${entry.text}\n\n${draft.text}`;
    draft.caret = entry.text.length;
    this.save(draft);
    this.focus('stay');
    return draft;
  }

  /** Quotes a message in the next reply. */
  quote(thread: Thread, message: Message): void {
    const draft = this.draft(thread);
    draft.replyTo = message;
    this.turn(draft, false);
    this.focus('reply');
  }

  focus(what: FocusWish['what']): void {
    this.wish = { what, n: this.wish.n + 1 };
  }
}
