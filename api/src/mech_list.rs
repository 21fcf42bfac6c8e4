//! `GET /get_mech_list`: what kind of site this is and how people sign in. In no guide, but the vendor's own client asks it
//! first and refuses to go on unless the product is `bpam` (config-api.md section 0 fact 2).

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use serde_json::{Value, json};

use crate::access::Access;
use crate::answer::Answer;
use crate::error::JsonError;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let about = About::new("Tells what kind of site this is.").gives(Gives::One("MechList"));
    Routes::new(site)
        .route(
            Method::GET,
            "/get_mech_list",
            Access::Anyone,
            about,
            mech_list,
        )
        .open()
}

/// The same for every `version` that is asked for: only one has ever been seen.
async fn mech_list(State(site): State<Arc<Site>>) -> Result<Answer<Value>, JsonError> {
    let published = site.engine.as_fresh_as_the_log().await?;
    let body = json!({
        "mechs": ["local"],
        "default_mech": "local",
        "cache": "1",
        "company": published.world.settings.company_name,
        "product": "bpam",
    });
    Ok(Answer::known(&published, body))
}
