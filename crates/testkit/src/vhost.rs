//! A vhost per test in a shared RabbitMQ.

use anyhow::{Context as _, Result, anyhow};
use url::Url;

use crate::management::Management;

/// A vhost of its own, deleted with this value (best effort).
#[derive(Debug)]
pub struct Vhost {
    name: String,
    url: String,
    management: Management,
}

impl Vhost {
    /// Creates a vhost on the broker at `server` (an `amqp://` URL, whose vhost is ignored).
    pub(crate) async fn create(server: &str, management: &Management) -> Result<Self> {
        let name = crate::shared::unique_name();
        let mut url = Url::parse(server).context("the AMQP URL is not a URL")?;
        url.set_path(&name);
        let user = if url.username().is_empty() {
            "guest"
        } else {
            url.username()
        };
        management.create_vhost(&name, user).await?;
        Ok(Self {
            name,
            url: url.into(),
            management: management.clone(),
        })
    }

    /// The broker's `amqp://` URL with this vhost.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The vhost's name; it needs no encoding in a URL.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The broker's management API.
    #[must_use]
    pub fn management(&self) -> &Management {
        &self.management
    }

    /// How many messages are ready in `queue`, as the broker last counted them (a private
    /// one counts every second): for waiting on a depth, not for proving one.
    ///
    /// # Errors
    /// When there is no such queue.
    pub async fn ready(&self, queue: &str) -> Result<u64> {
        let queue = self
            .management
            .get(&format!("queues/{}/{queue}", self.name))
            .await?;
        queue["messages_ready"]
            .as_u64()
            .ok_or_else(|| anyhow!("not counted yet"))
    }

    /// Deletes the vhost now, which cuts the connections that are in it.
    ///
    /// # Errors
    /// When the broker does not do it.
    pub async fn close(self) -> Result<()> {
        self.management.delete(&self.path()).await
        // The drop deletes once more, and finds nothing: simpler than remembering.
    }

    fn path(&self) -> String {
        format!("vhosts/{}", self.name)
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let (management, path) = (self.management.clone(), self.path());
        crate::shared::tidy_up(async move { management.delete(&path).await });
    }
}
