/** Times as people say them. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const UNITS: readonly (readonly [seconds: number, unit: Intl.RelativeTimeFormatUnit])[] = [
  [365 * DAY, "year"],
  [30 * DAY, "month"],
  [7 * DAY, "week"],
  [DAY, "day"],
  [HOUR, "hour"],
  [MINUTE, "minute"],
];

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const absolute = new Intl.DateTimeFormat("en", { dateStyle: "long", timeStyle: "short" });

/** "2 hours ago"; less than a minute, and a clock that is a bit behind, is "just now". */
export function ago(time: string, now: number): string {
  const seconds = (Date.parse(time) - now) / 1000;
  if (Math.abs(seconds) < MINUTE) return "just now";
  const [length, unit] = UNITS.find(([size]) => Math.abs(seconds) >= size) ?? [MINUTE, "minute"];
  return relative.format(Math.trunc(seconds / length), unit);
}

/** "23 November 2026 at 12:04", in the visitor's time zone. */
export function moment(time: string): string {
  return absolute.format(new Date(time));
}
