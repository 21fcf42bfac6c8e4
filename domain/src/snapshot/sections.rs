//! The sections of a snapshot, how they are written, checked and read.

use std::ops::{Deref, Range};
use std::sync::Arc;

use rkyv::rancor;
use rkyv::util::AlignedVec;

use super::First;
use crate::World;
use crate::fleet::jump_client::JumpClient;
use crate::ids::{JumpClientId, JumpGroupRef, JumpItemRef, UserId};
use crate::late::Late;
use crate::site::user::User;
use crate::table::Table;
use crate::table::kept::Kept;

/// Sections before those of rows.
const BEFORE_ROWS: usize = 7;

/// The bytes of a snapshot, shared by its sections.
pub type SharedBytes = Arc<dyn Deref<Target = [u8]> + Send + Sync>;

type ByName = Vec<(String, UserId)>;
type ByAttempt = Vec<(u64, JumpClientId)>;
type ByGroup = Vec<(JumpGroupRef, JumpItemRef)>;
type ByText = Vec<(u64, JumpItemRef)>;
type ByMachine = Vec<(u64, JumpClientId)>;
type Copies = Vec<(JumpClientId, JumpClientId)>;

/// A part of the bytes of a snapshot, beginning at a multiple of 16: an rkyv buffer.
#[derive(Clone)]
pub struct Section {
    bytes: SharedBytes,
    range: Range<usize>,
}

impl Section {
    /// A part of `bytes`; none where it would reach beyond them.
    #[must_use]
    pub fn new(bytes: SharedBytes, range: Range<usize>) -> Option<Self> {
        bytes.get(range.clone())?;
        Some(Self { bytes, range })
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }

    /// What is in a section that was checked.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&[u8]) -> Result<T, rancor::Error>) -> T {
        match read(self.bytes()) {
            Ok(found) => found,
            Err(error) => {
                unreachable!("a section of a snapshot was checked and can't be read: {error}")
            }
        }
    }
}

/// Why a snapshot can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Sections are missing, or hold other things than they should.
    #[error("its sections do not add up")]
    Sections,
    /// A section is not what this build writes.
    #[error("{0}")]
    Rkyv(#[from] rancor::Error),
}

/// The sections of a snapshot of `world`, in their order. The rows of a large table are cut into sections of
/// `rows_a_section`, at least one: those of one are read together when somebody asks for the first of them.
///
/// # Errors
/// What can't be put into bytes.
pub fn write(world: &World, rows_a_section: u32) -> Result<Vec<AlignedVec>, rancor::Error> {
    let by_name: ByName = (*world.users_by_name).clone().into_iter().collect();
    let by_attempt: ByAttempt = (*world.clients_by_attempt).clone().into_iter().collect();
    let by_group: ByGroup = world.items_by_group.iter().copied().collect();
    let by_text: ByText = world.items_by_text.iter().copied().collect();
    let by_machine: ByMachine = world.endpoints_by_machine.iter().copied().collect();
    let copies: Copies = world.copies.iter().copied().collect();
    let mut sections = vec![
        rkyv::to_bytes(&First::of(world, rows_a_section))?,
        rkyv::to_bytes(&by_name)?,
        rkyv::to_bytes(&by_attempt)?,
        rkyv::to_bytes(&by_group)?,
        rkyv::to_bytes(&by_text)?,
        rkyv::to_bytes(&by_machine)?,
        rkyv::to_bytes(&copies)?,
    ];
    let each = rows_a_section as usize;
    let users = world.users.iter().map(|(_, row)| row.clone());
    sections.extend(rows(users, each, |rows: &Vec<User>| rkyv::to_bytes(rows))?);
    let clients = world.jump_clients.iter().map(|(_, row)| row.clone());
    sections.extend(rows(clients, each, |rows: &Vec<JumpClient>| {
        rkyv::to_bytes(rows)
    })?);
    Ok(sections)
}

/// The sections of a large table.
fn rows<V>(
    mut rows: impl Iterator<Item = V>,
    each: usize,
    to_bytes: impl Fn(&Vec<V>) -> Result<AlignedVec, rancor::Error>,
) -> Result<Vec<AlignedVec>, rancor::Error> {
    let mut sections = Vec::new();
    loop {
        let some: Vec<V> = rows.by_ref().take(each.max(1)).collect();
        if some.is_empty() {
            return Ok(sections);
        }
        sections.push(to_bytes(&some)?);
    }
}

/// What of a snapshot is read later, when somebody asks for it.
pub struct Rest {
    by_name: Section,
    by_attempt: Section,
    by_group: Section,
    by_text: Section,
    by_machine: Section,
    copies: Section,
    users: Vec<(Section, u32)>,
    jump_clients: Vec<(Section, u32)>,
}

/// Reads what is read at once of a snapshot with these sections; the rest must be checked before it is of use.
///
/// # Errors
/// When there are fewer or more sections than the first says, or that can't be read.
pub fn open(mut sections: Vec<Section>) -> Result<(First, Rest), Unreadable> {
    if sections.len() < BEFORE_ROWS {
        return Err(Unreadable::Sections);
    }
    let mut rows = sections.split_off(BEFORE_ROWS).into_iter();
    let Ok(
        [
            first,
            by_name,
            by_attempt,
            by_group,
            by_text,
            by_machine,
            copies,
        ],
    ) = <[Section; BEFORE_ROWS]>::try_from(sections)
    else {
        return Err(Unreadable::Sections);
    };
    let first: First = rkyv::from_bytes::<_, rancor::Error>(first.bytes())?;
    let each = (first.rows_a_section as usize).max(1);
    let users = take_rows(&mut rows, first.user_ids.len(), each)?;
    let jump_clients = take_rows(&mut rows, first.jump_client_ids.len(), each)?;
    if rows.next().is_some() {
        return Err(Unreadable::Sections);
    }
    let rest = Rest {
        by_name,
        by_attempt,
        by_group,
        by_text,
        by_machine,
        copies,
        users,
        jump_clients,
    };
    Ok((first, rest))
}

/// The sections of a table with `count` rows, each with the number of its own.
fn take_rows(
    sections: &mut impl Iterator<Item = Section>,
    count: usize,
    each: usize,
) -> Result<Vec<(Section, u32)>, Unreadable> {
    (0..count)
        .step_by(each)
        .map(|before| {
            let section = sections.next().ok_or(Unreadable::Sections)?;
            let own = (count - before).min(each);
            Ok((section, u32::try_from(own).unwrap_or(u32::MAX)))
        })
        .collect()
}

impl Rest {
    /// Checks all of it. Before this has said that it is well, nobody may ask the world that is made of it for anything; the
    /// two may be done at the same time.
    ///
    /// # Errors
    /// The first section that can't be read.
    pub fn check(&self) -> Result<(), Unreadable> {
        rkyv::access::<rkyv::Archived<ByName>, rancor::Error>(self.by_name.bytes())?;
        rkyv::access::<rkyv::Archived<ByAttempt>, rancor::Error>(self.by_attempt.bytes())?;
        rkyv::access::<rkyv::Archived<ByGroup>, rancor::Error>(self.by_group.bytes())?;
        rkyv::access::<rkyv::Archived<ByText>, rancor::Error>(self.by_text.bytes())?;
        rkyv::access::<rkyv::Archived<ByMachine>, rancor::Error>(self.by_machine.bytes())?;
        rkyv::access::<rkyv::Archived<Copies>, rancor::Error>(self.copies.bytes())?;
        for (section, count) in &self.users {
            let rows = rkyv::access::<rkyv::Archived<Vec<User>>, rancor::Error>(section.bytes())?;
            check_count(rows.len(), *count)?;
        }
        for (section, count) in &self.jump_clients {
            let rows =
                rkyv::access::<rkyv::Archived<Vec<JumpClient>>, rancor::Error>(section.bytes())?;
            check_count(rows.len(), *count)?;
        }
        Ok(())
    }

    /// The world of the whole snapshot.
    #[must_use]
    pub fn world(&self, first: First) -> World {
        let users = kept(&self.users, rkyv::from_bytes);
        let users = Table::of_kept(first.user_ids.iter().copied(), &users);
        let clients = kept(&self.jump_clients, rkyv::from_bytes);
        let clients = Table::of_kept(first.jump_client_ids.iter().copied(), &clients);
        let mut world = first.into_world();
        world.users = users;
        world.jump_clients = clients;
        world.users_by_name = late::<ByName, _>(&self.by_name, rkyv::from_bytes);
        world.clients_by_attempt = late::<ByAttempt, _>(&self.by_attempt, rkyv::from_bytes);
        world.items_by_group = late::<ByGroup, _>(&self.by_group, rkyv::from_bytes);
        world.items_by_text = late::<ByText, _>(&self.by_text, rkyv::from_bytes);
        world.endpoints_by_machine = late::<ByMachine, _>(&self.by_machine, rkyv::from_bytes);
        world.copies = late::<Copies, _>(&self.copies, rkyv::from_bytes);
        world
    }
}

/// An index that is made of the entries in a section.
fn late<E, T>(section: &Section, read: fn(&[u8]) -> Result<E, rancor::Error>) -> Late<T>
where
    E: IntoIterator + 'static,
    T: FromIterator<E::Item> + Clone + Default,
{
    let section = section.clone();
    Late::of(move || section.read(read).into_iter().collect())
}

fn check_count(found: usize, expected: u32) -> Result<(), Unreadable> {
    if u32::try_from(found) == Ok(expected) {
        Ok(())
    } else {
        Err(Unreadable::Sections)
    }
}

fn kept<V>(
    sections: &[(Section, u32)],
    read: fn(&[u8]) -> Result<Vec<V>, rancor::Error>,
) -> Vec<Arc<Kept<V>>> {
    sections
        .iter()
        .map(|(section, count)| Arc::new(Kept::new(section.clone(), *count, read)))
        .collect()
}
