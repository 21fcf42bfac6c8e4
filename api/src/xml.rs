//! XML going out: a writer whose document is well-formed whatever the texts in it hold.
//!
//! Element and attribute names are constants of ours; texts come from agents, users and ticket systems. Characters that
//! XML 1.0 can't carry become U+FFFD, or the whole text goes out as base64 where a rule names a place for that.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quick_xml::Writer;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use quick_xml::name::QName;

/// Attributes of one element, in the order they are written.
pub type Attributes<'a> = &'a [(&'static str, &'a str)];

/// A document that is being written. It can be taken in pieces, so a long one never is in memory as a whole.
pub struct Document {
    writer: Writer<Vec<u8>>,
    open: Vec<&'static str>,
}

impl Document {
    /// A document that has its XML declaration and no element yet.
    #[must_use]
    pub fn new() -> Self {
        let mut document = Self {
            writer: Writer::new(Vec::new()),
            open: Vec::new(),
        };
        document.write(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        document
    }

    /// Opens an element.
    pub fn open(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.write(Event::Start(start(name, attributes)));
        self.open.push(name);
    }

    /// Closes the element that was opened last.
    pub fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.write(Event::End(BytesEnd::new(name)));
        }
    }

    /// An element with nothing but text; an empty text gives an empty element.
    pub fn leaf(&mut self, name: &'static str, attributes: Attributes<'_>, text: &str) {
        if text.is_empty() {
            self.write(Event::Empty(start(name, attributes)));
            return;
        }
        self.write(Event::Start(start(name, attributes)));
        self.write(Event::Text(BytesText::from_escaped(escaped(
            text,
            Place::Text,
        ))));
        self.write(Event::End(BytesEnd::new(name)));
    }

    /// A number as the text of an element.
    pub fn number(&mut self, name: &'static str, number: impl std::fmt::Display) {
        self.leaf(name, &[], &number.to_string());
    }

    /// The text as element `name` or, if XML can't carry it, as base64 in element `encoded_name`; never both (REP-50).
    pub fn leaf_or_encoded(&mut self, name: &'static str, encoded_name: &'static str, text: &str) {
        if text.chars().all(is_legal) {
            self.leaf(name, &[], text);
        } else {
            self.leaf(encoded_name, &[], &base64_of_rfc2045(text.as_bytes()));
        }
    }

    /// What was written since the last time.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.get_mut())
    }

    /// Closes what is open and answers what was written since the last [`Document::take`].
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.close();
        }
        self.take()
    }

    fn write(&mut self, event: Event<'_>) {
        self.writer
            .write_event(event)
            .expect("writing into memory can't fail");
    }
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

/// A whole document that is one element with a text.
#[must_use]
pub fn single(name: &'static str, attributes: Attributes<'_>, text: &str) -> Vec<u8> {
    let mut document = Document::new();
    document.leaf(name, attributes, text);
    document.finish()
}

/// Whether XML 1.0 can carry the character.
#[must_use]
pub const fn is_legal(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

fn start<'a>(name: &'static str, attributes: Attributes<'_>) -> BytesStart<'a> {
    let mut element = BytesStart::new(name);
    for (key, value) in attributes {
        element.push_attribute(Attribute {
            key: QName(key),
            value: escaped(value, Place::Attribute).into(),
        });
    }
    element
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    Attribute,
}

/// A text as it stands between tags, for documents that are not made by [`Document`].
#[must_use]
pub(crate) fn escaped_text(text: &str) -> String {
    escaped(text, Place::Text)
}

/// Characters with a meaning in markup become references. So do those that a reader would normalise: a carriage return
/// everywhere, tab and line feed in attributes.
fn escaped(text: &str, place: Place) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if place == Place::Attribute => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' if place == Place::Attribute => out.push_str("&#10;"),
            '\t' if place == Place::Attribute => out.push_str("&#9;"),
            character if is_legal(character) => out.push(character),
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
    out
}

/// Longest line of base64 as of RFC 2045, 6.8.
const BASE64_LINE_MAX: usize = 76;

/// Base64 in lines, as mail has it.
fn base64_of_rfc2045(bytes: &[u8]) -> String {
    let encoded = STANDARD.encode(bytes);
    let mut out = String::with_capacity(encoded.len() + encoded.len() / BASE64_LINE_MAX + 1);
    for (index, character) in encoded.chars().enumerate() {
        if index > 0 && index % BASE64_LINE_MAX == 0 {
            out.push('\n');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use quick_xml::Reader;

    fn text_of(document: &[u8]) -> String {
        let mut reader = Reader::from_reader(document);
        let mut found = String::new();
        loop {
            match reader.read_event().expect("well-formed") {
                Event::Text(text) => found.push_str(&text),
                Event::GeneralRef(reference) => {
                    found.push_str(match &*reference {
                        "amp" => "&",
                        "lt" => "<",
                        "gt" => ">",
                        "quot" => "\"",
                        "#13" => "\r",
                        other => panic!("unexpected reference {other}"),
                    });
                }
                Event::Eof => return found,
                _ => {}
            }
        }
    }

    #[test]
    fn a_text_comes_back_as_it_was() {
        for text in [
            "plain",
            "<b>&amp;</b>",
            "]]> \"quoted\" 'single'",
            "line\nfeed\ttab\rreturn",
            "\u{202E}right to left\u{202C} \u{5E9}\u{5DC}\u{5D5}\u{5DD}",
            "\u{1F600} beyond the first plane",
            "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]>&b;",
        ] {
            assert_eq!(text_of(&single("a", &[("b", text)], text)), text);
        }
    }

    #[test]
    fn what_xml_cannot_carry_is_replaced() {
        for (text, shown) in [
            ("nul\0", "nul\u{FFFD}"),
            ("bell\u{7}", "bell\u{FFFD}"),
            ("\u{FFFE}\u{FFFF}", "\u{FFFD}\u{FFFD}"),
            ("\u{1B}[2J", "\u{FFFD}[2J"),
        ] {
            assert_eq!(text_of(&single("a", &[], text)), shown);
        }
    }

    /// REP-50
    #[test]
    fn a_body_that_xml_cannot_carry_is_encoded() {
        let mut document = Document::new();
        document.open("event", &[]);
        document.leaf_or_encoded("body", "encoded_body", "fine & well");
        document.leaf_or_encoded("body", "encoded_body", "bell\u{7}");
        let text = String::from_utf8(document.finish()).expect("UTF-8");
        assert!(text.contains("<body>fine &amp; well</body>"), "{text}");
        assert!(
            text.contains("<encoded_body>YmVsbAc=</encoded_body>"),
            "{text}"
        );
        assert_eq!(text.matches("<body>").count(), 1);
    }

    /// REP-50
    #[test]
    fn encoded_lines_are_no_longer_than_rfc_2045_says() {
        let encoded = base64_of_rfc2045(&[0; 200]);
        assert!(encoded.lines().count() > 1);
        assert!(encoded.lines().all(|line| line.len() <= BASE64_LINE_MAX));
    }

    #[test]
    fn attributes_keep_their_white_space() {
        let text = String::from_utf8(single("a", &[("b", "x\ty\nz\"<")], "")).expect("UTF-8");
        assert!(
            text.ends_with("<a b=\"x&#9;y&#10;z&quot;&lt;\"/>"),
            "{text}"
        );
    }

    #[test]
    fn a_document_taken_in_pieces_is_whole() {
        let mut document = Document::new();
        document.open("list", &[]);
        let mut bytes = document.take();
        document.leaf("item", &[], "1");
        bytes.extend(document.take());
        bytes.extend(document.finish());
        assert_eq!(
            String::from_utf8(bytes).expect("UTF-8"),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><list><item>1</item></list>"
        );
    }
}
