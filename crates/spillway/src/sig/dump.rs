//! A request out of a file: as it was on the wire, or as `curl -v` shows it.

use anyhow::bail;
use signing::explain::Captured;

/// How `curl -v` begins a line that it has sent.
const SENT: &str = "> ";

/// Reads a request. The line with the method is passed over where there is one.
pub(super) fn parse(bytes: &[u8]) -> anyhow::Result<Captured> {
    let (head, body) = split(bytes);
    let text = String::from_utf8_lossy(head);
    let is_curls = text.lines().any(|line| line.starts_with(SENT));
    let lines = text.lines().filter_map(|line| {
        if is_curls {
            line.strip_prefix(SENT)
        } else {
            Some(line)
        }
    });
    let headers: Vec<_> = lines.filter_map(header).collect();
    if headers.is_empty() {
        bail!(
            "there is no header in the request: it is a head, an empty line and a body, or what curl -v prints"
        );
    }
    // Between its lines curl shows none of the body.
    let body = if is_curls { Vec::new() } else { body.to_vec() };
    Ok(Captured { headers, body })
}

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_name = !name.is_empty() && name.bytes().all(of_a_name);
    is_name.then(|| (name.to_owned(), value.trim().to_owned()))
}

fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = |end: &[u8]| {
        let found = bytes.windows(end.len()).position(|window| window == end);
        found.map(|at| (at, at + end.len()))
    };
    let ends = [at(b"\r\n\r\n"), at(b"\n\n")];
    match ends.into_iter().flatten().min() {
        Some((head, body)) => (&bytes[..head], &bytes[body..]),
        None => (bytes, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> (Vec<(String, String)>, String) {
        let request = parse(text.as_bytes()).unwrap();
        (request.headers, String::from_utf8(request.body).unwrap())
    }

    #[test]
    fn a_request_off_the_wire_is_read_byte_for_byte() {
        let (headers, body) =
            check("POST /webhook HTTP/1.1\r\nHost: a:80\r\nX-Event-Id:  e1 \r\n\r\n{\n\n}\n");
        let expected = [("Host", "a:80"), ("X-Event-Id", "e1")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(headers, expected);
        assert_eq!(body, "{\n\n}\n");
        assert_eq!(check("a: b\n\nbody").1, "body");
    }

    #[test]
    fn of_what_curl_prints_only_what_it_sent_is_read() {
        let (headers, body) = check(
            "*   Trying 127.0.0.1:8080...\n> POST /webhook HTTP/1.1\n> Host: localhost\n> X-Event-Id: e1\n> \n\
             * upload completely sent off\n< HTTP/1.1 403 Forbidden\n< x-request-id: abc\n\n{}",
        );
        assert_eq!(headers.len(), 2);
        assert_eq!(headers[1], ("X-Event-Id".to_owned(), "e1".to_owned()));
        assert_eq!(body, "");
    }

    #[test]
    fn what_has_no_headers_is_no_request() {
        assert!(parse(b"{\"a\": 1}").is_err());
    }
}
