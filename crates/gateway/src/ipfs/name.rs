//! Names under which content is saved, and what their extensions say about it.

use crate::problem::VALUE_CHARS_MAX;

/// Type of a file that nobody says anything about.
const BYTES: &str = "application/octet-stream";
/// Types by extension. None of them can run: a page or a drawing with scripts is served as text.
const TYPES: [(&str, &str); 24] = [
    ("avif", "image/avif"),
    ("css", TEXT),
    ("csv", "text/csv; charset=utf-8"),
    ("gif", "image/gif"),
    ("htm", TEXT),
    ("html", TEXT),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", TEXT),
    ("json", "application/json"),
    ("md", TEXT),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("ogg", "audio/ogg"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", TEXT),
    ("txt", TEXT),
    ("wasm", "application/wasm"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("yaml", TEXT),
    ("yml", TEXT),
    ("zip", "application/zip"),
];
const TEXT: &str = "text/plain; charset=utf-8";

/// The media type of a file called `filename`.
pub(super) fn media_type(filename: Option<&str>) -> &'static str {
    let extension =
        filename.and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension.to_ascii_lowercase());
    let known = TYPES.iter().find(|(known, _)| extension.as_deref() == Some(*known));
    known.map_or(BYTES, |(_, media_type)| media_type)
}

/// `Content-Disposition` (RFC 6266) for a file called `filename`: the name in ASCII for old clients, and in full.
pub(super) fn disposition(filename: Option<&str>, save: bool) -> Option<String> {
    let kind = if save { "attachment" } else { "inline" };
    let Some(name) = filename.map(clean).filter(|name| !name.is_empty()) else {
        return save.then(|| kind.to_owned());
    };
    let ascii: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    if ascii == name {
        return Some(format!("{kind}; filename=\"{ascii}\""));
    }
    Some(format!("{kind}; filename=\"{ascii}\"; filename*=UTF-8''{}", percent(&name)))
}

/// The last part of the name, without anything that a header or a file system takes for something else.
fn clean(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or("");
    let plain = last.chars().filter(|c| !c.is_control() && !"\"%;<>|?*:".contains(*c));
    plain.take(VALUE_CHARS_MAX).collect::<String>().trim_matches(['.', ' ']).to_owned()
}

/// Percent-encodes everything but letters, digits and three harmless marks (RFC 8187 section 3.2).
fn percent(name: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_runs_keeps_its_type() {
        for name in ["a.html", "a.HTM", "a.svg", "a.js", "a.css"] {
            assert_eq!(media_type(Some(name)), TEXT, "{name}");
        }
        for name in [None, Some("page"), Some("a.xhtml"), Some("a.xml"), Some("")] {
            assert_eq!(media_type(name), BYTES, "{name:?}");
        }
        assert_eq!(media_type(Some("photo.of.me.PNG")), "image/png");
    }

    #[test]
    fn names_are_told_in_both_spellings() {
        assert_eq!(disposition(Some("a b.csv"), false).unwrap(), "inline; filename=\"a b.csv\"");
        assert_eq!(
            disposition(Some("雲.csv"), true).unwrap(),
            "attachment; filename=\"_.csv\"; filename*=UTF-8''%E9%9B%B2.csv"
        );
        assert_eq!(disposition(None, false), None);
        assert_eq!(disposition(None, true).unwrap(), "attachment");
    }

    #[test]
    fn a_name_cannot_leave_its_quotes_its_line_or_its_folder() {
        assert_eq!(disposition(Some("a\"\r\nSet-Cookie: b"), false).unwrap(), "inline; filename=\"aSet-Cookie b\"");
        assert_eq!(disposition(Some("../../etc/passwd"), false).unwrap(), "inline; filename=\"passwd\"");
        assert_eq!(disposition(Some("..\\.bashrc"), false).unwrap(), "inline; filename=\"bashrc\"");
        assert_eq!(disposition(Some("/"), false), None);
        let long = disposition(Some(&"x".repeat(10_000)), false).unwrap();
        assert_eq!(long.len(), "inline; filename=\"\"".len() + VALUE_CHARS_MAX);
    }
}
