//! The Configuration API, `/api/config/v1` (CONF-01): plain records served from their tables.
//!
//! - [`resource`]: what every record needs to be served, and its five handlers
//! - [`listing`]: filters and pages
//! - one file per resource, by its URL's name

use std::sync::Arc;

use domain::Surface;

use crate::openapi;
use crate::route::{Routes, for_api_accounts_and_users};
use crate::site::Site;

pub mod listing;
pub mod resource;

pub mod api_account;
pub mod group_policy;
pub mod group_policy_member;
pub mod group_policy_row;
pub mod installer;
pub mod jump_approval;
pub mod jump_client;
pub mod jump_group;
pub mod jump_group_user;
pub mod jump_item_role;
pub mod jump_policy;
pub mod jumpoint;
pub mod jumpoint_user;
pub mod session_policy;
pub mod shell_jump;
pub mod team;
pub mod team_user;
pub mod user;
pub mod user_group_policies;

/// Where the Configuration API is (CONF-01).
pub const BASE: &str = "/api/config/v1";

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let routes = Routes::new(site)
        .merge(jump_group::routes(site))
        .merge(jump_group_user::routes(site))
        .merge(installer::routes(site))
        .merge(jump_client::routes(site))
        .merge(shell_jump::routes(site))
        .merge(jumpoint::routes(site))
        .merge(jumpoint_user::routes(site))
        .merge(session_policy::routes(site))
        .merge(user::routes(site))
        .merge(user_group_policies::routes(site))
        .merge(team::routes(site))
        .merge(team_user::routes(site))
        .merge(group_policy::routes(site))
        .merge(group_policy_member::routes(site))
        .merge(group_policy_row::routes(site))
        .merge(jump_policy::routes(site))
        .merge(jump_approval::routes(site))
        .merge(jump_item_role::routes(site))
        .merge(api_account::routes(site));
    let routes = openapi::yaml_route(routes);
    for_api_accounts_and_users(routes, Some(BASE), Surface::ConfigurationApi)
}
