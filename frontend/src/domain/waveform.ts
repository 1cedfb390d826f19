/** The bars of a recording's waveform, from what the message carries. */

/** Height of a bar where nothing is to be heard. */
const silence = 0.12;

/**
 * `count` heights between 0 and 1 from base64 peaks (0–255). Without peaks the
 * bars are even: a shape nobody recorded would be a lie.
 */
export function bars(peaks: string | undefined, count: number): number[] {
  const bytes = decode(peaks);
  if (bytes.length === 0) return Array.from({ length: count }, () => 0.3);
  return Array.from({ length: count }, (_, i) => {
    const from = Math.floor((i * bytes.length) / count);
    const to = Math.max(from + 1, Math.floor(((i + 1) * bytes.length) / count));
    let top = 0;
    for (let j = from; j < to; j++) top = Math.max(top, bytes[j] ?? 0);
    return Math.max(silence, top / 255);
  });
}

function decode(peaks: string | undefined): number[] {
  if (!peaks) return [];
  try {
    return [...atob(peaks)].map((c) => c.charCodeAt(0));
  } catch {
    return [];
  }
}
