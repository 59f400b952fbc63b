//! JSON written in other ways, without reading it: fields stay in their order and numbers as they were.

/// Without white space between its pieces.
pub(super) fn compact(text: &str) -> String {
    outside(text, |letter, out| {
        if !letter.is_ascii_whitespace() {
            out.push(letter);
        }
    })
}

/// With a space after each comma and colon.
pub(super) fn spaced(compact: &str) -> String {
    outside(compact, |letter, out| {
        out.push(letter);
        if matches!(letter, ',' | ':') {
            out.push(' ');
        }
    })
}

/// Two spaces a level, as most print it for people.
pub(super) fn indented(compact: &str) -> String {
    let empty = compact.replace("{}", "\u{1}").replace("[]", "\u{2}");
    let mut depth = 0_usize;
    let lines = outside(&empty, |letter, out| {
        let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
        match letter {
            '{' | '[' => {
                depth += 1;
                *out += &format!("{letter}{}", line(depth));
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                *out += &format!("{}{letter}", line(depth));
            }
            ',' => *out += &format!(",{}", line(depth)),
            ':' => *out += ": ",
            _ => out.push(letter),
        }
    });
    lines.replace('\u{1}', "{}").replace('\u{2}', "[]")
}

/// Every letter beyond ASCII as `\uXXXX`, those beyond the first plane as two.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if letter.is_ascii() {
            escaped.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                escaped += &format!("\\u{unit:04x}");
            }
        }
    }
    escaped
}

/// Every slash as `\/`.
pub(super) fn slashed(text: &str) -> String {
    text.replace("\\/", "/").replace('/', "\\/")
}

/// Letters beyond ASCII and slashes as they are.
pub(super) fn unescaped(text: &str) -> String {
    let mut units = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let (unit, length) = match escape(rest) {
            Some(unit) if unit >= 0x80 => (vec![unit], 6),
            // A backslash and what it escapes belong together.
            Some(_) => (rest[..6].encode_utf16().collect(), 6),
            None if rest.starts_with("\\/") => (vec![u16::from(b'/')], 2),
            None if letter == '\\' && rest.len() > 1 => {
                let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                (rest[..length].encode_utf16().collect(), length)
            }
            None => (letter.encode_utf16(&mut [0; 2]).to_vec(), letter.len_utf8()),
        };
        units.extend(unit);
        rest = &rest[length..];
    }
    String::from_utf16_lossy(&units)
}

fn escape(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

/// Rewrites what is outside of quotes.
fn outside(text: &str, mut write: impl FnMut(char, &mut String)) -> String {
    let (mut out, mut quoted, mut escape) = (String::new(), false, false);
    for letter in text.chars() {
        if quoted || letter == '"' {
            out.push(letter);
        } else {
            write(letter, &mut out);
        }
        if letter == '"' && !escape {
            quoted = !quoted;
        }
        escape = quoted && letter == '\\' && !escape;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_quotes_is_left_alone() {
        let text = r#"{ "a, b: \" c" : [ 1.50 , { } ] }"#;
        let plain = r#"{"a, b: \" c":[1.50,{}]}"#;
        assert_eq!(compact(text), plain);
        assert_eq!(spaced(plain), r#"{"a, b: \" c": [1.50, {}]}"#);
        assert_eq!(
            indented(plain),
            "{\n  \"a, b: \\\" c\": [\n    1.50,\n    {}\n  ]\n}"
        );
    }

    #[test]
    fn letters_are_escaped_and_taken_back() {
        for (plain, ascii) in [
            ("Zoë", "Zo\\u00eb"),
            ("😀", "\\ud83d\\ude00"),
            ("a\\\\u00eb\\n\\u0041", "a\\\\u00eb\\n\\u0041"),
        ] {
            assert_eq!(escaped(plain), ascii);
            assert_eq!(unescaped(ascii), plain);
        }
        assert_eq!(unescaped("a\\/b"), "a/b");
        assert_eq!(slashed("a\\/b/c"), "a\\/b\\/c");
    }
}
