//! Why a request is not taken: the status it gets, the word in the metrics, the sentence for its sender.

use broker::{KeepError, PublishError};
use hyper::StatusCode;
use signing::Refusal;
use std::borrow::Cow;
use std::net::IpAddr;

/// A request that is not taken. Nothing of it has been kept, except where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A header of the scheme is missing, empty, doubled, oversize or not what it should be.
    Malformed {
        header: &'static str,
        problem: &'static str,
    },
    /// The body ended before it was complete, or its framing is broken.
    BrokenBody,
    /// The signature does not match, or its timestamp is too far from now. The sender is not told which.
    Forbidden,
    /// There is no such source.
    UnknownSource,
    /// The source may not send from this address; none where a proxy handed on something else.
    Address(Option<IpAddr>),
    /// The source sends more often than it may.
    TooOften { retry_after_seconds: u64 },
    /// Not a POST.
    Method,
    /// The body took too long.
    TooSlow,
    /// The body is too large.
    TooLarge,
    /// The body is compressed: the signature covers the bytes as sent, and nobody downstream unpacks them.
    Encoding,
    /// The broker has not confirmed the event. It may be stored all the same.
    Unconfirmed(PublishError),
    /// The broker has not confirmed the event, and neither has the spool.
    Unspooled(KeepError),
    /// More is in flight than fits.
    Overloaded,
    /// More waits in the queue than the operator allows.
    Backlog,
    /// A defect of ours.
    Defect,
}

/// The outcome of a request whose event is on the broker.
pub(crate) const QUEUED: &str = "queued";
/// The outcome of a request whose event is in the spool.
pub(crate) const SPOOLED: &str = "spooled";

/// Every word of the label `outcome`.
pub(crate) const OUTCOMES: [&str; 19] = [
    QUEUED,
    SPOOLED,
    "malformed",
    "broken_body",
    "forbidden",
    "unknown_source",
    "address",
    "too_often",
    "method",
    "too_slow",
    "too_large",
    "encoding",
    "broker_away",
    "broker_refused",
    "spool_full",
    "spool_failed",
    "overloaded",
    "backlog",
    "defect",
];

impl Refused {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Malformed { .. } | Self::BrokenBody => StatusCode::BAD_REQUEST,
            Self::Forbidden | Self::Address(_) => StatusCode::FORBIDDEN,
            Self::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::UnknownSource => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unconfirmed(_) | Self::Unspooled(_) | Self::Overloaded | Self::Backlog => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Defect => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(crate) fn outcome(self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::BrokenBody => "broken_body",
            Self::Forbidden => "forbidden",
            Self::UnknownSource => "unknown_source",
            Self::Address(_) => "address",
            Self::TooOften { .. } => "too_often",
            Self::Method => "method",
            Self::TooSlow => "too_slow",
            Self::TooLarge => "too_large",
            Self::Encoding => "encoding",
            Self::Unconfirmed(why) => match why {
                PublishError::Away | PublishError::Blocked | PublishError::NoVerdict => {
                    "broker_away"
                }
                PublishError::Refused | PublishError::Unroutable => "broker_refused",
                PublishError::Overloaded => "overloaded",
            },
            Self::Unspooled(KeepError::Full) => "spool_full",
            Self::Unspooled(KeepError::Failed(_) | KeepError::Unreadable) => "spool_failed",
            Self::Overloaded => "overloaded",
            Self::Backlog => "backlog",
            Self::Defect => "defect",
        }
    }

    /// When to try again, in seconds. Broker restarts and elections take a few; a sender with its own backoff
    /// uses that instead.
    pub(crate) fn retry_after_seconds(self) -> Option<u64> {
        match self {
            Self::TooOften {
                retry_after_seconds,
            } => Some(retry_after_seconds),
            Self::Unconfirmed(_) | Self::Unspooled(_) | Self::Overloaded | Self::Backlog => Some(5),
            Self::Malformed { .. }
            | Self::BrokenBody
            | Self::Forbidden
            | Self::UnknownSource
            | Self::Address(_)
            | Self::Method
            | Self::TooSlow
            | Self::TooLarge
            | Self::Encoding
            | Self::Defect => None,
        }
    }

    /// Whether its signature was good, and only the event's way to the broker was not.
    pub(crate) fn is_verified(&self) -> bool {
        matches!(self, Self::Unconfirmed(_) | Self::Unspooled(_))
    }

    /// What the operator reads, who has to know which network is missing in `allow_from`, or which proxy is not
    /// trusted.
    pub(crate) fn reason(self) -> Cow<'static, str> {
        let Self::Address(address) = self else {
            return self.detail();
        };
        match address {
            Some(address) => format!("The address {address} is not in its allow_from.").into(),
            None => "A proxy handed on something that is no address.".into(),
        }
    }

    /// What the sender reads: enough to mend its request, nothing that helps to forge one.
    pub(crate) fn detail(self) -> Cow<'static, str> {
        match self {
            Self::Malformed { header, problem } => format!("The header {header} {problem}.").into(),
            Self::BrokenBody => "The body ended before it was complete.".into(),
            Self::Forbidden => "The signature or its timestamp is not valid.".into(),
            Self::UnknownSource => "There is no such source.".into(),
            // Not which address: behind a proxy that we do not know of, it is one of the operator's own.
            Self::Address(_) => "This source does not send from your address.".into(),
            Self::TooOften { .. } => {
                "This source sends too often. Wait, and send the event again.".into()
            }
            Self::Method => "Webhooks are sent with POST.".into(),
            Self::TooSlow => "The body took too long to arrive.".into(),
            Self::TooLarge => "The body is too large.".into(),
            Self::Encoding => "Send the body without a content encoding.".into(),
            Self::Unconfirmed(_) | Self::Unspooled(_) | Self::Overloaded | Self::Backlog => {
                "The event could not be stored in time. Send it again with the same event id."
                    .into()
            }
            Self::Defect => {
                "Something is wrong on our side. Send the event again with the same id.".into()
            }
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed { header, problem } => Self::Malformed { header, problem },
            Refusal::Signature | Refusal::Stale => Self::Forbidden,
        }
    }
}

impl From<PublishError> for Refused {
    fn from(why: PublishError) -> Self {
        Self::Unconfirmed(why)
    }
}

impl From<KeepError> for Refused {
    fn from(why: KeepError) -> Self {
        Self::Unspooled(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_word_of_the_list() {
        let unconfirmed = [
            PublishError::Away,
            PublishError::Blocked,
            PublishError::Refused,
            PublishError::Unroutable,
            PublishError::NoVerdict,
            PublishError::Overloaded,
        ];
        let others = [
            Refused::Malformed {
                header: "x",
                problem: "y",
            },
            Refused::BrokenBody,
            Refused::Forbidden,
            Refused::UnknownSource,
            Refused::Address(None),
            Refused::TooOften {
                retry_after_seconds: 1,
            },
            Refused::Method,
            Refused::TooSlow,
            Refused::TooLarge,
            Refused::Encoding,
            Refused::Unspooled(KeepError::Full),
            Refused::Unspooled(KeepError::Failed(PublishError::Blocked)),
            Refused::Unspooled(KeepError::Unreadable),
            Refused::Overloaded,
            Refused::Backlog,
            Refused::Defect,
        ];
        for refused in others
            .into_iter()
            .chain(unconfirmed.map(Refused::Unconfirmed))
        {
            assert!(OUTCOMES.contains(&refused.outcome()), "{refused:?}");
        }
    }
}
