//! Bytes that others chose, made fit for a terminal.
//!
//! A file's name may hold anything but NUL and '/', also sequences that move a cursor or retitle a
//! window, text that runs backwards, and bytes that are no text at all. What comes out of here is
//! printable, on one line, and leads back to the bytes.

use std::borrow::Cow;
use std::fmt::Write;

/// `bytes` as they are, when they are printable and hold neither space, quote nor backslash; else in
/// double quotes with `\"`, `\\`, `\n`, `\r`, `\t`, `\xNN` for a byte and `\u{N}` for a character.
pub(crate) fn quoted(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(bytes)
        && !text.is_empty()
        && text.chars().all(is_plain)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 8);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for ch in chunk.valid().chars() {
            push(&mut out, ch);
        }
        for byte in chunk.invalid() {
            push_byte(&mut out, *byte);
        }
    }
    out.push('"');
    Cow::Owned(out)
}

/// A path for a message: as it is where that is safe.
pub(crate) fn path(path: &std::path::Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    quoted(path.as_os_str().as_bytes()).into_owned()
}

fn is_plain(ch: char) -> bool {
    match ch {
        '"' | '\\' => false,
        '!'..='~' => true,
        ' '..='\u{7f}' | '\0'..'\u{20}' => false,
        _ => is_printable(ch),
    }
}

/// Whether a character beyond ASCII has a place and a shape of its own: not one that is invisible,
/// turns the direction of text, joins the one before it, or is a kind of space.
fn is_printable(ch: char) -> bool {
    ch.escape_debug().len() == 1
}

fn push(out: &mut String, ch: char) {
    match ch {
        '"' | '\\' => out.extend(['\\', ch]),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        ' ' => out.push(' '),
        _ if is_plain(ch) => out.push(ch),
        _ if ch.is_ascii() => push_byte(out, ch as u8),
        _ => out.extend(ch.escape_unicode()),
    }
}

fn push_byte(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_as_they_are() {
        for name in ["letter", "a.b-c_d+e,f@g:h=i~", "/sub/größe", "日本語", "'", "<>$`*?"] {
            assert_eq!(quoted(name.as_bytes()), name);
        }
    }

    #[test]
    fn what_a_terminal_acts_on_is_escaped() {
        let cases: [(&[u8], &str); 14] = [
            (b"", r#""""#),
            (b"two words", r#""two words""#),
            (b"a\nb", r#""a\nb""#),
            (b"\r\t", r#""\r\t""#),
            (b"\x1b]0;title\x07", r#""\x1b]0;title\x07""#),
            (b"\x7f", r#""\x7f""#),
            (b"say \"hi\"", r#""say \"hi\"""#),
            (b"back\\slash", r#""back\\slash""#),
            (b"\xff\xfe", r#""\xff\xfe""#),
            (b"caf\xe9", r#""caf\xe9""#),
            ("\u{9b}31m".as_bytes(), r#""\u{9b}31m""#),
            ("evil\u{202e}gpj.exe".as_bytes(), r#""evil\u{202e}gpj.exe""#),
            ("zero\u{200b}width".as_bytes(), r#""zero\u{200b}width""#),
            ("no\u{a0}break".as_bytes(), r#""no\u{a0}break""#),
        ];
        for (bytes, want) in cases {
            assert_eq!(quoted(bytes), want, "{bytes:?}");
        }
    }

    /// Reads an escaped text back, to show that no two names look the same.
    fn unquoted(text: &str) -> Vec<u8> {
        let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
            return text.as_bytes().to_vec();
        };
        let mut out = Vec::new();
        let mut chars = inner.chars();
        while let Some(ch) = chars.next() {
            let mut encode =
                |ch: char| out.extend_from_slice(ch.encode_utf8(&mut [0; 4]).as_bytes());
            match ch {
                '\\' => match chars.next().unwrap() {
                    'n' => encode('\n'),
                    'r' => encode('\r'),
                    't' => encode('\t'),
                    'x' => {
                        let digits: String = chars.by_ref().take(2).collect();
                        out.push(u8::from_str_radix(&digits, 16).unwrap());
                    }
                    'u' => {
                        let digits: String =
                            chars.by_ref().skip(1).take_while(|ch| *ch != '}').collect();
                        encode(char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap());
                    }
                    other => encode(other),
                },
                ch => encode(ch),
            }
        }
        out
    }

    #[test]
    fn every_name_comes_back() {
        for first in 0..=u8::MAX {
            for second in [0, b' ', b'"', b'\\', b'n', 0x80, 0xe2, 0xff] {
                let name = [first, second, b'x', first];
                let text = quoted(&name);
                assert!(text.chars().all(|ch| !ch.is_control()), "{text:?}");
                assert_eq!(unquoted(&text), name, "{text}");
            }
        }
    }
}
