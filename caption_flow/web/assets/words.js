// Figures as people read them.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });

export function count(number) {
  return Number.isFinite(number) ? whole.format(number) : "–";
}

/** A rate: small ones with a decimal. */
export function rate(number) {
  if (!Number.isFinite(number)) return "–";
  if (number > 0 && number < 0.1) return "< 0.1";
  return (number < 100 ? tenths : whole).format(number);
}

/** A share of 1; it says 100 % only of all, and 0 % only of nothing. */
export function percent(share) {
  if (!Number.isFinite(share)) return "–";
  const rounded = Math.round(share * 1000) / 10;
  if (rounded >= 100 && share < 1) return "99.9 %";
  if (rounded <= 0 && share > 0) return "< 0.1 %";
  return `${tenths.format(rounded)} %`;
}

export function bytes(number) {
  if (!Number.isFinite(number)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (number >= 1024 && unit < units.length - 1) {
    number /= 1024;
    unit += 1;
  }
  return `${(number < 100 ? tenths : whole).format(number)} ${units[unit]}`;
}

/** Seconds, in the two largest units that say something. */
export function lasting(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let left = Math.max(0, Math.round(seconds));
  const first = units.findIndex(([, size]) => left >= size);
  if (first < 0) return "0 s";
  return units
    .slice(first, first + 2)
    .map(([unit, size]) => {
      const many = Math.floor(left / size);
      left -= many * size;
      return many || unit === units[first][0] ? `${many} ${unit}` : "";
    })
    .filter(Boolean)
    .join(" ");
}

export function ago(at, now) {
  const seconds = now - at;
  return seconds < 2 ? "now" : `${lasting(seconds)} ago`;
}

export function clock(at) {
  return new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}
