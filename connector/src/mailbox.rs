//! What a link is told to do: a short queue for one reader, and beside it a way to end the link that is never full.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use link_protocol::ServerFrame;
use link_protocol::refusing::CloseCode;
use tokio::sync::{Notify, oneshot};

/// Orders that may wait for one agent. One that lets more pile up is cut off: it learns what it missed when it is back.
const ORDERS_MAX: usize = 64;

/// What an agent's link is told to do.
pub(crate) enum Order {
    /// Send a frame.
    Send(Box<ServerFrame>),
    /// End the link, after what was ordered before.
    End(Box<End>),
    /// Ask for proof of life and say whether it came.
    Probe(oneshot::Sender<bool>),
    /// The client has connected anew from the boot named. From another boot it is a copy, if this one still answers.
    Displaced {
        /// The boot of the newcomer.
        boot_id: String,
    },
}

/// How a link ends: the close code, a last frame before it, and a few words for the log.
pub(crate) struct End {
    pub(crate) code: CloseCode,
    pub(crate) last: Option<Box<ServerFrame>>,
    pub(crate) reason: &'static str,
}

impl End {
    pub(crate) const fn with(code: CloseCode, reason: &'static str) -> Self {
        Self {
            code,
            last: None,
            reason,
        }
    }

    /// The agent can't be reached any more.
    pub(crate) const fn gone() -> Self {
        Self::with(CloseCode::Normal, "the connection was lost")
    }

    /// A newer connection of the same machine has taken over.
    pub(crate) const fn replaced() -> Self {
        Self::with(CloseCode::Replaced, "replaced by a newer connection")
    }

    /// The node stops, or can't prove any more that it is alive.
    pub(crate) const fn going_away() -> Self {
        Self::with(CloseCode::GoingAway, "the node stops")
    }

    /// Come back after so many milliseconds.
    pub(crate) fn later(after_ms: u64) -> Self {
        Self {
            code: CloseCode::RetryLater,
            last: Some(Box::new(ServerFrame::RetryLater { after_ms })),
            reason: "told to come later",
        }
    }
}

/// What comes out of a mailbox.
pub(crate) enum Told {
    /// Say how the client shall be, as the world says now.
    Settings,
    /// Say what to trust and where the site is, as the world says now.
    Trust,
    /// Do this.
    Order(Order),
    /// End now, whatever else was ordered.
    End(End),
}

/// The mailbox of one link. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Mailbox(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    orders: VecDeque<Order>,
    /// How the client shall be may have changed. However often: it is said once.
    settings: bool,
    /// The site's trust anchors or addresses may have changed: the same.
    trust: bool,
    end: Option<End>,
}

impl Mailbox {
    /// Gives an order. Where too many wait already, the link is ended.
    pub(crate) fn tell(&self, order: Order) {
        self.change(|state| {
            if state.orders.len() < ORDERS_MAX {
                state.orders.push_back(order);
            } else {
                let slow = End::with(CloseCode::TimedOut, "the agent does not read");
                state.end.get_or_insert(slow);
            }
        });
    }

    /// Has the link say how the client shall be, if that is not what it said last.
    pub(crate) fn tell_settings(&self) {
        self.change(|state| state.settings = true);
    }

    /// Has the link say what to trust and where the site is, if that is newer than what it said last.
    pub(crate) fn tell_trust(&self) {
        self.change(|state| state.trust = true);
    }

    /// Ends the link. The first end counts.
    pub(crate) fn end(&self, end: End) {
        self.change(|state| {
            state.end.get_or_insert(end);
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        // A poisoned lock only means that another thread panicked beside a queue; it stays usable.
        change(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.notify_one();
    }

    /// What is next; waits for it. Dropped before it ends, it has taken nothing. For one reader.
    pub(crate) async fn next(&self) -> Told {
        loop {
            if let Some(told) = self.take() {
                return told;
            }
            self.0.changed.notified().await;
        }
    }

    fn take(&self) -> Option<Told> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(end) = state.end.take() {
            return Some(Told::End(end));
        }
        if std::mem::take(&mut state.settings) {
            return Some(Told::Settings);
        }
        if std::mem::take(&mut state.trust) {
            return Some(Told::Trust);
        }
        state.orders.pop_front().map(Told::Order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping(nonce: u64) -> Order {
        Order::Send(Box::new(ServerFrame::Ping { nonce }))
    }

    #[tokio::test]
    async fn orders_come_out_as_they_went_in_and_an_end_before_them_all() {
        let mailbox = Mailbox::default();
        mailbox.tell(ping(1));
        mailbox.tell(ping(2));
        for expected in 1..=2 {
            let Told::Order(Order::Send(frame)) = mailbox.next().await else {
                panic!("an order was expected")
            };
            assert_eq!(*frame, ServerFrame::Ping { nonce: expected });
        }
        mailbox.tell(ping(3));
        mailbox.end(End::replaced());
        mailbox.end(End::gone());
        let Told::End(end) = mailbox.next().await else {
            panic!("the end was expected")
        };
        assert_eq!(end.code, CloseCode::Replaced);
    }

    /// threat L
    #[tokio::test]
    async fn threat_l_an_agent_that_lets_orders_pile_up_is_cut_off_instead_of_missing_some() {
        let mailbox = Mailbox::default();
        for nonce in 0..=ORDERS_MAX as u64 {
            mailbox.tell(ping(nonce));
        }
        let Told::End(end) = mailbox.next().await else {
            panic!("the end was expected")
        };
        assert_eq!(end.code, CloseCode::TimedOut);
    }

    /// threat M: settings and anchors that change a thousand times fill no queue, and are said once.
    #[tokio::test]
    async fn threat_m_settings_and_trust_are_marks_and_no_queue() {
        let mailbox = Mailbox::default();
        mailbox.tell(ping(1));
        for _ in 0..1_000 {
            mailbox.tell_settings();
            mailbox.tell_trust();
        }
        assert!(matches!(mailbox.next().await, Told::Settings));
        assert!(matches!(mailbox.next().await, Told::Trust));
        assert!(matches!(mailbox.next().await, Told::Order(_)));
        assert!(mailbox.take().is_none());
    }

    #[tokio::test]
    async fn who_waits_is_woken_and_giving_up_loses_nothing() {
        let mailbox = Mailbox::default();
        {
            let waiting = mailbox.next();
            tokio::pin!(waiting);
            tokio::select! {
                biased;
                _ = &mut waiting => panic!("there is nothing yet"),
                () = std::future::ready(()) => {}
            }
            mailbox.tell(ping(1));
            // Woken and dropped before it could look.
        }
        assert!(matches!(mailbox.next().await, Told::Order(_)));
    }
}
