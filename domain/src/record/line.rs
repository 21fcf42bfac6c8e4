//! Which text can be a name: one line that people can read, and tell from every other.

/// Whether a character may be in a name: no control character, nothing that XML can't carry, and nothing that ends a line, turns
/// the direction of what follows or can't be seen, by which a name could look like another.
fn fits_a_line(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{61c}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{fffe}'
                | '\u{ffff}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Whether a character leaves no ink: blanks, joiners, and letters that are drawn empty.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{180e}'
                | '\u{200c}'
                | '\u{200d}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{ffa0}'
        )
}

/// The rule for every name, however it is given.
///
/// # Errors
/// A sentence that names the field.
pub(super) fn check(name: &str, text: &str) -> Result<(), String> {
    if !text.chars().all(fits_a_line) {
        Err(format!(
            "The {name} field must not hold control characters, line breaks, or characters that can't be seen or turn the direction of text."
        ))
    } else if !text.is_empty() && text.chars().all(is_blank) {
        Err(format!("The {name} field must not be only blanks."))
    } else {
        Ok(())
    }
}

/// A name made of a text that somebody else's machine gave: what fits of it, cut to `chars_max` characters. None where nothing
/// that can be read is left.
pub(crate) fn name_of_text(text: &str, chars_max: usize) -> Option<String> {
    let fit = text.chars().filter(|c| fits_a_line(*c));
    let name: String = fit.take(chars_max).collect();
    check("name", &name)
        .is_ok()
        .then_some(name)
        .filter(|name| !name.is_empty())
}
