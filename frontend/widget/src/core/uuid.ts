// Ids of messages: UUIDv7, made here so that writing needs nobody. Within one
// page they only ever grow, also when the clock steps back; the outbox relies
// on that for its order.

let last = 0;
let step = 0;

/** A fresh UUIDv7. */
export function uuid7(now: number = Date.now()): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  if (now > last) {
    last = now;
    step = ((bytes[6]! & 0x07) << 8) | bytes[7]!; // low start: room to count up
  } else if (++step > 0xfff) {
    last++;
    step = 0;
  }
  for (let i = 0, t = last; i < 6; i++, t = Math.floor(t / 256)) bytes[5 - i] = t % 256;
  bytes[6] = 0x70 | (step >> 8);
  bytes[7] = step & 0xff;
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  const hex = Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
