// The drawings of the customer's pages, as strokes.

export const chat = "M20 11.5a7.5 7.5 0 0 1-11 6.63L4 19.5l1.4-4.6A7.5 7.5 0 1 1 20 11.5Z";
export const close = "m6 6 12 12M18 6 6 18";
export const down = "m6 9 6 6 6-6";
export const send = "M12 19V5m0 0-6 6m6-6 6 6";
export const clip =
  "m20.5 11.5-8.6 8.6a5.5 5.5 0 0 1-7.8-7.8l8.6-8.6a3.7 3.7 0 0 1 5.2 5.2l-8.6 8.5a1.8 1.8 0 0 1-2.6-2.6l7.9-7.8";
export const file = "M14 3H7a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2V8l-5-5Zm0 0v5h5";
export const save = "M12 4v11m0 0 4.5-4.5M12 15l-4.5-4.5M5 20h14";
export const play = "M8 5.5v13l10.5-6.5L8 5.5Z";
export const check = "m5 12.5 4.5 4.5L19 7.5";
export const checks = "m2.5 12.5 4 4.5L15 7.5M12 16.5l.5.5L21 7.5";
export const clock = "M12 7v5l3 2m6-2a9 9 0 1 1-18 0 9 9 0 0 1 18 0Z";
export const alert = "M12 8v5m0 3.2v.3M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0Z";
export const retry = "M4 12a8 8 0 0 1 13.7-5.6L20 8.5M20 4v4.5h-4.5M20 12a8 8 0 0 1-13.7 5.6L4 15.5M4 20v-4.5h4.5";
export const sparkle = "M12 4l1.8 5.2L19 11l-5.2 1.8L12 18l-1.8-5.2L5 11l5.2-1.8L12 4Z";
export const pin = "M12 21s7-6.2 7-11.5a7 7 0 1 0-14 0C5 14.8 12 21 12 21Zm0-9a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z";
