//! Mail, for administrators: where it leaves the site, what it says, and what has not left (POL-30, POL-31, POL-48).

use std::sync::Arc;

use crate::route::Routes;
use crate::site::Site;

mod deliveries;
mod settings;
mod templates;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    Routes::new(site)
        .merge(settings::routes(site))
        .merge(templates::routes(site))
        .merge(deliveries::routes(site))
}
