//! Times as RFC 3339 in UTC with nanoseconds, fast enough for every record.

use event::Timestamp;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const SECONDS_PER_DAY: u64 = 86_400;
/// `2026-11-22T00:05:08.`
const PREFIX_LEN: usize = 20;

/// Writes times; remembers the text of the last second, because records come in bursts.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    second: u64,
    prefix: [u8; PREFIX_LEN],
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { second: 0, prefix: second_prefix(0) }
    }

    /// Appends `ts`, for example `2026-11-22T00:05:08.123456789Z`.
    pub(crate) fn write(&mut self, ts: Timestamp, out: &mut Vec<u8>) {
        let second = ts.0 / NANOS_PER_SECOND;
        if second != self.second {
            self.second = second;
            self.prefix = second_prefix(second);
        }
        let mut text = [b'Z'; PREFIX_LEN + 10];
        text[..PREFIX_LEN].copy_from_slice(&self.prefix);
        decimal(ts.0 % NANOS_PER_SECOND, &mut text[PREFIX_LEN..PREFIX_LEN + 9]);
        out.extend_from_slice(&text);
    }
}

/// A time such as `2026-11-22T00:05:08.123456789Z`.
pub fn rfc3339(ts: Timestamp) -> String {
    let mut text = Vec::new();
    Clock::new().write(ts, &mut text);
    text.into_iter().map(char::from).collect()
}

/// The second of `ts` as digits alone, for the names of files: `20261122000508`.
pub(crate) fn compact(ts: Timestamp) -> String {
    let prefix = second_prefix(ts.0 / NANOS_PER_SECOND);
    prefix.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| char::from(*byte)).collect()
}

/// The date and time of a second since the epoch. A [`Timestamp`] ends in the year 2554, so the
/// year always has four digits.
fn second_prefix(second: u64) -> [u8; PREFIX_LEN] {
    let (year, month, day) = civil_date(second / SECONDS_PER_DAY);
    let second_of_day = second % SECONDS_PER_DAY;
    let mut text = *b"0000-00-00T00:00:00.";
    decimal(year, &mut text[0..4]);
    decimal(month, &mut text[5..7]);
    decimal(day, &mut text[8..10]);
    decimal(second_of_day / 3600, &mut text[11..13]);
    decimal(second_of_day / 60 % 60, &mut text[14..16]);
    decimal(second_of_day % 60, &mut text[17..19]);
    text
}

/// Year, month and day of a day since 1970-01-01 in the proleptic Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last of its year and every 400 years
/// (146 097 days) look alike.
fn civil_date(day: u64) -> (u64, u64, u64) {
    // 719 468 days lie between 0000-03-01 and 1970-01-01.
    let day = day + 719_468;
    let era = day / 146_097;
    let day_of_era = day % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March have 31, 30, 31, 30, 31 days, and again: 153 days in five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day_of_month)
}

/// Fills `digits` with the last decimal digits of `value`.
fn decimal(mut value: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(clock: &mut Clock, nanos: u64) -> String {
        let mut out = Vec::new();
        clock.write(Timestamp(nanos), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_those_of_date_u() {
        // Right-hand sides from `date -u -d @SECONDS +%FT%T`.
        let known = [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_704_067_199, "2023-12-31T23:59:59"),
            (1_709_164_800, "2024-02-29T00:00:00"),
            (1_795_305_908, "2026-11-22T00:05:08"),
            (4_107_542_400, "2100-03-01T00:00:00"),
            (18_446_744_073, "2554-07-21T23:34:33"),
        ];
        let mut clock = Clock::new();
        for (second, expected) in known {
            let nanos = second * NANOS_PER_SECOND;
            assert_eq!(text(&mut clock, nanos + 7), format!("{expected}.000000007Z"));
        }
    }

    #[test]
    fn the_remembered_second_never_leaks_into_another() {
        let mut clock = Clock::new();
        assert_eq!(text(&mut clock, 999_999_999), "1970-01-01T00:00:00.999999999Z");
        assert_eq!(text(&mut clock, 1_000_000_000), "1970-01-01T00:00:01.000000000Z");
        assert_eq!(text(&mut clock, 5), "1970-01-01T00:00:00.000000005Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut previous = civil_date(0);
        for day in 1..213_504 {
            let (year, month, date) = civil_date(day);
            let next_day = (previous.0, previous.1, previous.2 + 1) == (year, month, date);
            let next_month = (previous.0, previous.1 + 1, 1) == (year, month, date);
            let next_year = (previous.0 + 1, 1, 1) == (year, month, date) && previous.1 == 12;
            assert!(next_day || next_month || next_year, "day {day}: {previous:?}");
            previous = (year, month, date);
        }
    }
}
