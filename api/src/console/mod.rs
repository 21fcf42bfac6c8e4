//! The console API, `/api/console/v1`: what people do, and what administrators set that the published API can only read.
//!
//! - [`badge`]: what a user who signed in shows; [`gate`]: the layer that asks for it; [`sign_in`]: how it is got
//! - [`items`] with [`item_list`]: the items in sight; [`sessions`]: jumping to them
//! - [`live`]: what changes, as it changes
//! - [`administration`], [`api_accounts`], [`mail`]: for administrators, in the form of the Configuration API

use std::sync::Arc;

use crate::route::Routes;
use crate::site::Site;

pub mod badge;
pub mod gate;
pub mod sign_in;

pub mod item_list;
pub mod items;
pub mod live;
pub mod sessions;

pub mod administration;
pub mod api_accounts;
pub mod mail;

pub mod schemas;

/// Where the console API is.
pub const BASE: &str = "/api/console/v1";

/// Every route of the console API.
#[must_use]
pub fn routes(site: &Arc<Site>) -> Routes {
    let behind_the_gate = Routes::new(site)
        .merge(sign_in::routes_behind_the_gate(site))
        .merge(items::routes(site))
        .merge(sessions::routes(site))
        .merge(live::routes(site))
        .merge(administration::routes(site))
        .merge(api_accounts::routes(site))
        .merge(mail::routes(site))
        .guarded(Some(BASE), gate::users_only);
    Routes::new(site)
        .merge(sign_in::open_routes(site))
        .merge(behind_the_gate)
}
