//! Where the door is, and what it is called there.

use anyhow::{Context, bail};
use envelope::SourceName;
use std::net::{SocketAddr, ToSocketAddrs};
use url::Url;

/// The door a run sends to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// Where it listens.
    pub address: SocketAddr,
    /// The value of `Host`.
    pub host: String,
    /// The path.
    pub path: String,
    /// Whose events come there.
    pub source: SourceName,
}

impl Door {
    /// From a URL, with or without a path, and the source, where one is named.
    ///
    /// # Errors
    /// Where it is not an http URL, its host has no address, or its path and the source contradict each other.
    pub fn at(url: &Url, source: Option<SourceName>) -> anyhow::Result<Self> {
        let (address, host) = address(url)?;
        let default = || "default".parse().expect("a name of ours");
        let named = url
            .path()
            .strip_prefix("/webhooks/")
            .map(str::parse::<SourceName>);
        let (path, source) = match (url.path(), named.transpose()?, source) {
            (_, Some(named), Some(source)) if named != source => {
                bail!("the URL is that of the source {named}, not of {source}")
            }
            (path, Some(named), _) => (path.to_owned(), named),
            ("" | "/", None, None) => ("/webhook".to_owned(), default()),
            ("" | "/", None, Some(source)) => (format!("/webhooks/{source}"), source),
            // Somebody else's door.
            (path, None, source) => (path.to_owned(), source.unwrap_or_else(default)),
        };
        Ok(Self {
            address,
            host,
            path,
            source,
        })
    }
}

/// The address of a URL, and what `Host` says.
pub(crate) fn address(url: &Url) -> anyhow::Result<(SocketAddr, String)> {
    if url.scheme() != "http" {
        bail!("{url}: this version speaks http only; put a proxy between for TLS");
    }
    let host = url
        .host_str()
        .with_context(|| format!("{url} has no host"))?;
    let port = url.port().unwrap_or(80);
    // A name may stand for several addresses; one is enough, and it is looked up once.
    let address = (host.trim_matches(['[', ']']), port)
        .to_socket_addrs()
        .with_context(|| format!("{host} has no address"))?
        .next()
        .with_context(|| format!("{host} has no address"))?;
    Ok((address, format!("{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, source: Option<&str>) -> Result<(String, String), String> {
        let door = Door::at(
            &url.parse().unwrap(),
            source.map(|name| name.parse().unwrap()),
        );
        let door = door.map_err(|why| why.to_string())?;
        Ok((door.path, door.source.to_string()))
    }

    #[test]
    fn a_door_is_found_by_its_url_its_source_or_both() {
        let is = |path: &str, source: &str| Ok((path.to_owned(), source.to_owned()));
        assert_eq!(
            check("http://127.0.0.1:8080", None),
            is("/webhook", "default")
        );
        assert_eq!(
            check("http://127.0.0.1:8080/", Some("stripe")),
            is("/webhooks/stripe", "stripe")
        );
        assert_eq!(
            check("http://127.0.0.1:8080/webhooks/a", None),
            is("/webhooks/a", "a")
        );
        assert_eq!(
            check("http://127.0.0.1:8080/webhooks/a", Some("a")),
            is("/webhooks/a", "a")
        );
        assert_eq!(
            check("http://[::1]:8080/hook", None),
            is("/hook", "default")
        );
        assert!(check("http://127.0.0.1/webhooks/a", Some("b")).is_err());
        assert!(
            check("https://127.0.0.1", None)
                .unwrap_err()
                .contains("http only")
        );
    }
}
