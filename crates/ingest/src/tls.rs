//! TLS to senders: 1.2 and 1.3, and one certificate, which is read again while we run.
//!
//! Contents are compared, not the files' times, for the reasons of the secrets' rotation. A new pair that cannot be
//! used leaves the old one in use. Connections that are open keep the certificate that they began with.

use crate::events::{Events, Handshake};
use arc_swap::ArcSwap;
use ops::config::{ConfigError, Problem, TlsConfig};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, ServerConfig, version};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use x509_cert::Certificate;
use x509_cert::der::{DateTime, Decode};

/// Speaks TLS to whoever connects. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    handshake_timeout: Duration,
}

impl Tls {
    /// Reads the certificate and its key, where the configuration names them; and what reads them again.
    ///
    /// # Errors
    /// Files that cannot be read, or are no certificate and its key.
    pub fn read(config: &TlsConfig) -> Result<Option<(Self, Renewal)>, ConfigError> {
        let Some(files) = config.files() else {
            return Ok(None);
        };
        let (certificate, key) = (files.certificate.to_owned(), files.key.to_owned());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let read = || {
            let pair = Pair::read(&certificate, &key)?;
            Ok((pair.usable(&provider)?, pair))
        };
        let (usable, pair) = read().map_err(|why: Fault| ConfigError(vec![why.problem()]))?;
        let current = Arc::new(Current(ArcSwap::from(usable.certified)));
        let tls = Self {
            acceptor: TlsAcceptor::from(Arc::new(server(provider.clone(), current.clone()))),
            handshake_timeout: config.handshake_timeout,
        };
        let renewal = Renewal {
            certificate,
            key,
            provider,
            current,
            pair,
            expires: usable.expires,
            doubt: None,
        };
        Ok(Some((tls, renewal)))
    }

    /// Shakes hands within the time that has; nothing where there is nobody to talk to afterwards.
    pub(crate) async fn handshake(
        &self,
        stream: TcpStream,
        events: &Events,
    ) -> Option<TlsStream<TcpStream>> {
        let (outcome, stream) =
            match timeout(self.handshake_timeout, self.acceptor.accept(stream)).await {
                Ok(Ok(stream)) => (Handshake::Done, Some(stream)),
                Ok(Err(_)) => (Handshake::Failed, None),
                Err(_) => (Handshake::TooSlow, None),
            };
        events.shook_hands(outcome);
        stream
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn server(provider: Arc<CryptoProvider>, current: Arc<Current>) -> ServerConfig {
    let mut server = ServerConfig::builder_with_provider(provider)
        // Named, so that an update of the library adds none without our knowing. Older ones it does not have.
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .expect("the provider has suites for both")
        // Senders are known by their signatures.
        .with_no_client_auth()
        .with_cert_resolver(current);
    // All we speak. Who offers none is served, who offers only others is told so.
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Early data may be sent again by anybody who has seen it.
    server.max_early_data_size = 0;
    server
}

/// The certificate in use.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Both files as read last. Never printed: one is a secret (I9).
#[derive(PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// What a pair is good for.
struct Usable {
    certified: Arc<CertifiedKey>,
    expires: DateTime,
}

/// Which file is not right, and why; nothing of what is in it (I9).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    key: &'static str,
    why: String,
}

impl Fault {
    fn certificate(why: impl Into<String>) -> Self {
        let key = "certificate";
        Self {
            key,
            why: why.into(),
        }
    }

    fn key(why: impl Into<String>) -> Self {
        let key = "key";
        Self {
            key,
            why: why.into(),
        }
    }

    fn problem(self) -> Problem {
        Problem::new(format!("ingest.tls.{}", self.key), self.why)
    }
}

impl Pair {
    fn read(certificate: &Path, key: &Path) -> Result<Self, Fault> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|why| format!("{} cannot be read: {why}", path.display()))
        };
        Ok(Self {
            certificate: read(certificate).map_err(Fault::certificate)?,
            key: read(key).map_err(Fault::key)?,
        })
    }

    fn usable(&self, provider: &CryptoProvider) -> Result<Usable, Fault> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        // What the library says of a file that is no PEM quotes a line of it.
        let chain = chain.unwrap_or_default();
        let Some(first) = chain.first() else {
            return Err(Fault::certificate("has no certificates in PEM"));
        };
        let expires = Certificate::from_der(first)
            .map_err(|_| Fault::certificate("is no X.509 certificate"))?
            .tbs_certificate
            .validity
            .not_after
            .to_date_time();
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| Fault::key("has no private key in PEM"))?;
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(|why| {
            if matches!(why, Error::InconsistentKeys(_)) {
                return Fault::key("is not the key of the certificate");
            }
            Fault::key(format!("cannot be used with the certificate: {why}"))
        })?;
        Ok(Usable {
            certified: Arc::new(certified),
            expires,
        })
    }
}

/// Reads the certificate and its key again.
pub struct Renewal {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    pair: Pair,
    expires: DateTime,
    /// What the last look found wrong, and whether that has been told.
    doubt: Option<(Fault, bool)>,
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal").finish_non_exhaustive()
    }
}

/// What a look at the files found.
#[derive(Debug, PartialEq, Eq)]
enum Turned {
    /// Nothing that was not known.
    Same,
    /// A new certificate, in use from now on.
    Renewed,
    /// Something that cannot be used: the old one stays.
    Kept(String),
}

impl Renewal {
    /// Reads the files again and again until `stop`.
    pub async fn run(mut self, every: Duration, events: Events, stop: CancellationToken) {
        events.has_certificate(&self.expires);
        let mut due = interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(due.tick()).await.is_some() {
            // A file may lie on a disk that is slow, or gone.
            let turning = tokio::task::spawn_blocking(move || {
                let turned = self.turn();
                (self, turned)
            });
            let Ok((same, turned)) = turning.await else {
                warn!(
                    "a defect ended the reading of certificates: a restart is needed for new ones"
                );
                return;
            };
            self = same;
            match turned {
                Turned::Same => {}
                Turned::Renewed => events.has_certificate(&self.expires),
                Turned::Kept(why) => events.keeps_certificate(&why),
            }
        }
    }

    fn turn(&mut self) -> Turned {
        let read = Pair::read(&self.certificate, &self.key);
        let renewed = read.and_then(|pair| {
            if pair == self.pair {
                return Ok(None);
            }
            Ok(Some((pair.usable(&self.provider)?, pair)))
        });
        match renewed {
            Ok(None) => {
                self.doubt = None;
                Turned::Same
            }
            Ok(Some((usable, pair))) => {
                self.current.0.store(usable.certified);
                (self.pair, self.expires, self.doubt) = (pair, usable.expires, None);
                Turned::Renewed
            }
            Err(fault) => self.doubt(fault),
        }
    }

    /// Told once, and at the second look: between the first file's replacement and the second's there is no pair.
    fn doubt(&mut self, fault: Fault) -> Turned {
        let is_known = self.doubt.as_ref().filter(|(known, _)| *known == fault);
        let told = is_known.map(|(_, told)| *told);
        self.doubt = Some((fault.clone(), told.is_some()));
        match told {
            None | Some(true) => Turned::Same,
            Some(false) => Turned::Kept(format!("{} {}", fault.key, fault.why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey as Made, generate_simple_self_signed};
    use tempfile::TempDir;

    fn made() -> (String, String) {
        let Made { cert, signing_key } =
            generate_simple_self_signed(["door.test".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    fn written(folder: &TempDir, (certificate, key): &(String, String)) -> TlsConfig {
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        TlsConfig {
            certificate: write("tls.crt", certificate),
            key: write("tls.key", key),
            handshake_timeout: Duration::from_secs(5),
        }
    }

    fn in_use(renewal: &Renewal) -> Vec<u8> {
        renewal.current.0.load().cert[0].to_vec()
    }

    fn problem(config: &TlsConfig) -> Problem {
        let error = Tls::read(config).expect_err("it cannot be used");
        error.0.into_iter().next().unwrap()
    }

    #[test]
    fn what_is_no_pair_is_told_by_its_key_and_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (made(), made());
        let secret = "the-secret-part-of-a-key";
        let broken = format!("-----BEGIN PRIVATE KEY\n{secret}\n{secret}");
        for (certificate, key, named) in [
            (&one.0, &other.1, "ingest.tls.key"),
            (&one.1, &one.1, "ingest.tls.certificate"),
            (&one.0, &one.0, "ingest.tls.key"),
            (&one.0, &broken, "ingest.tls.key"),
            (&broken, &one.1, "ingest.tls.certificate"),
            (&String::new(), &one.1, "ingest.tls.certificate"),
        ] {
            let config = written(&folder, &(certificate.clone(), key.clone()));
            let told = problem(&config);
            assert_eq!(told.key, named, "{}", told.rule);
            assert!(!told.rule.contains("secret"), "{}", told.rule);
        }
        let config = written(&folder, &one);
        std::fs::remove_file(config.key.as_ref().unwrap()).unwrap();
        assert!(problem(&config).rule.contains("cannot be read"));
    }

    #[test]
    fn a_new_pair_is_in_use_and_half_of_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (made(), made());
        let config = written(&folder, &old);
        let (_tls, mut renewal) = Tls::read(&config).unwrap().unwrap();
        let before = in_use(&renewal);
        assert_eq!(renewal.turn(), Turned::Same);
        // One file after the other, and a look in between.
        written(&folder, &(new.0.clone(), old.1.clone()));
        assert_eq!(renewal.turn(), Turned::Same);
        assert_eq!(in_use(&renewal), before);
        written(&folder, &new);
        assert_eq!(renewal.turn(), Turned::Renewed);
        assert_ne!(in_use(&renewal), before);
        assert_eq!(renewal.turn(), Turned::Same);
    }

    #[test]
    fn a_bad_pair_leaves_the_old_one_in_use_and_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (made(), made());
        let config = written(&folder, &old);
        let (_tls, mut renewal) = Tls::read(&config).unwrap().unwrap();
        let before = in_use(&renewal);
        let mut told = Vec::new();
        written(&folder, &(new.0.clone(), old.1.clone()));
        told.extend((0..5).map(|_| renewal.turn()));
        std::fs::remove_file(config.key.as_ref().unwrap()).unwrap();
        told.extend((0..5).map(|_| renewal.turn()));
        told.retain(|turned| *turned != Turned::Same);
        assert!(
            matches!(told.as_slice(), [Turned::Kept(a), Turned::Kept(b)] if a != b),
            "{told:?}"
        );
        assert_eq!(in_use(&renewal), before);
        written(&folder, &old);
        assert_eq!(renewal.turn(), Turned::Same);
    }
}
