//! The console API, `/api/console/v1`: what people do, and what administrators set that the published API can only read.
//!
//! - [`badge`]: what a user who signed in shows; [`gate`]: the layer that asks for it; [`sign_in`]: how it is got, within
//!   [`sign_in_limits`]; [`passwords`]: how they are changed
//! - [`items`] with [`item_list`]: the items in sight; [`item_access`]: why they may be used or not
//! - [`item_edits`]: what is done to one item; [`item_changes`]: to several at once, and their export
//! - [`session_start`]: jumping to them; `failed_start`: how one failed; [`sessions`]: what runs; [`session_members`], [`session_contents`]: who and what is in it
//! - [`startup_group`]: what starts by itself; [`choices`]: what users choose from, and read of a session
//! - [`installers`] with [`installer_list`]: what brings Jump Clients
//! - [`access_requests`]: asking for approval, and answering
//! - [`ticket_requests`]: starts that wait for the ticket system; [`ticket_system`]: its settings
//! - [`live`]: what changes, as it changes
//! - [`agent_trust`]: what agents trust and where they find the site
//! - [`administration`], [`api_accounts`], [`item_settings`], [`group_policies`], [`mail`]: for administrators, in the form of
//!   the Configuration API
//! - [`tables`]: what the administrators' pages show in tables
//!
//! Lists come in two forms. What administrators set is listed as the Configuration API lists it: a bare array, pages told by
//! headers, 100 rows at most, filters that are exact. What people look through (items and installers) is an object whose
//! members tell of pages, 500 rows at most, with a search and an order; [`paging`] reads its parameters. What is short by its
//! nature comes whole.

use std::sync::Arc;

use crate::route::Routes;
use crate::site::Site;

pub mod badge;
pub mod gate;
pub mod passwords;
pub mod sign_in;
pub mod sign_in_limits;

pub mod access_requests;
pub mod choices;
pub mod installer_list;
pub mod installers;
pub mod item_access;
pub mod item_changes;
pub mod item_edits;
pub mod item_list;
pub mod items;
pub mod live;
pub mod session_contents;
pub mod session_members;
pub mod session_start;
pub mod sessions;
pub mod startup_group;
pub mod ticket_requests;
mod undelivered_mails;

mod failed_start;
mod fields;
mod named;
pub mod paging;
mod past_requests;

pub mod administration;
pub mod agent_trust;
pub mod api_accounts;
pub mod group_policies;
pub mod item_settings;
pub mod mail;
pub mod tables;
pub mod ticket_system;

pub mod schemas;

/// Where the console API is.
pub const BASE: &str = "/api/console/v1";

/// Every route of the console API.
#[must_use]
pub fn routes(site: &Arc<Site>) -> Routes {
    let behind_the_gate = Routes::new(site)
        .merge(sign_in::routes_behind_the_gate(site))
        .merge(passwords::routes(site))
        .merge(items::routes(site))
        .merge(item_edits::routes(site))
        .merge(item_settings::routes(site))
        .merge(item_access::routes(site))
        .merge(item_changes::routes(site))
        .merge(sessions::routes(site))
        .merge(choices::routes(site))
        .merge(session_start::routes(site))
        .merge(session_members::routes(site))
        .merge(session_contents::routes(site))
        .merge(startup_group::routes(site))
        .merge(installers::routes(site))
        .merge(access_requests::routes(site))
        .merge(ticket_requests::routes(site))
        .merge(live::routes(site))
        .merge(administration::routes(site))
        .merge(agent_trust::routes(site))
        .merge(api_accounts::routes(site))
        .merge(mail::routes(site))
        .merge(ticket_system::routes(site))
        .merge(group_policies::routes(site))
        .merge(tables::routes(site))
        .merge(crate::download::console_routes(site))
        .guarded(Some(BASE), gate::users_only);
    Routes::new(site)
        .merge(sign_in::open_routes(site))
        .merge(behind_the_gate)
}
