//! Points in time: as they are typed behind `--since` and `--until`, and as they are printed.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

/// What an error names, so that nobody needs the manual for it.
const ACCEPTED: &str = "expected a time such as 2026-11-20T09:30:00+01:00, \"2026-11-20 09:30:00\" \
    (local time), 2026-11-20, @1795160863.5 (seconds since 1970), 10min, \"2 hours ago\", today or yesterday";

/// Reads a point in time: nanoseconds since 1970. A span without a sign is one back from `now`.
pub(crate) fn parse(text: &str, now: &Zoned) -> Result<u64, String> {
    let text = text.trim();
    let zone = now.time_zone();
    let moment = if let Some(seconds) = text.strip_prefix('@') {
        since_epoch(seconds)
    } else if text == "now" {
        Some(now.timestamp())
    } else if text == "today" {
        now.start_of_day().ok().map(|day| day.timestamp())
    } else if text == "yesterday" {
        now.yesterday().and_then(|day| day.start_of_day()).ok().map(|day| day.timestamp())
    } else if let Ok(moment) = text.parse::<Timestamp>() {
        Some(moment)
    } else if let Ok(local) = text.parse::<DateTime>() {
        local.to_zoned(zone.clone()).ok().map(|moment| moment.timestamp())
    } else {
        back_from(now, text)
    };
    moment
        .and_then(|moment| u64::try_from(moment.as_nanosecond()).ok())
        .ok_or_else(|| ACCEPTED.to_owned())
}

fn since_epoch(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = fraction.parse::<i32>().ok()? * 10_i32.pow(9 - fraction.len() as u32);
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

/// A span such as "10min", "-10min" or "10 min ago": always back, because the future has no entries.
fn back_from(now: &Zoned, text: &str) -> Option<Timestamp> {
    let span = text.parse::<Span>().ok()?.abs();
    Some(now.checked_sub(span).ok()?.timestamp())
}

/// How times are printed.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    zone: TimeZone,
    utc: bool,
}

impl Clock {
    /// In local time or in UTC. What is printed is accepted by `--since`.
    pub(crate) fn new(utc: bool) -> Clock {
        Clock { zone: if utc { TimeZone::UTC } else { TimeZone::system() }, utc }
    }

    /// Date and time of day with microseconds; with a Z behind it in UTC.
    pub(crate) fn show(&self, nanoseconds: u64) -> String {
        let format = if self.utc { "%Y-%m-%d %H:%M:%S.%6fZ" } else { "%Y-%m-%d %H:%M:%S.%6f" };
        match Timestamp::from_nanosecond(i128::from(nanoseconds)) {
            Ok(moment) => moment.to_zoned(self.zone.clone()).strftime(format).to_string(),
            Err(_) => format!("@{nanoseconds}"),
        }
    }

    /// A time that a file system keeps, which may lie outside the years that have a name.
    pub(crate) fn show_seconds(&self, seconds: i64, nanoseconds: u32) -> String {
        let moment = i32::try_from(nanoseconds).ok().and_then(|n| Timestamp::new(seconds, n).ok());
        match moment {
            Some(moment) => {
                let format =
                    if self.utc { "%Y-%m-%dT%H:%M:%S%.fZ" } else { "%Y-%m-%dT%H:%M:%S%.f" };
                moment.to_zoned(self.zone.clone()).strftime(format).to_string()
            }
            None => format!("@{seconds}.{nanoseconds:09}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        // Half an hour east of UTC, so that local and UTC cannot be mistaken for each other.
        let zone = TimeZone::fixed(jiff::tz::Offset::from_seconds(1800).unwrap());
        "2026-11-20T09:30:00Z".parse::<Timestamp>().unwrap().to_zoned(zone)
    }

    fn utc(text: &str) -> u64 {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
    }

    #[test]
    fn times_are_read_in_every_documented_form() {
        let cases = [
            ("2026-11-20T09:30:00Z", "2026-11-20T09:30:00Z"),
            ("2026-11-20T09:30:00.123456789+01:00", "2026-11-20T08:30:00.123456789Z"),
            ("2026-11-20 09:30:00.5Z", "2026-11-20T09:30:00.5Z"),
            ("2026-11-20 09:30:00", "2026-11-20T09:00:00Z"),
            ("2026-11-20 09:30:00.25", "2026-11-20T09:00:00.25Z"),
            ("2026-11-20T09:30", "2026-11-20T09:00:00Z"),
            ("2026-11-20", "2026-11-19T23:30:00Z"),
            ("@1795160863", "2026-11-20T07:47:43Z"),
            ("@1795160863.5", "2026-11-20T07:47:43.5Z"),
            ("@0.000000001", "1970-01-01T00:00:00.000000001Z"),
            ("10min", "2026-11-20T09:20:00Z"),
            ("-10min", "2026-11-20T09:20:00Z"),
            ("10min ago", "2026-11-20T09:20:00Z"),
            ("10 min ago", "2026-11-20T09:20:00Z"),
            ("1h 30m ago", "2026-11-20T08:00:00Z"),
            ("-1h30m", "2026-11-20T08:00:00Z"),
            ("2 hours ago", "2026-11-20T07:30:00Z"),
            ("3 days ago", "2026-11-17T09:30:00Z"),
            ("1 week ago", "2026-11-13T09:30:00Z"),
            ("0.5s", "2026-11-20T09:29:59.5Z"),
            ("now", "2026-11-20T09:30:00Z"),
            ("today", "2026-11-19T23:30:00Z"),
            ("yesterday", "2026-11-18T23:30:00Z"),
            (" 10min ago ", "2026-11-20T09:20:00Z"),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text, &now()), Ok(utc(want)), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_what_is_accepted() {
        let wrong = [
            "",
            "soon",
            "10",
            "@",
            "@x",
            "@-1",
            "@1.",
            "@1.0123456789",
            "@99999999999999",
            "2026-13-01",
            "1969-12-31T00:00:00Z",
            "25:00",
            "10 parsecs ago",
            "99999 years ago",
        ];
        for text in wrong {
            let error = parse(text, &now()).expect_err(text);
            assert!(error.contains("2 hours ago"), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let moment = utc("2026-11-20T06:27:43.123456Z");
        let clock = Clock::new(true);
        assert_eq!(clock.show(moment), "2026-11-20 06:27:43.123456Z");
        assert_eq!(parse(&clock.show(moment), &now()), Ok(moment));
        let clock = Clock { zone: now().time_zone().clone(), utc: false };
        assert_eq!(clock.show(moment), "2026-11-20 06:57:43.123456");
        assert_eq!(parse(&clock.show(moment), &now()), Ok(moment));
    }

    #[test]
    fn no_time_is_beyond_printing() {
        let clock = Clock::new(true);
        assert_eq!(clock.show(u64::MAX), "2554-07-21 23:34:33.709551Z");
        assert_eq!(clock.show_seconds(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(clock.show_seconds(-1, 500_000_000), "1969-12-31T23:59:59.5Z");
        assert_eq!(clock.show_seconds(i64::MAX, 7), "@9223372036854775807.000000007");
    }
}
