//! Taking packed rows apart: lengths that must account for every byte.

/// The rest of a packed column.
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    /// The next bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], sqlx::Error> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(broken)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// The next bytes as an array.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], sqlx::Error> {
        self.bytes(N)?.try_into().map_err(|_| broken())
    }

    /// The next bytes as text.
    pub(crate) fn text(&mut self, length: usize) -> Result<String, sqlx::Error> {
        Ok(std::str::from_utf8(self.bytes(length)?)
            .map_err(|_| broken())?
            .to_owned())
    }

    /// The next bytes as a length.
    pub(crate) fn length(&mut self) -> Result<usize, sqlx::Error> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| broken())
    }
}

/// A packed row does not add up.
pub(crate) fn broken() -> sqlx::Error {
    sqlx::Error::Decode("a packed row of events does not add up".into())
}
