//! `timestamptz`, straight from and to microseconds.

use envelope::UnixMicros;
use std::error::Error;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// 2000-01-01T00:00:00Z, from which Postgres counts.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// 4714-11-24 BC and the end of 294276 AD, in microseconds from the epoch of Postgres
/// (<https://www.postgresql.org/docs/15/datatype-datetime.html>).
const RANGE: (i64, i64) = (-211_813_488_000_000_000, 9_223_371_331_199_999_999);

/// A moment as Postgres keeps it. Moments beyond its range, which only a broken header names, are moved
/// to the edge: refusing the row would lose the event it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timestamptz(pub(super) UnixMicros);

impl ToSql for Timestamptz {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let micros = self.0.0.saturating_sub(POSTGRES_EPOCH);
        out.extend_from_slice(&micros.clamp(RANGE.0, RANGE.1).to_be_bytes());
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Timestamptz {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(UnixMicros(micros.saturating_add(POSTGRES_EPOCH))))
    }

    accepts!(TIMESTAMPTZ);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(micros: i64) -> i64 {
        let mut raw = BytesMut::new();
        Timestamptz(UnixMicros(micros))
            .to_sql(&Type::TIMESTAMPTZ, &mut raw)
            .unwrap();
        Timestamptz::from_sql(&Type::TIMESTAMPTZ, &raw).unwrap().0.0
    }

    #[test]
    fn a_moment_is_kept_to_the_microsecond_and_never_refused() {
        for micros in [0, -1, 1_763_900_000_123_456, POSTGRES_EPOCH] {
            assert_eq!(there_and_back(micros), micros);
        }
        assert!(there_and_back(i64::MIN) < 0);
        assert!(there_and_back(i64::MAX) > 0);
    }
}
