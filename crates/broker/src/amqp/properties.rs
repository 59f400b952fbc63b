//! Between our wire form and AMQP properties.

use crate::Content;
use bytes::Bytes;
use envelope::{Envelope, Fields, Wire, WireValue};
use lapin::BasicProperties;
use lapin::message::Delivery as AmqpDelivery;
use lapin::protocol::basic::{gen_properties, parse_properties};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use std::collections::BTreeMap;

/// Set by quorum queues on a message they hand out again.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// Set by streams on every entry they hand out.
const STREAM_OFFSET: &str = "x-stream-offset";
/// Persistent: what is dead-lettered keeps the mode it was published with.
const PERSISTENT: u8 = 2;

pub(super) fn write(envelope: &Envelope) -> BasicProperties {
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_app_id("spillway".into())
        .with_headers(headers(envelope));
    if let Some(id) = short(envelope.event_id.as_str()) {
        properties = properties.with_message_id(id);
    }
    let content_type = envelope.content_type.as_ref();
    if let Some(content_type) = content_type.and_then(|value| short(value.as_str())) {
        properties = properties.with_content_type(content_type);
    }
    match envelope.timestamp() {
        Some(timestamp) => properties.with_timestamp(timestamp),
        None => properties,
    }
}

/// The library panics on a longer text. Envelopes are bounded, so this leaves nothing of ours out.
fn short(text: &str) -> Option<ShortString> {
    ShortString::try_new(text).ok()
}

fn headers(envelope: &Envelope) -> FieldTable {
    let mut table = FieldTable::default();
    envelope.write_headers(|name, value| {
        let value = match value {
            WireValue::Int(number) => AMQPValue::LongLongInt(number),
            WireValue::Text(text) => AMQPValue::LongString(text.into()),
        };
        table.insert(name.into(), value);
    });
    table
}

/// What a delivery holds, and how often it was handed out before.
pub(super) fn read(delivery: AmqpDelivery) -> (Content, u32) {
    let properties = delivery.properties;
    let headers = properties.headers().as_ref();
    let count = headers
        .and_then(|table| table.inner().get(DELIVERY_COUNT))
        .and_then(int);
    let count = count.map_or(u32::from(delivery.redelivered), |count| {
        u32::try_from(count).unwrap_or(u32::MAX)
    });
    let content = Content::read(&Properties(&properties), delivery.data.into(), wire);
    (content, count)
}

/// What lies on the wire, the properties and then the body, as a delivery's content; nothing where the client
/// library makes no properties of it. For fuzzing: a delivery of the library's own cannot be made.
#[doc(hidden)]
pub fn from_bytes(bytes: &[u8]) -> Option<Content> {
    let (body, properties) = parse_properties(bytes).ok()?;
    let body = Bytes::copy_from_slice(body);
    Some(Content::read(&Properties(&properties), body, wire))
}

/// What [`from_bytes`] reads.
#[doc(hidden)]
pub fn to_bytes(envelope: &Envelope) -> Vec<u8> {
    let properties = write(envelope);
    let written = gen_properties(&properties)(Vec::new().into());
    let written = written.expect("memory takes what is written to it");
    [&written.write[..], &envelope.body].concat()
}

/// What the client library has read.
struct Properties<'a>(&'a BasicProperties);

impl Properties<'_> {
    fn header(&self, name: &str) -> Option<&AMQPValue> {
        self.0.headers().as_ref()?.inner().get(name)
    }
}

impl Fields for Properties<'_> {
    fn message_id(&self) -> Option<&str> {
        self.0.message_id().as_ref().map(ShortString::as_str)
    }

    fn content_type(&self) -> Option<&str> {
        self.0.content_type().as_ref().map(ShortString::as_str)
    }

    fn int(&self, name: &str) -> Option<i64> {
        self.header(name).and_then(int)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.header(name).and_then(text)
    }
}

/// All of it, to keep what is not ours.
fn wire(Properties(properties): &Properties<'_>) -> Wire {
    let text = |text: &Option<ShortString>| text.as_ref().map(ToString::to_string);
    let headers = properties.headers().as_ref();
    Wire {
        message_id: text(properties.message_id()),
        timestamp: *properties.timestamp(),
        content_type: text(properties.content_type()),
        headers: headers.map(plain_headers).unwrap_or_default(),
    }
}

/// The place of an entry in its stream.
pub(super) fn stream_offset(delivery: &AmqpDelivery) -> Option<u64> {
    let headers = delivery.properties.headers().as_ref()?;
    let offset = headers.inner().get(STREAM_OFFSET).and_then(int)?;
    u64::try_from(offset).ok()
}

fn plain_headers(table: &FieldTable) -> BTreeMap<String, WireValue> {
    let readable = |(name, value): (&ShortString, &AMQPValue)| {
        let value = int(value)
            .map(WireValue::Int)
            .or_else(|| text(value).map(|text| WireValue::Text(text.to_owned())))?;
        Some((name.to_string(), value))
    };
    table.inner().iter().filter_map(readable).collect()
}

fn int(value: &AMQPValue) -> Option<i64> {
    match value {
        AMQPValue::ShortShortInt(number) => Some((*number).into()),
        AMQPValue::ShortShortUInt(number) => Some((*number).into()),
        AMQPValue::ShortInt(number) => Some((*number).into()),
        AMQPValue::ShortUInt(number) => Some((*number).into()),
        AMQPValue::LongInt(number) => Some((*number).into()),
        AMQPValue::LongUInt(number) => Some((*number).into()),
        AMQPValue::LongLongInt(number) => Some(*number),
        AMQPValue::Boolean(_)
        | AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::ShortString(_)
        | AMQPValue::LongString(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::Timestamp(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => None,
    }
}

fn text(value: &AMQPValue) -> Option<&str> {
    if let AMQPValue::LongString(text) = value {
        std::str::from_utf8(text.as_bytes()).ok()
    } else {
        None
    }
}
