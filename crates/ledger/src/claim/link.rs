//! The connection to Redis, made anew whenever it was given up.
//!
//! Not the library's `ConnectionManager`: it never tries again after an error that is not about I/O (such
//! as "loading the dataset", which a restarted Redis says to AUTH), and it keeps a connection whose other
//! side has silently gone.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, Pipeline, RedisResult};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a connection may take, names resolved and password checked.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

type Slot = Arc<Mutex<Option<MultiplexedConnection>>>;

pub(super) struct Link {
    client: Client,
    slot: Slot,
}

impl Link {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            slot: Slot::default(),
        }
    }

    /// Sends a pipeline and reads its answers. May be dropped at any moment.
    pub(super) async fn ask<T: FromRedisValue>(&self, pipeline: &Pipeline) -> RedisResult<T> {
        let mut connection = self.connection().await?;
        pipeline.query_async(&mut connection).await
    }

    /// Gives the connection up; the next call makes a new one.
    pub(super) fn cut(&self) {
        // Locked means that somebody is connecting already, or has just taken a copy and will fail, too.
        if let Ok(mut slot) = self.slot.try_lock() {
            *slot = None;
        }
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        if let Some(connection) = &*self.slot.lock().await {
            return Ok(connection.clone());
        }
        // In a task of its own: whoever asks has 50 ms, a connection may need longer and is kept for the
        // next caller.
        let connecting = tokio::spawn(connect(self.client.clone(), Arc::clone(&self.slot)));
        connecting.await.map_err(std::io::Error::from)?
    }
}

/// One at a time: whoever comes second waits for the slot and finds it filled.
async fn connect(client: Client, slot: Slot) -> RedisResult<MultiplexedConnection> {
    let mut slot = slot.lock().await;
    if let Some(connection) = &*slot {
        return Ok(connection.clone());
    }
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        // Every call has its own bound already, and a second one would only race with it.
        .set_response_timeout(None);
    let connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    Ok(slot.insert(connection).clone())
}
