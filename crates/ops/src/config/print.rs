//! The configuration as it is in effect, with where each value comes from; and the reference of every key.

use super::layers::{Layers, MAPS};
use super::{Config, ConfigError, HmacConfig, WEBHOOK_SECRET, load};
use confique::Config as _;
use confique::meta::{Expr, Field, FieldKind, LeafKind, Meta};
use std::fmt::Write;
use std::path::Path;
use toml::Value;

/// From where on the origin of a value stands.
const ORIGIN_COLUMN: usize = 48;

/// The configuration in effect, as TOML, each value with its origin. Passwords are masked; secrets are references
/// anyway.
///
/// # Errors
/// As of [`load`].
pub fn effective(file: Option<&Path>) -> Result<String, ConfigError> {
    // Only what could be used is shown: what cannot has its problems told instead.
    load(file)?;
    let layers = load::layers(file)?;
    let name = file.map_or_else(String::new, |file| file.display().to_string());
    let mut page = Page {
        text: String::new(),
        layers: &layers,
        file: &name,
    };
    page.table("", &Config::META);
    for (map, meta) in MAPS {
        for name in layers.names(map) {
            page.table(&format!("{map}.{name}"), meta);
        }
    }
    if std::env::var_os(WEBHOOK_SECRET).is_some() {
        page.secret_of_default();
    }
    Ok(page.text.trim_start().to_owned())
}

struct Page<'a> {
    text: String,
    layers: &'a Layers,
    file: &'a str,
}

impl Page<'_> {
    fn table(&mut self, path: &str, meta: &'static Meta) {
        let leaves: Vec<_> = meta.fields.iter().filter(|field| is_leaf(field)).collect();
        if !path.is_empty() {
            // Writing to a text cannot fail.
            let _ = writeln!(self.text, "\n[{path}]");
            leaves.iter().for_each(|field| self.leaf(path, field));
        }
        for field in meta.fields {
            if let FieldKind::Nested { meta } = field.kind {
                self.table(&below(path, field.name), meta);
            }
        }
    }

    fn leaf(&mut self, path: &str, field: &Field) {
        match self.layers.get(&below(path, field.name)) {
            Some((value, Some(variable))) => self.line(field.name, &masked(value), variable),
            Some((value, None)) => self.line(field.name, &masked(value), self.file),
            None => match default(field) {
                Some(value) => self.line(field.name, &value, "default"),
                None => {
                    let _ = writeln!(self.text, "# {} is not set", field.name);
                }
            },
        }
    }

    /// What the variable adds; a second table of one name would be no TOML.
    fn secret_of_default(&mut self) {
        let reference = format!("\"env:{WEBHOOK_SECRET}\"");
        if self.layers.get("sources.default").is_some() {
            let _ = writeln!(
                self.text,
                "\n# sources.default is signed with {reference} as well"
            );
            return;
        }
        self.text += "\n[sources.default]\n";
        self.line("secrets", &format!("[{reference}]"), WEBHOOK_SECRET);
    }

    fn line(&mut self, key: &str, value: &str, origin: &str) {
        let setting = format!("{key} = {value}");
        let _ = writeln!(self.text, "{setting:<ORIGIN_COLUMN$} # {origin}");
    }
}

fn is_leaf(field: &Field) -> bool {
    matches!(field.kind, FieldKind::Leaf { .. })
}

fn below(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

fn default(field: &Field) -> Option<String> {
    match field.kind {
        FieldKind::Leaf {
            kind: LeafKind::Required {
                default: Some(value),
            },
            ..
        } => Some(written(&value)),
        FieldKind::Leaf { .. } | FieldKind::Nested { .. } => None,
    }
}

fn written(value: &Expr) -> String {
    Value::try_from(value).map_or_else(|_| "?".to_owned(), |value| value.to_string())
}

/// URLs without their passwords.
fn masked(value: &Value) -> String {
    match value {
        Value::String(text) => Value::String(without_password(text)).to_string(),
        other @ (Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table(_)) => other.to_string(),
    }
}

fn without_password(text: &str) -> String {
    let hidden = without_parameter(text);
    let Some((scheme, rest)) = hidden.split_once("://") else {
        return hidden;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((who, _)) => {
            let user = who.split(':').next().unwrap_or_default();
            let host = &rest[who.len() + 1..];
            format!("{scheme}://{user}:***@{host}")
        }
        None => hidden,
    }
}

/// `password=…`, as a Postgres URL or connection string may have it.
fn without_parameter(text: &str) -> String {
    const NAME: &str = "password=";
    let Some(at) = text.find(NAME) else {
        return text.to_owned();
    };
    let value = at + NAME.len();
    let end = text[value..]
        .find(['&', ' '])
        .map_or(text.len(), |end| value + end);
    format!("{}***{}", &text[..value], &text[end..])
}

/// The reference of every key, as Markdown.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    for field in Config::META.fields {
        if let FieldKind::Nested { meta } = field.kind {
            describe(&mut text, field.name, field.doc, meta);
        }
    }
    for (map, meta) in MAPS {
        let doc = Config::META.fields.iter().find(|field| field.name == map);
        describe(
            &mut text,
            &format!("{map}.NAME"),
            doc.map_or(&[], |field| field.doc),
            meta,
        );
    }
    let doc =
        ["A signature as the operator describes it, for `scheme = \"hmac\"`: an HMAC-SHA256."];
    describe(&mut text, "sources.NAME.hmac", &doc, &HmacConfig::META);
    text
}

const HEAD: &str = "# Configuration

Written by `spillway config reference`; a test holds it current.

One TOML file (`--config`, `SPILLWAY_CONFIG`), the environment over it, flags over both. Every program reads the same file.
An unknown key is an error, and all problems are told at once: `spillway config check`, or `--check` of each program.
`spillway config print` shows what is in effect, and from where. Times are written `800ms`, `5s`, `24h`, `30d`.

`WEBHOOK_SECRET` is the secret of the source `default`, which needs no table then.

## Schemes

`spillway` (of the README; the default), `standard-webhooks`, `svix`, `stripe`, `github`, `shopify`, `slack`, each checked
against its vendor's own library or published examples; `hmac`, described by `[sources.NAME.hmac]`; and `none`, which needs
`insecure = true` and a private network. Where each has the event id, and what a captured request is good for:
`crates/signing/src/schemes/`.

## Where a secret lies

`env:NAME` is a variable, `file:PATH` a file, `age:PATH` a file encrypted with [age](https://age-encryption.org/v1), so that no
disk has it in plain text. Each URL below may be a `file:PATH` or an `age:PATH` as well. What opens encrypted files comes with
the environment: `SPILLWAY_AGE_IDENTITY` (`AGE-SECRET-KEY-1…`), or `SPILLWAY_AGE_IDENTITY_FILE`, the path of a file as
`age-keygen` writes it. Several identities may stand there, one a line, any of which opens; passphrases, plugins and SSH keys do
not. A secret that somebody gave you is encrypted with `age -a -r age1… -o stripe.age`; `spillway secret generate
--age-recipient age1… --out FILE` makes one that never lay anywhere unencrypted.

## Rotating a secret

Secrets in files are read again while we run, and a request is verified with all the old ones or all the new ones. `spillway
secret generate` makes one, `spillway secret check` says whether each can be used. Let `secrets` name two files, the current one
and the one before it, and replace them by renaming. The old one can go when
`spillway_ingest_secret_last_verified_timestamp_seconds` says that nobody has signed with it for as long as the sender sends
again. A file that is no secret leaves the one before it in use, with a warning.

## When a sender is refused

`spillway sig explain request.txt` says why, from the request as it was on the wire or from what `curl -v` printed (the body with
`--body`): another secret, a wrong clock, a body that was written again, a missing header, another scheme. `spillway sig sign`
and `sig verify` do what a sender and the door do. None of them prints a secret.
";

fn describe(text: &mut String, name: &str, doc: &[&str], meta: &Meta) {
    let _ = writeln!(text, "\n## `[{name}]`\n\n{}\n", sentence(doc));
    let _ = writeln!(text, "| key | default | variable | |\n|---|---|---|---|");
    for field in meta.fields.iter().filter(|field| is_leaf(field)) {
        let variable = match field.kind {
            FieldKind::Leaf {
                env: Some(name), ..
            } => format!("`{name}`"),
            FieldKind::Leaf { env: None, .. } | FieldKind::Nested { .. } => String::new(),
        };
        let default = default(field).map_or_else(String::new, |value| format!("`{value}`"));
        let doc = sentence(field.doc).replace('|', "\\|");
        let _ = writeln!(
            text,
            "| `{}` | {default} | {variable} | {doc} |",
            field.name
        );
    }
    for field in meta.fields {
        if let FieldKind::Nested { meta } = field.kind {
            describe(text, &below(name, field.name), field.doc, meta);
        }
    }
}

fn sentence(doc: &[&str]) -> String {
    doc.iter()
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join(" ")
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_masked_wherever_a_url_has_it() {
        for (url, shown) in [
            (
                "amqp://user:pa:ss@host:5672/%2f",
                "amqp://user:***@host:5672/%2f",
            ),
            ("amqp://user:p@ss@host", "amqp://user:***@host"),
            ("redis://:secret@host", "redis://:***@host"),
            (
                "postgres://host/db?user=a&password=b&x=c",
                "postgres://host/db?user=a&password=***&x=c",
            ),
            ("host=h password=b user=a", "host=h password=*** user=a"),
            ("redis://host:6379", "redis://host:6379"),
            ("sqlite:/a@b", "sqlite:/a@b"),
            ("age:/run/url.age", "age:/run/url.age"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn the_reference_in_the_docs_is_the_one_of_this_code() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        let hint = "run: cargo run -- config reference > docs/configuration.md";
        assert!(
            kept == reference(),
            "docs/configuration.md is out of date; {hint}"
        );
    }

    #[test]
    fn every_key_has_its_reason() {
        let bare = |line: &&str| line.starts_with("| `") && line.ends_with("|  |");
        let reference = reference();
        let bare: Vec<_> = reference.lines().filter(bare).collect();
        assert!(bare.is_empty(), "{bare:#?}");
    }
}
