/** How long something lasts, roughly: 1.5 s, 12 min, 3 h, 4 d. */
export function lasting(seconds: number, n: (value: number, digits?: number) => string): string {
  if (seconds < 120) return `${n(seconds, seconds < 10 ? 1 : 0)} s`;
  if (seconds < 7200) return `${n(seconds / 60)} min`;
  return seconds < 172_800 ? `${n(seconds / 3600)} h` : `${n(seconds / 86_400)} d`;
}
