//! What lies in a queue: a passive declaration. It sees what is ready and who consumes, and not what is in
//! somebody's hands; no management plugin is needed.

use super::session::{Link, OpenError, Session, SessionWork, bounded};
use crate::{Look, LookError, QueueName};
use lapin::options::QueueDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Channel, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Looks that wait for their turn. Each takes milliseconds, and a program has a few tasks that look.
pub(super) const ASKS_MAX: usize = 16;

/// How long a look waits for a session and its answers. Whoever looks once a second learns within five that
/// the broker is away, which is when pulses count as gone too.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// One look that somebody waits for.
#[derive(Debug)]
pub(super) struct Ask {
    queues: Vec<QueueName>,
    answer: oneshot::Sender<Result<Vec<Look>, LookError>>,
}

/// Asks whoever serves the other end.
pub(super) async fn ask(
    asks: &mpsc::Sender<Ask>,
    queues: Vec<QueueName>,
) -> Result<Vec<Look>, LookError> {
    let away = |why: &str| LookError::Away(why.to_owned());
    let (answer, waiting) = oneshot::channel();
    let asking = async {
        let sent = asks.send(Ask { queues, answer }).await;
        sent.map_err(|_| away("this program is stopping"))?;
        let answered = waiting.await;
        answered.unwrap_or_else(|_| Err(away("the session ended")))
    };
    let answered = timeout(LOOK_TIMEOUT, asking).await;
    answered.unwrap_or_else(|_| Err(away("it did not answer in time")))
}

/// Answers until we stop.
pub(super) async fn supervise(link: Arc<Link>, asks: mpsc::Receiver<Ask>) {
    let mut work = Looking {
        link: link.clone(),
        asks,
    };
    link.keep_open("looking at queues", &mut work).await;
}

struct Looking {
    link: Arc<Link>,
    asks: mpsc::Receiver<Ask>,
}

impl SessionWork for Looking {
    const CONNECTION: &'static str = "looking";
    const CONSUMES: bool = false;

    async fn run(&mut self, session: &Session) -> bool {
        let stop = self.link.stop.clone();
        tokio::select! {
            () = stop.cancelled() => true,
            () = session.ended() => false,
            () = answer(session, &mut self.asks) => false,
        }
    }

    async fn meanwhile(&mut self) {
        // Who asks now waits for the next session, and not for long.
        std::future::pending().await
    }
}

/// Answers until the session fails.
async fn answer(session: &Session, asks: &mut mpsc::Receiver<Ask>) {
    while let Some(ask) = asks.recv().await {
        if ask.answer.is_closed() {
            continue;
        }
        let looks = look(session, &ask.queues).await;
        let away = matches!(looks, Err(LookError::Away(_)));
        // Whoever asked may have given up in between.
        let _ = ask.answer.send(looks);
        if away {
            return;
        }
    }
}

async fn look(session: &Session, queues: &[QueueName]) -> Result<Vec<Look>, LookError> {
    let away = |why: OpenError| LookError::Away(why.to_string());
    // A refusal closes the channel, so each look has one of its own.
    let channel = session.channel().await.map_err(away)?;
    let mut looks = Vec::with_capacity(queues.len());
    for queue in queues {
        let found = passive(&channel, queue).await.map_err(away)?;
        looks.push(found.ok_or_else(|| LookError::Missing(queue.clone()))?);
    }
    let closing = channel.close(200, "seen".into());
    bounded("closing a channel", closing).await.map_err(away)?;
    Ok(looks)
}

/// Nothing where there is no such queue; the channel is closed by then.
pub(super) async fn passive(
    channel: &Channel,
    queue: &QueueName,
) -> Result<Option<Look>, OpenError> {
    let options = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let asking = channel.queue_declare(queue.as_str().into(), options, FieldTable::default());
    bounded("asking for a queue", async {
        match asking.await {
            Ok(found) => Ok(Some(Look {
                ready: found.message_count().into(),
                unacked: None,
                delayed: None,
                consumers: Some(found.consumer_count().into()),
            })),
            Err(why) if is_missing(&why) => Ok(None),
            Err(why) => Err(why),
        }
    })
    .await
}

fn is_missing(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(refusal) = error.kind() else {
        return false;
    };
    *refusal.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)
}
