import { failureOf, type Backend } from '../backend/backend';
import { fieldProblem, type ContactField } from '../domain/contact';
import { t } from '../domain/messages';
import type { Contact } from '../domain/types';

const settingKey = 'contact.folded';

/**
 * FieldEdit is one field of one contact while it is being changed. It belongs
 * to that contact, whoever is shown by the time it is saved.
 */
export class FieldEdit {
  text = $state('');
  /** Why what stands there cannot be saved; "" while nothing says so. */
  problem = $state('');
  private saving: Promise<boolean> | null = null;

  constructor(
    private readonly card: ContactCard,
    readonly contact: Contact,
    readonly field: ContactField,
  ) {
    this.text = contact[field];
  }

  /** Saves what stands there, however often it is asked for, and reports whether that is done. */
  save(): Promise<boolean> {
    this.saving ??= this.write();
    return this.saving;
  }

  private async write(): Promise<boolean> {
    this.problem = await this.card.change(this.contact, this.field, this.text);
    if (this.problem) this.saving = null;
    return this.problem === '';
  }
}

/** ContactCard remembers which sections are folded, and changes a contact field by field. */
export class ContactCard {
  private folded = $state.raw<ReadonlySet<string>>(new Set());
  private loaded = false;
  private left = false;

  constructor(private readonly backend: Backend) {}

  /** Reads what was folded last time; once. */
  async load(): Promise<void> {
    if (this.loaded) return;
    this.loaded = true;
    const stored = await this.backend.getSetting(settingKey).catch(() => undefined);
    if (Array.isArray(stored)) this.folded = new Set(stored.filter((x) => typeof x === 'string'));
  }

  isOpen(section: string): boolean {
    return !this.folded.has(section);
  }

  toggle(section: string): void {
    const next = new Set(this.folded);
    if (!next.delete(section)) next.add(section);
    this.folded = next;
    // What cannot be stored still holds until the window closes.
    this.backend.putSetting(settingKey, [...next]).catch(() => undefined);
  }

  /** The account goes: what is still being changed belongs to it and to no other. */
  leave(): void {
    this.left = true;
  }

  /** Changes one field. Answers why not, or "" when it is done. */
  async change(contact: Contact, field: ContactField, value: string): Promise<string> {
    const clean = value.trim();
    if (clean === contact[field]) return '';
    const problem = fieldProblem(field, clean);
    if (problem) return problem;
    if (this.left) return t('contact.left');
    try {
      await this.backend.updateContact(contact.id, { [field]: clean });
      return '';
    } catch (cause) {
      return failureOf(cause).message;
    }
  }
}
