//! What `serve` prints once it is ready: where things are, and a command to try it with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

pub(super) struct Banner {
    webhooks: SocketAddr,
    admin: SocketAddr,
    data_dir: PathBuf,
    /// How this program was called, so that the next command can be pasted.
    program: String,
    /// The secret we made; nothing where the operator has one.
    secret: Option<PathBuf>,
    /// `https` where the door has a certificate.
    scheme: &'static str,
}

impl Banner {
    pub(super) fn new(
        public: &TcpListener,
        admin: &TcpListener,
        data_dir: &Path,
        secret: Option<PathBuf>,
        is_tls: bool,
    ) -> std::io::Result<Self> {
        let data_dir = data_dir.to_owned();
        let program = std::env::args()
            .next()
            .unwrap_or_else(|| "spillway".to_owned());
        Ok(Self {
            webhooks: public.local_addr()?,
            admin: admin.local_addr()?,
            data_dir,
            program,
            secret,
            scheme: if is_tls { "https" } else { "http" },
        })
    }

    pub(super) fn print(&self) {
        println!("{}", self.text());
    }

    fn text(&self) -> String {
        let Self {
            webhooks,
            admin,
            data_dir,
            program,
            secret,
            scheme,
        } = self;
        let watch = match *scheme {
            "http" => format!(
                "Or, and watch it being applied:\n\n  {program} send{}\n\n",
                send_flags(*webhooks, data_dir)
            ),
            // `send` speaks no TLS.
            _ => String::new(),
        };
        let (signed_with, read) = match secret {
            Some(path) => (
                format!("the secret in {}", path.display()),
                format!("$(cat {})", path.display()),
            ),
            None => (
                "the secrets you configured".to_owned(),
                "$WEBHOOK_SECRET".to_owned(),
            ),
        };
        let data_dir = data_dir.display();
        format!(
            r#"
Spillway is ready.

  webhooks   {scheme}://{webhooks}/webhook   (POST, signed with {signed_with})
  metrics    http://{admin}/metrics      (also /healthz and /readyz)
  data       {data_dir}   (ledger.db holds processed_webhooks, payments, orders, dead_letters)

Send a signed event:

  BODY='{{"orderId":"order_999","amount":9999,"status":"completed"}}'; TIME=$(date +%s)
  SIGNATURE=$(printf '%s.%s' "$TIME" "$BODY" | openssl dgst -sha256 -hmac "{read}" | sed 's/.*= *//')
  curl -i {scheme}://{webhooks}/webhook -H 'X-Event-Id: evt_12345' -H "X-Timestamp: $TIME" \
    -H "X-Signature: sha256=$SIGNATURE" -H 'Content-Type: application/json' --data-binary "$BODY"

{watch}Stop with Ctrl-C; started again on the same folder, it goes on where it stopped."#
        )
    }
}

/// What `send` cannot guess.
fn send_flags(webhooks: SocketAddr, data_dir: &Path) -> String {
    let mut flags = String::new();
    if data_dir != Path::new(crate::data_dir::DEFAULT) {
        flags += &format!(" --data-dir {}", data_dir.display());
    }
    if webhooks.port() != 8080 {
        flags += &format!(" --url http://{webhooks}/webhook");
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_says_where_things_are_and_how_to_try_them() {
        let banner = Banner {
            webhooks: "127.0.0.1:8080".parse().unwrap(),
            admin: "127.0.0.1:9080".parse().unwrap(),
            data_dir: "./spillway-data".into(),
            program: "target/release/spillway".to_owned(),
            secret: Some("./spillway-data/webhook-secret".into()),
            scheme: "http",
        };
        insta::assert_snapshot!(banner.text());
    }
}
