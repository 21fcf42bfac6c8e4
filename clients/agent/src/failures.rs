//! Which of many failures in a row get a line in the log: a client that is offline for months must not fill a disk with them.

use std::error::Error;

/// How many get a line from the first one on.
const FIRST: u32 = 8;
/// Beyond them those whose number is a power of two, and each of so many: about one a day at the longest pause.
const EVERY: u32 = 256;
/// How many texts are remembered; a failure with another one gets a line.
const TEXTS_MAX: usize = 8;

/// The failures since the last success.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    count: u32,
    texts: Vec<String>,
}

impl Failures {
    /// Notes one more; answers its number where it gets a line.
    pub(crate) fn note(&mut self, text: String) -> Option<u32> {
        self.count = self.count.saturating_add(1);
        let is_new = self.texts.len() < TEXTS_MAX && !self.texts.contains(&text);
        if is_new {
            self.texts.push(text);
        }
        let counts =
            self.count <= FIRST || self.count.is_power_of_two() || self.count.is_multiple_of(EVERY);
        (is_new || counts).then_some(self.count)
    }

    /// Begins anew.
    pub(crate) fn over(&mut self) {
        *self = Self::default();
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A year of tries every five minutes writes some hundred lines, and what is new among them is there.
    #[test]
    fn a_year_offline_is_a_few_lines() {
        let mut failures = Failures::default();
        let year = 366 * 24 * 12;
        let lines = (0..year).filter(|_| failures.note("refused".to_owned()).is_some());
        assert!(lines.count() < 450);
        assert!(failures.note("no route".to_owned()).is_some());
        // Texts that differ each time are no way around it.
        let lines = (0..year).filter(|n| failures.note(format!("port {n}")).is_some());
        assert!(lines.count() < 450);
        failures.over();
        assert_eq!(failures.note("refused".to_owned()), Some(1));
    }
}
