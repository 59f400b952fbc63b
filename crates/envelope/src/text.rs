//! Bounded texts that travel as headers.

macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(Box<str>);

        impl $name {
            /// The longest text, in bytes.
            pub const MAX_BYTES: usize = $max;

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

bounded_text!(
    /// The media type the sender named, at most 128 visible ASCII characters and spaces.
    ContentType, 128
);
bounded_text!(
    /// A W3C `traceparent` header (<https://www.w3.org/TR/trace-context/#traceparent-header>).
    TraceParent, 64
);
bounded_text!(
    /// Why the last attempt failed, cut to 255 bytes. Whoever makes one leaves bodies out (I9).
    ErrorText, 255
);

impl ContentType {
    /// The media type, or nothing where it could not be carried in an AMQP short string.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        plain(bytes, Self::MAX_BYTES).map(Self)
    }
}

impl TraceParent {
    /// The header, or nothing where it is not of the form version-trace-parent-flags.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let text = plain(bytes, Self::MAX_BYTES)?;
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
        (lengths == [2, 32, 16, 2] && text.bytes().all(lower_hex)).then_some(Self(text))
    }

    /// The trace it belongs to: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }

    /// The sender's span in that trace: 16 hexadecimal digits.
    pub fn parent_id(&self) -> &str {
        &self.0[36..52]
    }
}

impl ErrorText {
    /// Cuts a message to what a header holds, at a character boundary.
    pub fn cut(message: &str) -> Self {
        let end = (0..=Self::MAX_BYTES.min(message.len()))
            .rev()
            .find(|&end| message.is_char_boundary(end))
            .unwrap_or(0);
        Self(message[..end].into())
    }
}

fn plain(bytes: &[u8], max_bytes: usize) -> Option<Box<str>> {
    let bounded = (1..=max_bytes).contains(&bytes.len());
    let visible = bytes
        .iter()
        .all(|&byte| byte.is_ascii_graphic() || byte == b' ');
    let text = std::str::from_utf8(bytes).ok()?;
    (bounded && visible).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_cut_at_a_character_and_never_longer_than_its_header() {
        let cut = ErrorText::cut(&"é".repeat(200));
        assert_eq!(cut.as_str().len(), 254);
        assert_eq!(ErrorText::cut("short").as_str(), "short");
    }

    #[test]
    fn a_traceparent_of_another_form_is_left_behind() {
        let good = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let traceparent = TraceParent::from_bytes(good).unwrap();
        assert_eq!(traceparent.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(traceparent.parent_id(), "00f067aa0ba902b7");
        assert!(TraceParent::from_bytes(b"00-xyz").is_none());
        assert!(TraceParent::from_bytes(&[b'0'; 55]).is_none());
    }
}
