//! Points in time as people write them: `1h` (ago), `2026-11-24T02:00:00Z`, `2026-11-24 02:00:00`.

use envelope::UnixMicros;
use std::time::SystemTime;

/// Reads one, as of now.
pub(crate) fn parse(text: &str) -> Result<UnixMicros, String> {
    parse_at(text, SystemTime::now())
}

fn parse_at(text: &str, now: SystemTime) -> Result<UnixMicros, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        // Before 1970 there were no webhooks.
        let then = now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
        return Ok(then.max(SystemTime::UNIX_EPOCH).into());
    }
    humantime::parse_rfc3339_weak(text)
        .map(UnixMicros::from)
        .map_err(|_| {
            "write how long ago (90m, 2h, 3d) or a time in UTC (2026-11-24T02:00:00Z)".to_owned()
        })
}

/// A time for people, in UTC, to the second.
pub(crate) fn shown(at: UnixMicros) -> String {
    let since = std::time::Duration::from_micros(u64::try_from(at.0).unwrap_or(0));
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .map_or_else(String::new, |at| {
            humantime::format_rfc3339_seconds(at).to_string()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn check(text: &str, seconds: Option<u64>) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let expected = seconds.map(|seconds| UnixMicros(seconds as i64 * 1_000_000));
        assert_eq!(parse_at(text, now).ok(), expected, "{text}");
    }

    #[test]
    fn a_duration_is_ago_and_a_date_is_utc() {
        check("1h", Some(1_000_000 - 3_600));
        check("90m", Some(1_000_000 - 5_400));
        check("1970-01-02T00:00:00Z", Some(86_400));
        check("1970-01-02 00:00:00", Some(86_400));
        check("900d", Some(0));
        for nonsense in ["", "yesterday", "12", "-1h"] {
            check(nonsense, None);
        }
    }

    #[test]
    fn a_time_is_shown_as_it_is_read() {
        assert_eq!(shown(UnixMicros(86_400_000_000)), "1970-01-02T00:00:00Z");
        assert_eq!(shown(UnixMicros(i64::MIN)), "1970-01-01T00:00:00Z");
    }
}
