//! Text that does not show itself by accident.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret that is shown once or passed on: a client secret, a password, a token.
///
/// It has no `Display` and no serialisation, its `Debug` hides it, and its memory is wiped when it is
/// dropped. [`SecretText::expose`] is the one way to the text, so every place that shows a secret can
/// be found by searching for that word.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// In constant time for equal lengths, so that `==` is safe to write.
impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl Eq for SecretText {}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(hidden)")
    }
}

/// Compares in time that depends on the lengths only, never on where the bytes differ.
#[must_use]
pub fn constant_time_eq(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// threat C
    #[test]
    fn threat_c_debug_hides_the_text() {
        let secret = SecretText::from("tiger");
        assert!(!format!("{secret:?}").contains("tiger"));
        assert!(!format!("{:?}", Some(&secret)).contains("tiger"));
        assert_eq!(secret.expose(), "tiger");
    }

    #[test]
    fn comparison_tells_equal_from_different() {
        for (one, other, equal) in [
            ("", "", true),
            ("a", "a", true),
            ("a", "b", false),
            ("a", "ab", false),
            ("ab", "a", false),
        ] {
            assert_eq!(
                constant_time_eq(one.as_bytes(), other.as_bytes()),
                equal,
                "{one} {other}"
            );
            assert_eq!(
                SecretText::from(one) == SecretText::from(other),
                equal,
                "{one} {other}"
            );
        }
    }
}
