import { failureOf, type Backend } from '../backend/backend';
import { fieldProblem, type ContactField } from '../domain/contact';
import type { Contact } from '../domain/types';

const settingKey = 'contact.folded';

/** ContactCard remembers which sections are folded, and changes a contact field by field. */
export class ContactCard {
  private folded = $state.raw<ReadonlySet<string>>(new Set());
  private loaded = false;

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

  /** Changes one field. Answers why not, or "" when it is done. */
  async change(contact: Contact, field: ContactField, value: string): Promise<string> {
    const clean = value.trim();
    if (clean === contact[field]) return '';
    const problem = fieldProblem(field, clean);
    if (problem) return problem;
    try {
      await this.backend.updateContact(contact.id, { [field]: clean });
      return '';
    } catch (cause) {
      return failureOf(cause).message;
    }
  }
}
