//! Secrets that change while the program runs.
//!
//! Their contents are compared, not the files' times: Kubernetes swaps a symbolic link several folders above,
//! and a copy may keep the time of what it copies. Files are best replaced by a rename; one that is being
//! written is not a secret yet, and the one before it stays until it is.

use super::secrets::SecretRef;
use envelope::SourceName;
use signing::{Secret, Verifier};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The secrets of every source, as they were read last.
#[derive(Debug, Default)]
pub struct Rotation(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    source: SourceName,
    verifier: Arc<Verifier>,
    secrets: Vec<Live>,
}

#[derive(Debug)]
struct Live {
    reference: SecretRef,
    secret: Secret,
    /// Why the reference no longer gives one, where that has been told.
    told: Option<String>,
}

/// What became of one secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned {
    source: SourceName,
    reference: SecretRef,
    /// Why the old one stays in use, where it does.
    kept: Option<String>,
}

impl Rotation {
    pub(super) fn watch(
        &mut self,
        source: SourceName,
        verifier: Arc<Verifier>,
        secrets: Vec<(SecretRef, Secret)>,
    ) {
        let live = |(reference, secret)| Live {
            reference,
            secret,
            told: None,
        };
        self.0.push(Watched {
            source,
            verifier,
            secrets: secrets.into_iter().map(live).collect(),
        });
    }

    /// Reads the files again and again until `stop`. Whoever sends does not notice: a request is verified with
    /// all the old keys or all the new ones.
    pub async fn run(mut self, every: Duration, stop: CancellationToken) {
        let mut due = interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(due.tick()).await.is_some() {
            // A file may lie on a disk that is slow, or gone.
            let turning = tokio::task::spawn_blocking(move || {
                let turned = self.turn();
                (self, turned)
            });
            let Ok((same, turned)) = turning.await else {
                warn!("a defect ended the reading of secrets: a restart is needed for new ones");
                return;
            };
            self = same;
            turned.iter().for_each(Turned::tell);
        }
    }

    /// Reads every secret again; says what has changed.
    pub fn turn(&mut self) -> Vec<Turned> {
        let mut all = Vec::new();
        for index in 0..self.0.len() {
            let turned = self.turn_source(index);
            if turned.iter().any(|turned| turned.kept.is_none()) {
                self.0[index].rotate();
            }
            all.extend(turned);
        }
        all
    }

    fn turn_source(&mut self, index: usize) -> Vec<Turned> {
        let mut all = Vec::new();
        for number in 0..self.0[index].secrets.len() {
            let read = self.read(index, number);
            let source = self.0[index].source.clone();
            let live = &mut self.0[index].secrets[number];
            let kept = match read {
                Ok(secret) if secret.same_as(&live.secret) => {
                    live.told = None;
                    continue;
                }
                Ok(secret) => {
                    live.secret = secret;
                    live.told = None;
                    None
                }
                Err(why) if live.told.as_ref() == Some(&why) => continue,
                Err(why) => {
                    live.told = Some(why.clone());
                    Some(why)
                }
            };
            let reference = live.reference.clone();
            all.push(Turned {
                source,
                reference,
                kept,
            });
        }
        all
    }

    /// A secret that would do as well at the next start.
    fn read(&self, index: usize, number: usize) -> Result<Secret, String> {
        let watched = &self.0[index];
        let secret = watched.secrets[number].reference.read()?;
        let key = watched.verifier.scheme().key(&secret);
        key.map_err(|why| why.to_string())?;
        let mut others = self.0.iter().filter(|other| other.source != watched.source);
        let is_theirs =
            |other: &&Watched| other.secrets.iter().any(|its| its.secret.same_as(&secret));
        match others.find(is_theirs) {
            Some(other) => Err(format!(
                "sources.{} has the same secret: give each its own",
                other.source
            )),
            None => Ok(secret),
        }
    }
}

impl Watched {
    fn rotate(&self) {
        let scheme = self.verifier.scheme();
        let keys = self.secrets.iter().map(|live| scheme.key(&live.secret));
        // Each was tried when it was read.
        self.verifier.rotate(keys.filter_map(Result::ok).collect());
    }
}

impl Turned {
    /// A secret that stays because its file is not right will be missing after the next restart: mend it.
    fn tell(&self) {
        let (source, reference) = (self.source.as_str(), &self.reference);
        match &self.kept {
            None => info!(
                source.name = source,
                "{source} verifies with the new secret of {reference}"
            ),
            Some(why) => warn!(
                source.name = source,
                "{source} goes on with the old secret of {reference}: {why}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signing::SchemeName;
    use std::path::{Path, PathBuf};

    const OLD: &str = "the secret of yesterday";
    const NEW: &str = "the secret of today";

    fn watched(rotation: &mut Rotation, name: &str, file: &Path) -> Arc<Verifier> {
        let scheme = SchemeName::Spillway.scheme().unwrap();
        let reference = SecretRef::File(file.to_owned());
        let secret = reference.read().unwrap();
        let keys = vec![scheme.key(&secret).unwrap()];
        let verifier = Arc::new(Verifier::new(scheme, keys));
        let source = name.parse().unwrap();
        rotation.watch(source, verifier.clone(), vec![(reference, secret)]);
        verifier
    }

    fn kept(turned: &[Turned]) -> Vec<Option<String>> {
        turned.iter().map(|turned| turned.kept.clone()).collect()
    }

    fn in_folder(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, text).unwrap();
        (folder, file)
    }

    #[test]
    fn a_new_content_is_a_new_secret_and_is_told_once() {
        let (_folder, file) = in_folder(OLD);
        let mut rotation = Rotation::default();
        let verifier = watched(&mut rotation, "a", &file);
        let before = verifier.keys();
        assert!(rotation.turn().is_empty());
        assert!(Arc::ptr_eq(&before, &verifier.keys()));
        std::fs::write(&file, format!("{NEW}\n")).unwrap();
        assert_eq!(kept(&rotation.turn()), [None]);
        assert!(!Arc::ptr_eq(&before, &verifier.keys()));
        assert!(rotation.turn().is_empty());
    }

    #[test]
    fn what_is_no_secret_leaves_the_old_one_in_use_and_is_told_once() {
        let (_folder, file) = in_folder(OLD);
        let mut rotation = Rotation::default();
        let verifier = watched(&mut rotation, "a", &file);
        let before = verifier.keys();
        std::fs::write(&file, "short").unwrap();
        let told = kept(&rotation.turn());
        assert!(
            matches!(told.as_slice(), [Some(why)] if !why.contains("short")),
            "{told:?}"
        );
        assert!(rotation.turn().is_empty());
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(kept(&rotation.turn()).as_slice(), [Some(_)]));
        assert!(Arc::ptr_eq(&before, &verifier.keys()));
        std::fs::write(&file, OLD).unwrap();
        assert!(rotation.turn().is_empty());
        std::fs::write(&file, NEW).unwrap();
        assert_eq!(kept(&rotation.turn()), [None]);
    }

    #[test]
    fn the_secret_of_another_source_is_not_taken() {
        let ((_one, a), (_two, b)) = (in_folder(OLD), in_folder(NEW));
        let mut rotation = Rotation::default();
        watched(&mut rotation, "a", &a);
        watched(&mut rotation, "b", &b);
        std::fs::write(&a, NEW).unwrap();
        let told = kept(&rotation.turn());
        assert!(
            matches!(told.as_slice(), [Some(why)] if why.contains("sources.b")),
            "{told:?}"
        );
    }
}
