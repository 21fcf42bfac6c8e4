//! The table of routes: what there is, who may use it, what it takes and gives. The router, the OpenAPI document, the answers
//! to OPTIONS and the authorisation tests are all made from it, so a route can't be left out of one of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::header::{ALLOW, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use domain::Surface;
use domain::record::Field;
use tower::ServiceExt;

use crate::access::Access;
use crate::error::Problem;
use crate::site::Site;
use crate::{
    approve, command, configuration, console, download, endpoint_approval, guard, health, link,
    mech_list, message, oauth, openapi, peer, reporting,
};

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Route {
    /// The method. HEAD comes with every GET, OPTIONS with every path.
    pub method: Method,
    /// The whole path, with `{names}`.
    pub path: String,
    /// Who may use it.
    pub access: Access,
    /// What the OpenAPI document says of it.
    pub about: About,
}

/// What the OpenAPI document says of a route.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What it does, in a few words.
    pub summary: &'static str,
    /// The schema of its body.
    pub takes: Option<&'static str>,
    /// What it answers with.
    pub gives: Gives,
    /// What else it may answer with when all is well: a status of its own, and one object of this schema.
    pub also: Vec<(StatusCode, &'static str)>,
    /// The query parameters it knows besides paging.
    pub filters: Vec<&'static Field>,
}

impl About {
    /// A route that is described by its summary alone.
    #[must_use]
    pub fn new(summary: &'static str) -> Self {
        Self {
            summary,
            ..Self::default()
        }
    }

    /// It takes a body of this schema.
    #[must_use]
    pub fn takes(mut self, schema: &'static str) -> Self {
        self.takes = Some(schema);
        self
    }

    /// It answers with this.
    #[must_use]
    pub fn gives(mut self, gives: Gives) -> Self {
        self.gives = gives;
        self
    }

    /// It may as well answer with this status and one object of this schema.
    #[must_use]
    pub fn also(mut self, status: StatusCode, schema: &'static str) -> Self {
        self.also.push((status, schema));
        self
    }

    /// It knows these filters.
    #[must_use]
    pub fn filters(mut self, filters: Vec<&'static Field>) -> Self {
        self.filters = filters;
        self
    }
}

/// What a route answers with when all is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gives {
    /// 204.
    #[default]
    Nothing,
    /// 200 with one object of this schema.
    One(&'static str),
    /// 201 with one object of this schema.
    Created(&'static str),
    /// 200 with a page of objects of this schema; headers tell of the other pages.
    Page(&'static str),
    /// 200 with all there are, objects of this schema.
    List(&'static str),
    /// 101: the connection is a WebSocket from then on.
    Upgrade,
    /// 200 with text of this media type.
    Text(&'static str),
}

/// Routes of one surface, with their lines of the table.
pub struct Routes {
    site: Arc<Site>,
    router: Router<Arc<Site>>,
    table: Vec<Route>,
}

impl Routes {
    /// No routes yet.
    #[must_use]
    pub fn new(site: &Arc<Site>) -> Self {
        Self {
            site: Arc::clone(site),
            router: Router::new(),
            table: Vec::new(),
        }
    }

    /// Adds a route; `path` is whole, from the site's root.
    #[must_use]
    pub fn route<H, T>(
        mut self,
        method: Method,
        path: &str,
        access: Access,
        about: About,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Arc<Site>>,
        T: 'static,
    {
        // Every method of this crate's routes has a filter; an unknown one would never match.
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::TRACE);
        let site = Arc::clone(&self.site);
        let action: Arc<str> = format!("{method} {path}").into();
        let permitted = middleware::from_fn(move |request: Request, next: Next| {
            guard::permitted_only(
                Arc::clone(&site),
                access,
                Arc::clone(&action),
                request,
                next,
            )
        });
        self.router = self
            .router
            .route(path, on(filter, handler).layer(permitted));
        self.table.push(Route {
            method,
            path: path.to_owned(),
            access,
            about,
        });
        self
    }

    /// Adds the routes of `other`, with the layers they have.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.table.extend(other.table);
        self
    }

    /// The table so far.
    #[must_use]
    pub fn table(&self) -> &[Route] {
        &self.table
    }

    /// Answers OPTIONS on every path, other methods with 405, and, below `prefix`, unknown paths with 404; then puts the layer
    /// around it all that says who asks.
    #[must_use]
    pub fn guarded<F, Fut>(self, prefix: Option<&str>, guard: F) -> Self
    where
        F: Fn(Arc<Site>, Request, Next) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send + 'static,
    {
        let site = Arc::clone(&self.site);
        let layer = middleware::from_fn(move |request: Request, next: Next| {
            guard(Arc::clone(&site), request, next)
        });
        let mut whole = self.with_options();
        if let Some(prefix) = prefix {
            let unknown = || async { Problem::not_found("Path").to_json() };
            whole.router = whole
                .router
                .route(prefix, axum::routing::any(unknown))
                .route(&format!("{prefix}/"), axum::routing::any(unknown))
                .route(&format!("{prefix}/{{*rest}}"), axum::routing::any(unknown));
        }
        whole.router = whole
            .router
            .method_not_allowed_fallback(method_not_allowed)
            .layer(layer);
        whole
    }

    /// Answers OPTIONS on every path and other methods with 405, for routes that anybody may use.
    #[must_use]
    pub fn open(self) -> Self {
        let mut whole = self.with_options();
        whole.router = whole.router.method_not_allowed_fallback(method_not_allowed);
        whole
    }

    /// Changes every answer of these routes, those of the layers in front of them included.
    #[must_use]
    pub fn map_answers<F, Fut>(mut self, change: F) -> Self
    where
        F: Fn(Response) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send + 'static,
    {
        self.router = self.router.layer(middleware::map_response(change));
        self
    }

    fn with_options(mut self) -> Self {
        let mut methods: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for route in &self.table {
            let allowed = methods.entry(&route.path).or_default();
            allowed.push(route.method.as_str());
            if route.method == Method::GET {
                allowed.push("HEAD");
            }
        }
        for (path, allowed) in methods {
            let Ok(allow) = HeaderValue::try_from(allowed.join(",")) else {
                continue;
            };
            let answer = move || async move { [(ALLOW, allow)] };
            self.router = self.router.route(path, on(MethodFilter::OPTIONS, answer));
        }
        self
    }
}

async fn method_not_allowed() -> Response {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "The method is not allowed here.",
    )
    .to_json()
}

/// Routes for API accounts: what stands in front of them asks for a token and charges the account.
#[must_use]
pub fn for_api_accounts(routes: Routes, prefix: Option<&str>, surface: Surface) -> Routes {
    routes.guarded(prefix, move |site, request, next| {
        guard::api_accounts_only(site, surface, request, next)
    })
}

/// Routes for API accounts and for users who signed in; which of them may use a route, its access says.
#[must_use]
pub fn for_api_accounts_and_users(
    routes: Routes,
    prefix: Option<&str>,
    surface: Surface,
) -> Routes {
    routes.guarded(prefix, move |site, request, next| {
        guard::api_accounts_and_users(site, surface, request, next)
    })
}

/// Every route there is.
#[must_use]
pub fn routes(site: &Arc<Site>) -> Routes {
    Routes::new(site)
        .merge(oauth::routes(site))
        .merge(mech_list::routes(site))
        .merge(configuration::routes(site))
        .merge(command::routes(site))
        .merge(endpoint_approval::routes(site))
        .merge(reporting::routes(site))
        .merge(health::routes(site))
        .merge(console::routes(site))
        .merge(approve::routes(site))
        .merge(download::open_routes(site))
        .merge(link::routes(site))
        .merge(openapi::routes(site))
}

/// The site's whole HTTP surface.
pub fn router(site: Arc<Site>) -> Router {
    let routes = routes(&site);
    let documents = openapi::Documents::new(&site.version, routes.table());
    let routes = routes
        .router
        .fallback(|| async { Problem::not_found("Path").to_json() })
        .layer(axum::Extension(Arc::new(documents)))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&site),
            peer::identify,
        ))
        .layer(middleware::from_fn(message::one_host))
        .layer(middleware::from_fn(message::whole_body))
        .layer(middleware::map_response(add_common_headers))
        .with_state(site);
    // Around the router: its own layers are reached when it has looked at the path.
    Router::new().fallback_service(routes.map_request(message::with_single_slashes))
}

/// No answer of an API is to be kept by anyone on the way, or taken for something else than it says.
async fn add_common_headers(response: Response) -> Response {
    let mut response = response.into_response();
    let headers = response.headers_mut();
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
