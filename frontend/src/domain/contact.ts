/** What a contact's fields may hold, and what the card says about the person. */
import { t } from './messages';
import type { Contact, Conversation } from './types';

/** The fields an agent may change. */
export type ContactField = 'name' | 'email' | 'phone';

/** Why a value cannot stand in a field, or "". Empty values are fine: they clear it. */
export function fieldProblem(field: ContactField, value: string): string {
  if (value === '') return '';
  if (value.length > 200) return t('contact.too_long');
  if (field === 'email' && !/^[^\s@]+@[^\s@]+\.[^\s@.]{2,}$/u.test(value)) return t('contact.email_invalid');
  if (field === 'phone') {
    const digits = value.replace(/\D/gu, '').length;
    if (!/^\+?[\d\s().\-/]+$/u.test(value) || digits < 5 || digits > 20) return t('contact.phone_invalid');
  }
  return '';
}

/** The time of day where the contact is, or "" when the zone is unknown. */
export function localTime(timezone: string | undefined, now: number): string {
  if (!timezone) return '';
  try {
    return new Intl.DateTimeFormat('en', {
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
      timeZone: timezone,
    }).format(now);
  } catch {
    return ''; // a zone this system does not know
  }
}

/** The language as people call it: "es" → "Spanish"; a name stays as it is. */
export function languageName(language: string | undefined): string {
  if (!language) return '';
  if (!/^[a-z]{2,3}(?:[-_][\w-]+)?$/iu.test(language)) return language;
  try {
    return (
      new Intl.DisplayNames('en', { type: 'language' }).of(language.replace('_', '-').split('-')[0] ?? language) ??
      language
    );
  } catch {
    return language;
  }
}

/** The country as people call it: "ES" → "Spain"; a name stays as it is. */
export function countryName(country: string | undefined): string {
  if (!country || !/^[a-z]{2}$/iu.test(country)) return country ?? '';
  return new Intl.DisplayNames('en', { type: 'region' }).of(country.toUpperCase()) ?? country;
}

/** "Madrid · Spanish · local time 09:56": what is known, nothing else. */
export function placeLine(contact: Contact, now: number): string {
  const time = localTime(contact.timezone, now);
  return [
    contact.city || countryName(contact.country),
    languageName(contact.language),
    time ? t('contact.local_time', { time }) : '',
  ]
    .filter(Boolean)
    .join(' · ');
}

/** "iPhone · Safari 19" */
export function deviceLine(contact: Contact): string {
  return [contact.device, contact.browser].filter(Boolean).join(' · ');
}

/** Where the customer came from, line by line. */
export function originLines(conversation: Conversation): { label: string; value: string }[] {
  const origin = conversation.origin;
  if (!origin) return [];
  const lines = [
    { label: t('contact.page'), value: origin.page ?? '' },
    { label: t('contact.referrer'), value: origin.referrer ?? '' },
    ...Object.entries(origin.utm ?? {}).map(([key, value]) => ({ label: `UTM ${key.replace(/^utm_/u, '')}`, value })),
  ];
  return lines.filter((line) => line.value !== '');
}
