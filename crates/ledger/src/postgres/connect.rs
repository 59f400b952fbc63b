//! How a connection is made, and what every session is set to.

use crate::start::read_postgres;
use crate::{LedgerSettings, StartError};
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

/// How long an idle connection waits before it asks whether the other side is there. A connection that a
/// firewall forgot is found before the next batch needs it.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// How often it asks again, three times.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Reads the URL and adds what we insist on.
pub(super) fn config(url: &str, settings: &LedgerSettings) -> Result<Config, StartError> {
    // The parser's own message may quote a password that was not percent-encoded (I9).
    let mut config = read_postgres(url).ok_or_else(|| StartError::Url("postgres:…".into()))?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err(StartError::Unusable(
            "sslmode=require is not supported yet: use sslmode=prefer and a private network".into(),
        ));
    }
    let options = options(settings, config.get_options().unwrap_or_default());
    config
        .options(options)
        .connect_timeout(settings.connect_timeout)
        .tcp_user_timeout(settings.answer_timeout)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(3)
        // A primary that was demoted accepts connections and refuses every write: the next host, please.
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    if config.get_application_name().is_none() {
        config.application_name(format!("spillway-{}", settings.worker));
    }
    Ok(config)
}

/// Session settings as `-c` options: they hold from the first statement on and cost no round trip. The
/// URL's own come last and win.
///
/// No sequential scans: every statement of ours finds its rows through an index, and a plan that was made
/// while a table had one page must not be kept while it grows by thousands of rows a second. No compiling of
/// plans either: it takes some hundred milliseconds, and every statement of ours is done in less.
fn options(settings: &LedgerSettings, theirs: &str) -> String {
    format!(
        "-c lock_timeout={} -c statement_timeout={} -c idle_in_transaction_session_timeout={} \
         -c enable_seqscan=off -c jit=off {theirs}",
        settings.lock_timeout.as_millis(),
        settings.statement_timeout.as_millis(),
        // Whoever is silent for longer than we wait for an answer is gone; its locks should be, too.
        settings.answer_timeout.as_millis(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Config, StartError> {
        config(url, &LedgerSettings::new("w1"))
    }

    #[test]
    fn every_session_has_bounds_and_the_urls_own_win() {
        let config = read("postgres://u@h/d?options=-c%20lock_timeout%3D1").unwrap();
        let options = config.get_options().unwrap();
        assert!(options.starts_with("-c lock_timeout=2000 -c statement_timeout=10000 "));
        assert!(options.ends_with(" -c lock_timeout=1"));
        assert_eq!(config.get_application_name(), Some("spillway-w1"));
        assert_eq!(
            config.get_target_session_attrs(),
            TargetSessionAttrs::ReadWrite
        );
    }

    #[test]
    fn a_broken_url_is_refused_without_quoting_it() {
        for url in ["postgres://u:p@h:secret/d", "postgres://u:se@cret@h/d"] {
            let refused = read(url).unwrap_err().to_string();
            assert!(!refused.contains("cret"), "{refused}");
        }
    }
}
