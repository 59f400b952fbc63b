//! Between our wire form and AMQP properties.

use crate::Content;
use envelope::{Wire, WireValue};
use lapin::BasicProperties;
use lapin::message::Delivery as AmqpDelivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use std::collections::BTreeMap;

/// Set by quorum queues on a message they hand out again.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// Set by streams on every entry they hand out.
const STREAM_OFFSET: &str = "x-stream-offset";
/// Persistent: what is dead-lettered keeps the mode it was published with.
const PERSISTENT: u8 = 2;

pub(super) fn write(wire: Wire) -> BasicProperties {
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_app_id("spillway".into())
        .with_headers(headers(wire.headers));
    if let Some(id) = wire.message_id.and_then(short) {
        properties = properties.with_message_id(id);
    }
    if let Some(content_type) = wire.content_type.and_then(short) {
        properties = properties.with_content_type(content_type);
    }
    match wire.timestamp {
        Some(timestamp) => properties.with_timestamp(timestamp),
        None => properties,
    }
}

/// The library panics on a longer text. Envelopes are bounded, so this leaves nothing of ours out.
fn short(text: String) -> Option<ShortString> {
    ShortString::try_new(text).ok()
}

fn headers(headers: BTreeMap<String, WireValue>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        let value = match value {
            WireValue::Int(number) => AMQPValue::LongLongInt(number),
            WireValue::Text(text) => AMQPValue::LongString(text.into()),
        };
        if let Some(name) = short(name) {
            table.insert(name, value);
        }
    }
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
    let wire = Wire {
        message_id: properties.message_id().as_ref().map(ToString::to_string),
        timestamp: *properties.timestamp(),
        content_type: properties.content_type().as_ref().map(ToString::to_string),
        headers: headers.map(plain_headers).unwrap_or_default(),
    };
    (Content::read(wire, delivery.data.into()), count)
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
            .or_else(|| text(value).map(WireValue::Text))?;
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

fn text(value: &AMQPValue) -> Option<String> {
    if let AMQPValue::LongString(text) = value {
        String::from_utf8(text.as_bytes().to_vec()).ok()
    } else {
        None
    }
}
